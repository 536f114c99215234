"""`send`: one notification from a shell, to an installation elsewhere by its API (NOTIFIER_URL), or to the own one.

This half reads the words and calls other installations; it imports nothing that takes long, so that scripts need not
wait. The other half is `send_here`. Exit codes: 0 accepted, 1 refused, 2 not understood, 75 it may be accepted later.
"""

import importlib
import json
import os
import sys
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3

from notifier.ground.variables import Variables

URL, KEY = "NOTIFIER_URL", "NOTIFIER_KEY"
_TRIES = urllib3.Retry(
    total=3,
    allowed_methods=None,  # it has an idempotency key
    status_forcelist=(429, 502, 503, 504),
    backoff_factor=0.2,
    backoff_jitter=0.3,
    retry_after_max=60,
    raise_on_status=False,
)
_TIMEOUT_S = 30.0
_TRY_AGAIN = "idempotency_in_progress"
_WORDS = {"type": "TYPE", "channels": "--channel", "priority": "--priority", "send_at": "--at"}  # of the body


class BadWords(Exception):
    """What was typed makes no sense, in one sentence for people."""


class Refused(Exception):
    """`faults`: (JSON pointer, code, message). `is_temporary`: the same may be accepted later."""

    def __init__(self, detail: str, faults: Sequence[tuple[str, str, str]] = (), *, is_temporary: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.faults, self.is_temporary = detail, faults, is_temporary


def run(options: Namespace) -> int:
    variables = Variables()
    url, key = options.url or variables.text(URL, ""), options.key or variables.secret(KEY)
    try:
        body = body_of(options)
        if options.key and not url:
            raise BadWords(f"--key is of no use without --url, or {URL} in the environment")
        if url:
            answer, base = _post(url, key, body), url.rstrip("/")
        else:
            answer, base = importlib.import_module("notifier.programs.send_here").accepted(body)
    except BadWords as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    except Refused as refused:
        print("\n".join(_told(refused, body)), file=sys.stderr)
        return os.EX_TEMPFAIL if refused.is_temporary else 1
    print(json.dumps(answer, ensure_ascii=False) if options.json else "\n".join(_shown(answer, base)))
    return 0


def body_of(options: Namespace) -> dict[str, Any]:
    """As `POST /api/v1/notifications` takes it. Raises BadWords."""
    people: list[Any] = []
    data: dict[str, Any] = {}
    for word in options.words:
        if any("\ud800" <= sign <= "\udfff" for sign in word):  # bytes that are no text
            raise BadWords("the words must be UTF-8")
        name, equals, text = word.partition("=")
        if not equals:
            people.append(word)
            continue
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not name:
            raise BadWords(f"a name is missing before {word[:40]!r}")
        if name in data:
            raise BadWords(f"{name} is given twice")
        data[name] = _value(name, text) if is_json else text
    if not people:
        raise BadWords("name at least one person: send TYPE PERSON … [NAME=VALUE …]")
    given = {"email": options.email, "phone": options.phone}
    if any(given.values()):
        if len(people) > 1:
            raise BadWords("--email and --phone are one person's: name one")
        people = [{"id": people[0], **{name: value for name, value in given.items() if value}}]
    further = {"channels": options.channel, "priority": options.priority, "send_at": options.at}
    return {
        "type": options.type,
        "recipients": people,
        "data": data,
        "idempotency_key": options.idempotency_key or str(uuid.uuid4()),
        **{name: value for name, value in further.items() if value is not None},
    }


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadWords(f"{name}:= needs JSON, such as {name}:=3 or {name}:=true; text is {name}=…") from None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _post(url: str, key: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of an installation elsewhere. Raises BadWords or Refused."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0  # reading it judges it
    except ValueError:
        is_whole = False
    if not is_whole:
        raise BadWords(f"--url, or {URL}, must be the address of Notifier, such as https://notifier.example")
    if not key:
        raise BadWords(f"set {KEY} to a key with the scope notify (or --key, which others on this machine can see)")
    try:
        answer = urllib3.PoolManager().request(
            "POST",
            f"{url.rstrip('/')}/api/v1/notifications",
            json=dict(body),
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
            retries=_TRIES,
            redirect=False,
            timeout=_TIMEOUT_S,
        )
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        is_temporary = not isinstance(cause, urllib3.exceptions.SSLError)
        raise Refused(f"{parts.hostname} gives no answer ({type(cause).__name__})", is_temporary=is_temporary) from None
    try:
        said = answer.json()
    except ValueError:
        said = None
    if answer.status == 202 and isinstance(said, dict):
        return said
    faults = _faults(said)
    if faults is None:
        raise Refused(f"{url} answers {answer.status}, which Notifier does not", is_temporary=answer.status >= 500)
    is_temporary = answer.status in (429, 503) or said.get("code") == _TRY_AGAIN
    raise Refused(str(said["detail"]), faults, is_temporary=is_temporary)


def _faults(said: Any) -> Sequence[tuple[str, str, str]] | None:
    """Of a refusal; None for one that is not of Notifier's: of a proxy's, say."""
    if not isinstance(said, dict) or not isinstance(said.get("detail"), str):
        return None
    try:
        return [(one["pointer"], one["code"], one["message"]) for one in said.get("errors") or ()]
    except (KeyError, TypeError):
        return None


def _told(refused: Refused, body: Mapping[str, Any]) -> list[str]:
    """The refusal in words of the command line."""
    lines = [f"{_named(pointer, body)}: {message}" for pointer, _, message in refused.faults] or [f"{refused.detail}."]
    if any(code == "unknown_user" for _, code, _ in refused.faults):
        lines.append("A new person needs an address: add --email or --phone.")
    return lines


def _named(pointer: str, body: Mapping[str, Any]) -> str:
    """`/data/order_id` → order_id, `/recipients/0` → ann."""
    first, *rest = pointer.split("/")[1:] or [""]
    if first == "recipients" and rest and rest[0].isdecimal():
        person = body["recipients"][int(rest[0])]
        return " ".join([person["id"] if isinstance(person, dict) else person, *(f"--{name}" for name in rest[1:])])
    if first == "data" and rest:
        return "/".join(rest)
    return _WORDS.get(first, first or "send")


def _shown(answer: Mapping[str, Any], base: str) -> list[str]:
    """Whom it goes to by which channels, and where its story is."""
    lines = []
    for one in answer["notifications"] or ():
        channels = ", ".join(
            f"{each['channel']} {each['status']}" + (f" ({each['reason']})" if each["reason"] else "")
            for each in one["deliveries"]
        )
        lines += [f"{one['id']}  {one['user']}: {channels or 'no channel'}", f"{base}/admin/notifications/{one['id']}"]
    return lines or [str(answer["id"])]
