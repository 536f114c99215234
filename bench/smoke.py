"""`make smoke`: whether an installation does what it is there for. `URL=… KEY=…` names one; else it starts its own.

With a test key, one message goes through every channel and ends in the sandbox; the person it is for is erased again.
With any other key nothing is changed: what would happen is asked for by a dry run.
"""

import argparse
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from bench.processes import ROOT, hire_janitor, tell_janitor, wait_until
from bench.sample import DATA, TYPE
from bench.target import Target
from notifier.channels import CHANNELS

_PERSON = "smoke"
_PROFILE = {"name": "Smoke", "email": "smoke@sandbox.test", "phone": "+15550100000"}
_OF_PROFILE = ("email", "sms", "whatsapp", "voice")  # whose address is one of a profile's
_OPEN = ("waiting", "queued", "sending")
_TEST = "ntf_test_"


class Check(NamedTuple):
    """`holds` None: it says something, and there was nothing to be judged."""

    name: str
    holds: bool | None
    said: str


def checks(target: Target, *, is_test: bool, patience_s: float = 60.0) -> Iterator[Check]:
    health = target.call("GET", "/healthz")
    yield Check("answers", health.status == 200, f"/healthz {health.status}")
    ready = target.call("GET", "/readyz")
    yield Check("ready", ready.status == 200 and ready.body["status"] == "ok", f"/readyz {_words(ready.body)}")
    document = target.call("GET", "/api/openapi.json")
    yield Check("documented", document.status == 200, f"/api/openapi.json {document.status}")
    known = target.call("GET", "/api/v1/notifications?limit=1")
    yield Check("key", known.status == 200, f"GET /api/v1/notifications {known.status}")
    if known.status == 200:
        yield from _sent(target, patience_s) if is_test else _rehearsed(target)


def _rehearsed(target: Target) -> Iterator[Check]:
    body = {"type": TYPE, "recipients": [{"id": f"smoke-{secrets.token_hex(4)}", **_PROFILE}], "data": DATA}
    answer = target.call("POST", "/api/v1/notifications?dry_run=true", body)
    yield Check("dry run", answer.status == 200, f"{answer.status}")
    for delivery in answer.body["notifications"][0]["deliveries"] if answer.status == 200 else ():
        yield Check(delivery["channel"], None, _outcome(delivery))


def _sent(target: Target, patience_s: float) -> Iterator[Check]:
    person = f"/api/v1/users/{_PERSON}"
    made = target.call("PUT", person, _PROFILE)
    yield Check("person", made.status in (200, 201), f"PUT {person} {made.status}")
    if made.status >= 300:
        return
    try:
        yield from _through_every_channel(target, person, patience_s)
    finally:
        target.call("DELETE", person)


def _through_every_channel(target: Target, person: str, patience_s: float) -> Iterator[Check]:
    for channel in CHANNELS.values():
        if channel.address is not None and channel.name not in _OF_PROFILE:
            value = "sandbox:delivered:1" if channel.name == "push" else channel.address.example
            target.call("POST", f"{person}/addresses", {"channel": channel.name, "value": value})
    target.call("PUT", f"{person}/preferences", {"channels": dict.fromkeys(CHANNELS, True)})
    body = {"type": TYPE, "recipients": [_PERSON], "data": DATA, "channels": [*CHANNELS], "dedupe": False}
    sent = target.call("POST", "/api/v1/notifications", body)
    yield Check("accepted", sent.status == 202, f"POST /api/v1/notifications {sent.status}")
    if sent.status != 202:
        return
    path = f"/api/v1/notifications/{sent.body['notifications'][0]['id']}"
    give_up_at = time.monotonic() + patience_s
    while True:
        deliveries = target.call("GET", path).body["deliveries"]
        if all(one["status"] not in _OPEN for one in deliveries) or time.monotonic() > give_up_at:
            break
        time.sleep(0.2)
    for one in deliveries:
        yield Check(one["channel"], one["status"] in ("sent", "delivered", "opened", "clicked"), _outcome(one))


def _outcome(delivery: Mapping[str, Any]) -> str:
    return f"{delivery['status']}: {delivery['reason']}" if delivery.get("reason") else str(delivery["status"])


def _words(body: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in body.items()) if isinstance(body, dict) else str(body)[:80]


@contextmanager
def own_installation() -> Iterator[tuple[str, str]]:
    """`make run` in a folder that goes away again. → its URL, and a test key."""
    hire_janitor()
    with tempfile.TemporaryDirectory(prefix="notifier-smoke-") as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        own = {"NOTIFIER_HOME": f"{place}/home", "PORT": str(port), "NOTIFIER_DEMO": "0", "LOG_LEVEL": "warning"}
        environment = {**os.environ, **own}
        with (Path(place) / "log").open("w") as log:
            words = [sys.executable, "-m", "notifier"]
            up = subprocess.Popen([*words, "up"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        tell_janitor("started", up.pid)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_ready(url), "it is ready", within_s=300, pause_s=0.5)
            made = subprocess.run(
                [*words, "create-producer", "smoke", "--test"],
                cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
            )  # fmt: skip
            yield url, made.stdout.splitlines()[-1]
        finally:
            up.terminate()
            up.wait(30)
            tell_janitor("ended", up.pid)


def _is_ready(url: str) -> bool:
    try:
        return bool(Target(url, "").call("GET", "/readyz").body["status"] == "ok")
    except (urllib3.exceptions.HTTPError, TypeError, KeyError):
        return False


def judge(url: str, key: str) -> int:
    print(f"{url}, with a {'test' if key.startswith(_TEST) else 'live'} key")
    have_held = True
    try:
        for check in checks(Target(url, key), is_test=key.startswith(_TEST)):
            have_held &= check.holds is not False
            print(f"{ {True: 'ok  ', False: 'FAIL', None: '    '}[check.holds] } {check.name:<12} {check.said}")
    except urllib3.exceptions.HTTPError as error:
        print(f"FAIL nobody answers: {type(error).__name__}")
        return 1
    return 0 if have_held else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="make smoke URL=… KEY=…", description=__doc__)
    parser.add_argument("--url", default="")
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    if given.url and not given.key:
        parser.error("KEY=… is missing: a test key sends through every channel, any other key only looks")
    if given.url:
        return judge(given.url, given.key)
    with own_installation() as (url, key):
        return judge(url, key)


if __name__ == "__main__":
    sys.exit(main())
