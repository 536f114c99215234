"""Idempotency keys: one key belongs to one body, and always gets the same answer.

Those of single submissions are stored with them, by `accept`; `judge` asks for their `first_answers`.

`api.submitting` claims the keys of bulk calls. Such a key is claimed before anything is stored, and gets its answer
when everything is. In between, each item has a key of its own, so an interrupted call continues where it stopped, and
two calls at once store each item once. `upkeep.due` deletes these keys after a day, like all others.

`schedules` makes a schedule in one transaction, and takes its key in it (`take`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import LOCK_NOT_AVAILABLE, UNAVAILABLE, insert, sqlstate, transaction
from notifier.ground.extensions import db
from notifier.models import IdempotencyKey
from notifier.pipeline.intake.item import Accepted, Caller, Item, Key

LONGEST_WAIT_MS = 5_000  # for the first request with an idempotency key, before the second one is told to come back
IN_PROGRESS = "idempotency_in_progress"

_keys: sa.Table = IdempotencyKey.__table__

log = structlog.get_logger()


def claim(caller: Caller, key: str, digest: str) -> list[dict[str, Any]] | None:
    """→ the results that the first call with this key and body was answered with; None: the call is to be done, or
    continued.

    Raises Rejected: `idempotency_mismatch` for another body, `idempotency_in_progress` while the first one's claim is
    undecided.
    """
    with transaction():
        results: list[dict[str, Any]] | None = take(caller, key, digest, {}).get("results")
    return results


def take(caller: Caller, key: str, digest: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Takes the key for a call that is answered with `answer`, inside the caller's transaction. → the answer that is
    stored: this one, or that of the first call.

    Raises Rejected, as `claim`.
    """
    wanted = bytes.fromhex(digest)
    _add([{**_names(caller, key), "body_digest": wanted, "answer": answer}])
    stored = db.session.execute(sa.select(_keys.c.body_digest, _keys.c.answer).where(_is(caller, key))).one()
    if bytes(stored.body_digest) != wanted:
        raise mismatch()
    first: dict[str, Any] = stored.answer
    return first


def take_each(batch: Sequence[Item], answers: Sequence[dict[str, Any]]) -> dict[int, Accepted | Rejected]:
    """As `take`, for those that have a key: by index. A constant number of statements. `answers`: one each, all
    different. Raises Rejected while one of the keys is in use.
    """
    pairs = zip(batch, answers, strict=True)
    rows = [
        {**_names(item.caller, key[1]), "body_digest": body_digest(item), "answer": answer}
        for item, answer in pairs
        if (key := key_of(item))
    ]
    if not rows:
        return {}
    _add(sorted(rows, key=lambda row: (str(row["producer_id"]), row["key"])))  # two processes lock in one order
    return {
        index: replace(first, replayed=first.answer != answers[index]) if isinstance(first, Accepted) else first
        for index, first in first_answers(batch).items()
    }


def _add(rows: Sequence[dict[str, Any]]) -> None:
    """Those that are not there. Raises Rejected while another call has one of them in hand."""
    try:
        bound_the_wait()
        db.session.execute(
            insert(_keys).on_conflict_do_nothing(),
            [{**row, "submission_id": None, "created_at": now()} for row in rows],
        )
    except UNAVAILABLE as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise in_progress() from None
        raise


def settle(caller: Caller, key: str, results: Sequence[dict[str, Any]]) -> None:
    """Stores the call's answer. An answer that may turn out better on another try is not kept; nor is the key of a call
    that stored nothing.
    """
    problems = [result["error"] for result in results if "error" in result]
    if any(problem["status"] in (409, 429) or problem["status"] >= 500 for problem in problems):
        return
    is_empty = len(problems) == len(results)
    change = sa.delete(_keys) if is_empty else sa.update(_keys).values(answer={"results": list(results)})
    try:
        with transaction() as session:
            session.execute(change.where(_is(caller, key)))
    except UNAVAILABLE as error:  # the items are stored and have keys of their own: a repeat finds them
        log.warning("idempotency_keys.not_settled", error=type(error).__name__)


def _names(caller: Caller, key: str) -> dict[str, Any]:
    return {"producer_id": caller.producer_id, "key": key, "is_test": caller.is_test}


def _is(caller: Caller, key: str) -> Any:
    return sa.and_(*(_keys.c[name] == value for name, value in _names(caller, key).items()))


def first_answers(batch: Sequence[Item]) -> dict[int, Accepted | Rejected]:
    """The answers to the items whose idempotency key is stored already, by index."""
    keys = {index: key for index, item in enumerate(batch) if (key := key_of(item))}
    if not keys:
        return {}
    bound_the_wait()
    # By their names, for each producer: a bus has a thousand, and a condition for each row costs more than the rows
    names: dict[tuple[UUID, bool], set[str]] = {}
    for producer_id, name, is_test in keys.values():
        names.setdefault((producer_id, is_test), set()).add(name)
    chosen = (
        sa.and_(_keys.c.producer_id == producer_id, _keys.c.is_test == is_test, _keys.c.key.in_(wanted))
        for (producer_id, is_test), wanted in names.items()
    )
    columns = (_keys.c.producer_id, _keys.c.key, _keys.c.is_test, _keys.c.body_digest, _keys.c.answer)
    found = db.session.execute(sa.select(*columns).where(sa.or_(*chosen)))
    stored = {(row.producer_id, row.key, row.is_test): row for row in found}
    return {
        index: Accepted(row.answer, replayed=True)
        if bytes(row.body_digest) == body_digest(batch[index])
        else mismatch()
        for index, key in keys.items()
        if (row := stored.get(key))
    }


def mismatch() -> Rejected:
    return Rejected("idempotency_mismatch", "this idempotency key was used with another body")


def in_progress() -> Rejected:
    return Rejected(IN_PROGRESS, "a request with this idempotency key is still in progress", retry_after=1)


def key_of(item: Item) -> Key | None:
    producer_id, given = item.caller.producer_id, item.submission.idempotency
    return (producer_id, given[0], item.caller.is_test) if producer_id and given else None


def body_digest(item: Item) -> bytes:
    return bytes.fromhex(item.submission.idempotency[1]) if item.submission.idempotency else b""


def bound_the_wait() -> None:
    """Limits how long this transaction waits for another one that holds its key."""
    # Another process may hold our key in an open transaction: PostgreSQL makes us wait for its end, for so long.
    if db.engine.dialect.name == "postgresql":
        db.session.execute(sa.text(f"SET LOCAL lock_timeout = '{LONGEST_WAIT_MS}ms'"))
