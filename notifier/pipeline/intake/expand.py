"""Expands a submission with more recipients than fit a request, in the same way as `accept` does the small ones.

Run by workers (`notifier.jobs.expand`), a chunk of recipients at a time. Those of a broadcast are found in its
audience, page after page; any other submission brings a list. In-app items are rendered first; then one transaction,
with the submission's row locked, stores the chunk and takes its recipients off the list. Run twice, or killed half-way,
it stores each notification once, and continues where it stopped. When its producer is switched off or its key revoked,
a broadcast is paused, and a list ends there. As many deliveries are queued as their queues have room for; the others
wait in the database, as in a large release (`planning.pacing`).
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.catalogue.known import load_types
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.ledgers.flood import over_limit
from notifier.models import Submission
from notifier.people.person import Given, as_given, load_people, load_readers, reader_as_given
from notifier.pipeline.intake import turns
from notifier.pipeline.intake.accept import EXPAND_GRACE
from notifier.pipeline.intake.stopped_keys import why_list_stopped
from notifier.pipeline.intake.turns import Turn
from notifier.pipeline.planning import pacing
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import Order, Target
from notifier.pipeline.planning.store import Stored, announce, store
from notifier.signals.pressing import give_way, has_pressing
from notifier.words.compose import Wanted

# Recipients in one transaction. SQLite has one writer at a time, and larger chunks would keep the others waiting.
CHUNK = 1_000
CHUNK_IN_SQLITE = 250
# While there are urgent deliveries, which would wait for the end of a chunk; then come the others' turns, as long as
# the chunk took
CHUNK_BESIDE_PRESSING = 50
_TURN_S = 60.0  # of one submission, in a worker that has others to expand; a job may take three minutes
_LONGEST_PACE = timedelta(seconds=2)  # between two turns of a broadcast

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The recipients of a submission whose turn it is, after `done` others, with the words of what is shown to them at
    once. `body`: the submission's, as it was when the words were made. `turn`: a broadcast's.
    """

    submission_id: UUID
    done: int
    recipients: Sequence[str]
    body: dict[str, Any]
    order: Order
    words: Beforehand
    turn: Turn | None = None
    flooded: Collection[str] = ()


def chunk_size() -> int:
    """Recipients in one transaction, with nothing urgent beside it."""
    return min(CHUNK, CHUNK_IN_SQLITE) if db.engine.dialect.name == "sqlite" else CHUNK


def expand(submission_id: UUID) -> int:
    """Returns the number of notifications stored by this call: 0 when it was done already, or is being done. After a
    while the others have their turn, and the scheduler rings for the rest.
    """
    made, begun = 0, time.monotonic()
    while True:
        gives_way, chunk_begun = has_pressing(), time.monotonic()
        chunk = next_chunk(submission_id, gives_way=gives_way)
        stored = None if chunk is None else store_chunk(chunk)
        if stored is None:  # done; or another worker has done this one, and goes on
            break
        announce(stored)
        made += len(stored.made)
        if time.monotonic() - begun > _TURN_S:
            _leave(submission_id)
            break
        if gives_way:
            give_way(chunk_begun)
    return made


def _leave(submission_id: UUID) -> None:
    """To be rung again at once, unless it is to wait: for its pace, or for somebody to resume it."""
    now = clock_now()
    with transaction() as session:
        at_work = sa.update(Submission).where(Submission.id == submission_id, Submission.wake_at > now + _LONGEST_PACE)
        session.execute(at_work.values(wake_at=now).execution_options(synchronize_session=False))


def next_chunk(submission_id: UUID, *, gives_way: bool = False) -> Chunk | None:
    """None: all have had their turn, or nobody else is to have one. Outside the transaction that stores it, since
    templates are people's programs. `gives_way`: a small one.
    """
    most = CHUNK_BESIDE_PRESSING if gives_way else chunk_size()
    row = db.session.get(Submission, submission_id, populate_existing=True)
    if row is None or row.status != "expanding":
        db.session.close()
        return None
    body, order = row.body, _order(row)
    if "is_broadcast" not in body:
        if reason := why_list_stopped(row.producer_id, _key_of(body)):
            _stop(row.id, reason)
            return None
        given: dict[str, Given] = body.get("given", {})
        recipients, turn, flooded = body["recipients"][:most], None, body["flooded"]
    else:
        given, turn = {}, turns.next_turn(row.id, most)
        if turn is None:
            return None
        recipients = turn.user_ids
        flooded = [user_id for user_id, _ in over_limit([(user_id, order.type.key) for user_id in recipients])]
    chunk = Chunk(row.id, row.expanded, recipients, body, order, Beforehand(), turn, flooded)
    if SHOWN_BY_US in (order.requested or order.type.channels) and _is_at_once(chunk) and not row.is_test:
        # Not by the cache: a million people who have not been asked about would only fill Redis
        readers = load_readers(chunk.recipients).items()
        chunk.words.make(
            Wanted(
                SHOWN_BY_US,
                order.type,
                order.wording.for_person(user_id).template_id,
                reader_as_given(reader, given.get(user_id)),
                order.data,
            )
            for user_id, reader in readers
        )
    return chunk


