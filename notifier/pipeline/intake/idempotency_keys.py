"""Idempotency keys of whole calls: one key belongs to one body, and always gets the same answer. (Those of single
submissions are stored with them, by `accept`.)

Called by `api.submitting` for bulk calls. The key is claimed before anything is stored, and gets its answer when
everything is. In between, each item has a key of its own, so an interrupted call continues where it stopped, and two
calls at once store each item once. `upkeep.due` deletes these keys after a day, like all others.

`schedules` makes a schedule in one transaction, and takes its key in it (`take`).
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from notifier.ground.clock import now
from notifier.ground.database import LOCK_NOT_AVAILABLE, UNAVAILABLE, insert, sqlstate, transaction
from notifier.ground.extensions import db
from notifier.models import IdempotencyKey
from notifier.pipeline.intake.judge import Caller, bound_the_wait, in_progress, mismatch

_keys: sa.Table = IdempotencyKey.__table__

log = structlog.get_logger()


def claim(caller: Caller, key: str, digest: str) -> list[dict[str, Any]] | None:
    """→ the results that the first call with this key and body was answered with; None: it is to be done, or gone on
    with.

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
    row = {"body_digest": wanted, "submission_id": None, "answer": answer, "created_at": now()}
    try:
        bound_the_wait()
        db.session.execute(insert(_keys).on_conflict_do_nothing(), [{**_names(caller, key), **row}])
        stored = db.session.execute(sa.select(_keys.c.body_digest, _keys.c.answer).where(_is(caller, key))).one()
    except UNAVAILABLE as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise in_progress() from None
        raise
    if bytes(stored.body_digest) != wanted:
        raise mismatch()
    first: dict[str, Any] = stored.answer
    return first


def settle(caller: Caller, key: str, results: Sequence[dict[str, Any]]) -> None:
    """From now on this is the answer. One that may turn out better when it is tried again is not kept; nor is the key
    of one that stored nothing.
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
