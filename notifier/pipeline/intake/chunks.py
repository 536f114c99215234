"""The chunks in which `expand` makes the notifications of a large submission: whose turn it is, and their storing.

The recipients of a broadcast are found in its audience, page after page; any other submission brings a list. In-app
items are rendered first; then one transaction stores the chunk and takes its recipients off the list, so it is stored
once. When the producer is switched off or its key revoked, a broadcast is paused, and a list ends there. As many
deliveries are queued as their queues have room for; the others wait in the database, as in a large release
(`planning.pacing`).
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from notifier.catalogue.known import load_types
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.ledgers.flood import Trigger, give_back, over_limit
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
from notifier.words.compose import Wanted

# Recipients in one transaction. SQLite has one writer at a time, and larger chunks would keep the others waiting.
CHUNK = 1_000
CHUNK_IN_SQLITE = 250
# While there are urgent deliveries, which would wait for the end of a chunk; then come the others' turns, as long as
# the chunk took
CHUNK_BESIDE_PRESSING = 50
_LONGEST_WAIT_S = 10.0  # of a chunk that is stored beside the one before, for that

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The recipients of a submission whose turn it is, after `done` others, with the words of what is shown to them at
    once. `body`: the submission's, as it was when the words were made. `turn`: a broadcast's; `before`: the storing of
    the turn that it follows.
    """

    submission_id: UUID
    done: int
    recipients: Sequence[str]
    body: dict[str, Any]
    order: Order
    words: Beforehand
    turn: Turn | None = None
    flooded: Collection[str] = ()
    before: Future[Any] | None = None


def chunk_size() -> int:
    """Recipients in one transaction, with nothing urgent beside it."""
    return min(CHUNK, CHUNK_IN_SQLITE) if db.engine.dialect.name == "sqlite" else CHUNK


def next_chunk(submission_id: UUID, *, gives_way: bool = False, behind: Turn | None = None) -> Chunk | None:
    """None: all have had their turn, or nobody else is to have one. Outside the transaction that stores it, since
    templates are people's programs. `gives_way`: a small one. `behind`: that after a broadcast's turn which is being
    stored.
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
        given, turn = {}, turns.next_turn(row.id, most, behind)
        if turn is None:
            return None
        recipients = turn.user_ids
        flooded = [user_id for user_id, _ in over_limit(_triggers(turn, order))]
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


def _triggers(turn: Turn, order: Order) -> list[Trigger]:
    return [(user_id, order.type.key) for user_id in turn.user_ids]


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


def store_and_announce(chunk: Chunk) -> int | None:
    """→ how many notifications; None: it is stored already, or is not to be stored."""
    stored = None
    try:
        stored = store_chunk(chunk)
    finally:
        if stored is None and chunk.turn is not None:
            give_back(_triggers(chunk.turn, chunk.order))
    if stored is None:
        return None
    announce(stored)
    return len(stored.made)


@retried
def store_chunk(chunk: Chunk) -> Stored | None:
    """One transaction. → the signals for `announce`; None, and nothing has changed, if this chunk is stored already, or
    is not to be stored. Redis is asked before it, so that a Redis that hangs is waited for outside.

    Of two workers with one chunk the second waits for the first, and sees it done.
    """
    room = pacing.room(beside=0 if chunk.before is None else 1)
    try:
        with transaction() as session:
            is_listed = chunk.turn is None
            row = session.get(Submission, chunk.submission_id, with_for_update=is_listed, populate_existing=True)
            if row is None or row.status != "expanding":
                raise _Over
            now = clock_now()
            if chunk.turn is None:
                stored = _store_listed(row, chunk, now, room)
            else:
                stored = _store_turn(row, chunk, chunk.turn, now, room)
            fields = {"expanded": row.expanded, "recipients": row.recipients, "request_id": row.request_id}
    except _Over:
        return None
    log.info(
        "submission.expanded",
        submission=show("sub", chunk.submission_id),
        notifications=len(stored.made),
        **fields,
    )
    return stored


class _Over(Exception):
    """The chunk has had its turn, or is not to have one."""


def _store_listed(row: Submission, chunk: Chunk, now: datetime, room: Mapping[pacing.Lane, int]) -> Stored:
    if row.expanded != chunk.done:
        raise _Over
    stored = store(_targets(row, chunk, now), now, chunk.words, room)
    row.expanded += len(chunk.recipients)
    left = row.body["recipients"][len(chunk.recipients) :]
    # Finished recipients are taken off the list, so that a worker of a release without chunks can continue, too.
    row.body, row.wake_at = {**row.body, "recipients": left}, now + EXPAND_GRACE
    if not left:
        _end(row)
    return stored


def _store_turn(row: Submission, chunk: Chunk, turn: Turn, now: datetime, room: Mapping[pacing.Lane, int]) -> Stored:
    """Locks the submission and its broadcast at the end: until then the turn that this one follows may be being stored,
    and somebody may cancel it. If both wait for something of the other's, this one gives up.
    """
    if not turns.may_come(row.id, turn):
        raise _Over
    targets = _targets(row, chunk, now)
    stored = store(targets, now, chunk.words, room) if targets else Stored()
    if chunk.before is not None:
        wait([chunk.before], _LONGEST_WAIT_S)
    broadcast = turns.hold(row.id, turn)
    if broadcast is None:
        raise _Over
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