def _key_of(body: Mapping[str, Any]) -> UUID | None:
    """In whose name it was submitted. Lists of older releases do not say."""
    return UUID(body["key_id"]) if body.get("key_id") else None


@retried
def _stop(submission_id: UUID, reason: str) -> None:
    """Whoever has not had their turn gets nothing; `expanded` and the audit trail say how many had it."""
    db.session.close()
    with transaction() as session:
        row = session.get(Submission, submission_id, with_for_update=True, populate_existing=True)
        if row is None or row.status != "expanding":
            return
        _end(row)
        fields = {"reason": reason, "expanded": row.expanded, "recipients": row.recipients}
        audit.write("submission.stopped", row.shown_id, after=fields)
    log.warning("submission.stopped", submission=show("sub", submission_id), **fields)


def _is_at_once(chunk: Chunk) -> bool:
    return chunk.order.send_at is None and (chunk.turn is None or chunk.turn.local_time is None)


@retried
def store_chunk(chunk: Chunk) -> Stored | None:
    """One transaction. → the signals for `announce`; None, and nothing has changed, if this chunk is stored already.
    Redis is asked before it, so that a Redis that hangs is waited for outside.

    Of two workers with one chunk the second waits for the first, and sees it done.
    """
    room = pacing.room()
    with transaction() as session:
        row = session.get(Submission, chunk.submission_id, with_for_update=True, populate_existing=True)
        if row is None or row.status != "expanding":
            return None
        now = clock_now()
        if chunk.turn is None:
            stored = _store_listed(row, chunk, now, room)
        else:
            stored = _store_turn(row, chunk, chunk.turn, now, room)
        if stored is None:
            return None
        fields = {"expanded": row.expanded, "recipients": row.recipients, "request_id": row.request_id}
    log.info(
        "submission.expanded",
        submission=show("sub", chunk.submission_id),
        notifications=len(stored.made),
        **fields,
    )
    return stored


def _store_listed(row: Submission, chunk: Chunk, now: datetime, room: Mapping[pacing.Lane, int]) -> Stored | None:
    if row.expanded != chunk.done:
        return None
    stored = store(_targets(row, chunk, now), now, chunk.words, room)
    row.expanded += len(chunk.recipients)
    left = row.body["recipients"][len(chunk.recipients) :]
    # Finished recipients are taken off the list, so that a worker of a release without chunks can continue, too.
    row.body, row.wake_at = {**row.body, "recipients": left}, now + EXPAND_GRACE
    if not left:
        _end(row)
    return stored


def _store_turn(
    row: Submission, chunk: Chunk, turn: Turn, now: datetime, room: Mapping[pacing.Lane, int]
) -> Stored | None:
    broadcast = turns.hold(row, turn)
    if broadcast is None:
        return None
    targets = _targets(row, chunk, now)
    stored = store(targets, now, chunk.words, room) if targets else Stored()
    turns.note(row, broadcast, turn, len(targets), now)
    row.wake_at = broadcast.turn_at or now + EXPAND_GRACE
    if turn.is_last:
        _end(row)
    return stored


def _end(row: Submission) -> None:
    row.status, row.body, row.wake_at = "expanded", None, None


def _targets(row: Submission, chunk: Chunk, now: datetime) -> list[Target]:
    """Targets for the recipients who still exist: some may have been erased since the submission was accepted."""
    body = chunk.body
    given: dict[str, Given] = body.get("given", {})
    moved: dict[str, list[str]] = body.get("moved", {})
    flooded, turn = set(chunk.flooded), chunk.turn
    persons = load_people(chunk.recipients)
    order_in = None if turn is None else turns.orders_of(chunk.order, body["expires_in"], turn, now)
    here = [user_id for user_id in chunk.recipients if user_id in persons]
    as_they_are = as_given([(persons[user_id], given.get(user_id)) for user_id in here])
    return [
        Target(
            row.id,
            row.producer_id,
            row.is_test,
            chunk.order if order_in is None else order_in(person.zone),
            person,
            user_id in flooded,
            given.get(user_id),
            frozenset(moved.get(user_id, ())),
            is_of_broadcast=turn is not None,
        )
        for user_id, person in zip(here, as_they_are, strict=True)
    ]


def _order(row: Submission) -> Order:
    type_ = load_types([row.type]).get(row.type)
    if type_ is None:
        raise LookupError(f"the event type {row.type!r} no longer exists")
    return Order.unpack(row.body, type_, row.created_at)
