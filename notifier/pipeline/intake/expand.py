"""Expands a submission with more recipients than fit a request, in the same way as `accept` does the small ones.

Run by workers (`notifier.jobs.expand`), CHUNK recipients at a time. In-app items are rendered first; then one
transaction, with the submission's row locked, stores the chunk and takes its recipients off the list. Run twice, or
killed half-way, it stores each notification once, and continues where it stopped. As many deliveries are queued as
their queues have room for; the others wait in the database, as in a large release (`planning.pacing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from notifier.catalogue.known import load_types
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Submission
from notifier.people.person import Given, as_given, load_people, reader_as_given, recall_readers
from notifier.pipeline.intake.accept import EXPAND_GRACE
from notifier.pipeline.planning import pacing
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import Order, Target
from notifier.pipeline.planning.store import Stored, announce, store
from notifier.words.compose import Wanted

# Recipients in one transaction. SQLite has one writer at a time, and larger chunks would keep the others waiting.
CHUNK = 250

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The recipients of a submission whose turn it is, after `done` others, with the words of what is shown to them at
    once. `body`: the submission's, as it was when the words were made.
    """

    submission_id: UUID
    done: int
    recipients: Sequence[str]
    body: dict[str, Any]
    order: Order
    words: Beforehand


def expand(submission_id: UUID) -> int:
    """Returns the number of notifications stored by this call: 0 when it was done already, or is being done."""
    made = 0
    while (chunk := next_chunk(submission_id)) is not None:
        stored = store_chunk(chunk)
        if stored is None:  # another worker has done this one, and goes on
            break
        announce(stored)
        made += len(stored.summaries)
    return made


def next_chunk(submission_id: UUID) -> Chunk | None:
    """None: all have had their turn. Outside the transaction that stores it, since templates are people's programs."""
    row = db.session.get(Submission, submission_id, populate_existing=True)
    if row is None or row.status != "expanding":
        db.session.close()
        return None
    body, order, words = row.body, _order(row), Beforehand()
    given: dict[str, Given] = body.get("given", {})
    chunk = Chunk(row.id, row.expanded, body["recipients"][:CHUNK], body, order, words)
    if SHOWN_BY_US in (order.requested or order.type.channels) and order.send_at is None and not row.is_test:
        readers = recall_readers(chunk.recipients).items()
        words.make(
            Wanted(SHOWN_BY_US, order.type, order.template_id, reader_as_given(reader, given.get(user_id)), order.data)
            for user_id, reader in readers
        )
    return chunk


@retried
def store_chunk(chunk: Chunk) -> Stored | None:
    """One transaction. → the signals for `announce`; None, and nothing has changed, if this chunk is stored already.
    Redis is asked before it, so that a Redis that hangs is waited for outside.

    Of two workers with one chunk the second waits for the first, and sees it done.
    """
    room = pacing.room()
    with transaction() as session:
        row = session.get(Submission, chunk.submission_id, with_for_update=True, populate_existing=True)
        if row is None or row.status != "expanding" or row.expanded != chunk.done:
            return None
        now = clock_now()
        stored = store(_targets(row, chunk), now, chunk.words, room)
        row.expanded += len(chunk.recipients)
        left = row.body["recipients"][len(chunk.recipients) :]
        # Finished recipients are taken off the list, so that a worker of a release without chunks can continue, too.
        row.body, row.wake_at = {**row.body, "recipients": left}, now + EXPAND_GRACE
        if not left:
            row.status, row.body, row.wake_at = "expanded", None, None
        fields = {"expanded": row.expanded, "recipients": row.recipients, "request_id": row.request_id}
    log.info(
        "submission.expanded",
        submission=show("sub", chunk.submission_id),
        notifications=len(stored.summaries),
        **fields,
    )
    return stored


def _targets(row: Submission, chunk: Chunk) -> list[Target]:
    """Targets for the recipients who still exist: some may have been erased since the submission was accepted."""
    body = chunk.body
    given: dict[str, Given] = body.get("given", {})
    moved: dict[str, list[str]] = body.get("moved", {})
    flooded = set(body["flooded"])
    persons = load_people(chunk.recipients)
    here = [user_id for user_id in chunk.recipients if user_id in persons]
    as_they_are = as_given([(persons[user_id], given.get(user_id)) for user_id in here])
    return [
        Target(
            row.id,
            row.producer_id,
            row.is_test,
            chunk.order,
            person,
            user_id in flooded,
            given.get(user_id),
            frozenset(moved.get(user_id, ())),
        )
        for user_id, person in zip(here, as_they_are, strict=True)
    ]


def _order(row: Submission) -> Order:
    type_ = load_types([row.type]).get(row.type)
    if type_ is None:
        raise LookupError(f"the event type {row.type!r} no longer exists")
    return Order.unpack(row.body, type_, row.created_at)
