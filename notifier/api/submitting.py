"""From a request's body to the canonical Submission, and from the pipeline's result to an answer.

Shared by all that submit or create something, so that they do it in the same way.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flask import request
from pydantic import ValidationError

from notifier.api import anywhere, auth, errors, limits
from notifier.api.schemas.submissions import SubmissionIn
from notifier.cells import sharing
from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.pipeline.intake import accept, group_commit, idempotency_keys
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.pipeline.intake.item import Accepted, Item

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"\Z')
_LONGEST_KEY = 255
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # digests of it are stored
_MOST_AT_ONCE = 1000
_MOST_REHEARSED = 100

# (a bulk item as it came, its idempotency key) → canonical; raises Rejected
Judge = Callable[[Any, str | None], Submission]
Translate = Callable[[Any, Rejected], Rejected]


def submission_from(body: SubmissionIn, given: Mapping[str, Any], header_key: str | None = None) -> Submission:
    """The canonical form. `given` is the body as it came; `header_key` the Idempotency-Key header's."""
    once = idempotency(given, header_key, body.idempotency_key)
    recipients = tuple(InlineRecipient(auth.stored_id(one.id), one.changes()) for one in body.recipients)
    return body.canonical(recipients, once)


def idempotency(
    given: Mapping[str, Any], header_key: str | None, body_key: str | None = None
) -> tuple[str, str] | None:
    """The key of a call, with the digest of its body as it came. Raises Rejected if header and body have two keys."""
    if header_key and body_key and header_key != body_key:
        fault = Fault("/idempotency_key", "idempotency_keys_differ", "the header has another key")
        raise Rejected("validation_failed", fault.message, (fault,))
    key = header_key or body_key
    return (key, digest_of(given)) if key else None


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of a body, whatever the order of its fields and the spelling of its JSON. The key itself is left out."""
    canonical = {name: value for name, value in body.items() if name != "idempotency_key"}
    return hashlib.sha256(_sorted(canonical).encode()).hexdigest()


def idempotency_key() -> str | None:
    """The Idempotency-Key header, quoted as the draft has it or bare. Raises Rejected for an unusable one."""
    given = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    quoted = _QUOTED.match(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else given.strip()
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        fault = Fault(
            "/idempotency_key",
            "invalid_idempotency_key",
            f"the Idempotency-Key header must be 1 to {_LONGEST_KEY} printable characters",
        )
        raise Rejected("validation_failed", fault.message, (fault,))
    return key


def submit(submission: Submission, *, is_split: bool = True) -> Accepted:
    """Submits one request's submission, in one transaction with others that arrive at the same time. `is_split`: it is
    for people of this cell alone (`api.splitting`).
    """
    limits.charge(len(submission.recipients) - 1)  # the first was counted at the door
    if db.session.registry.has():
        db.session.rollback()  # whatever was read before is let go: nobody keeps a connection while waiting for others
    item = Item(auth.caller(), submission)
    return group_commit.submit(item) if is_split else anywhere.submit(item)


def rehearse(submission: Submission, *, is_split: bool = True) -> dict[str, Any]:
    """The dry run of a submission: API.md, `?dry_run=true`. Raises the Rejected that the real call would get."""
    check_rehearsal(len(submission.recipients), "/recipients")
    [result] = (dry_run if is_split else anywhere.dry_run)([Item(auth.caller(), submission)])
    if isinstance(result, Rejected):
        raise result
    return result


def check_rehearsal(people: int, pointer: str) -> None:
    """Raises Rejected for more people than a dry run renders texts for; `pointer` is that of the recipients."""
    if people > _MOST_REHEARSED:
        fault = Fault(pointer, "too_long", f"a dry run takes at most {_MOST_REHEARSED} recipients")
        raise Rejected("validation_failed", fault.message, (fault,))


def submit_each(
    items: Sequence[Any],
    judge: Judge,
    translate: Translate = lambda _item, refused: refused,
    *,
    is_split: bool = True,
) -> tuple[list[dict[str, Any]], bool]:
    """A bulk call: every item is checked by itself, the good ones are stored together.

    `translate` puts the pipeline's refusal of an item into the words of the call. → the results as in API.md, and
    whether all of them are replays. Raises Rejected if its idempotency key was used with another body, or is in use at
    this moment.
    """
    key = idempotency_key()
    results, good = _judge_each(items, judge, key)
    limits.charge(sum(len(item.submission.recipients) for item in good.values()) + len(items) - len(good) - 1)
    first_results = idempotency_keys.claim(auth.caller(), key, digest_of(request.json)) if key else None
    if first_results is not None:
        return first_results, True
    replays = 0
    for index, outcome in zip(good, _accept(list(good.values()), is_split=is_split), strict=True):
        if isinstance(outcome, Rejected):
            if key and outcome.code == IN_PROGRESS:
                raise outcome  # the same call is being answered elsewhere: what it stores is found by the next try
            results[index]["error"] = errors.from_rejected(translate(items[index], outcome), _place(index))
        else:
            replays += outcome.replayed
            results[index] |= {"id": outcome.answer["id"], "notifications": ids_in(outcome.answer)}
    if key:
        idempotency_keys.settle(auth.caller(), key, results)
    return results, replays == len(items)


def rehearse_each(
    items: Sequence[Any],
    judge: Judge,
    translate: Translate = lambda _item, refused: refused,
    *,
    is_split: bool = True,
) -> list[dict[str, Any]]:
    """The dry run of a bulk call: for each item what `rehearse` says, or its error."""
    results, good = _judge_each(items, judge, None)
    check_rehearsal(sum(len(item.submission.recipients) for item in good.values()), "/notifications")
    run = dry_run if is_split else anywhere.dry_run
    for index, outcome in zip(good, run(list(good.values())), strict=True):
        if isinstance(outcome, Rejected):
            results[index]["error"] = errors.from_rejected(translate(items[index], outcome), _place(index))
        else:
            results[index] |= outcome
    return results


def _judge_each(
    items: Sequence[Any], judge: Judge, whole_key: str | None
) -> tuple[list[dict[str, Any]], dict[int, Item]]:
    """→ the results so far, with the errors of those whose form is wrong, and the others by their index."""
    results: list[dict[str, Any]] = [{"index": index} for index in range(len(items))]
    good: dict[int, Item] = {}
    for index, item in enumerate(items):
        try:
            good[index] = Item(auth.caller(), judge(item, whole_key and _key_of_item(whole_key, index)))
        except Rejected as refused:
            results[index]["error"] = errors.from_rejected(refused, _place(index))
    return results, good


def _accept(items: Sequence[Item], *, is_split: bool) -> list[Accepted | Rejected]:
    """One transaction for up to a thousand people; more are stored in several, so that nobody waits long for a lock.

    Once some are stored the call succeeds, and says of each of the others what became of it.
    """
    outcomes: list[Accepted | Rejected] = []
    how = accept if is_split else sharing
    for batch in _batches(items):
        outcomes += how.accept_part(batch) if outcomes else how.accept(batch)
    return outcomes


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    batch: list[Item] = []
    people = 0
    for item in items:
        if batch and people + len(item.submission.recipients) > _MOST_AT_ONCE:
            yield batch
            batch, people = [], 0
        batch.append(item)
        people += len(item.submission.recipients)
    yield batch


def ids_in(accepted: Mapping[str, Any]) -> list[str] | None:
    """The notifications' ids; None while they are made in the background."""
    notifications = accepted["notifications"]
    return None if notifications is None else [notification["id"] for notification in notifications]


def judge_canonical(item: Any, header_key: str | None) -> Submission:
    """An item of POST /notifications/bulk. Its own idempotency key takes precedence over the call's."""
    try:
        body = SubmissionIn.model_validate(item)
    except ValidationError as error:
        raise errors.from_validation(error) from None
    return submission_from(body, item, None if body.idempotency_key else header_key)


def replay_header(is_replay: bool) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if is_replay else {}


def story_header(answer: Mapping[str, Any]) -> dict[str, str]:
    """Leads from the answer to a submission for one person to the page on which operators follow it."""
    notifications = answer["notifications"]
    if notifications is None or len(notifications) != 1:
        return {}
    page = f"{current_settings().public_url}/admin/notifications/{notifications[0]['id']}"
    return {"Link": f'<{page}>; rel="describedby"; type="text/html"'}


def _key_of_item(whole_key: str, index: int) -> str:
    # A repeated bulk call with a key answers each item as it did the first time.
    return f"bulk:{hashlib.sha256(whole_key.encode()).hexdigest()}:{index}"


def _place(index: int) -> str:
    return pointer_to("notifications", index)
