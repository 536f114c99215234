"""Expands a submission with more recipients than one request may plan, in the same way as `accept` does the small ones.

Run by workers (`notifier.jobs.expand`). The texts of in-app items are rendered first; then one transaction, with the
submission's row locked: run twice, or killed half-way, it stores each notification once.
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog

from notifier.catalogue.known import load_types
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import show
from notifier.models import Submission
from notifier.people.person import Given, as_given, load_people, reader_as_given, recall_readers
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import Order, Target
from notifier.pipeline.planning.store import announce, store
from notifier.words.compose import Wanted

log = structlog.get_logger()


def expand(submission_id: UUID) -> int:
    """Returns the number of notifications stored by this call: 0 when it was done already."""
    row = db.session.get(Submission, submission_id, populate_existing=True)
    if row is None or row.status != "expanding":
        return 0
    body, order = row.body, _order(row)
    given: dict[str, Given] = body.get("given", {})
    words = Beforehand()
    if SHOWN_BY_US in (order.requested or order.type.channels) and order.send_at is None and not row.is_test:
        readers = [
            reader_as_given(reader, given.get(user_id))
            for user_id, reader in recall_readers(body["recipients"]).items()
        ]
        words.make(Wanted(SHOWN_BY_US, order.type, order.template_id, reader, body["data"]) for reader in readers)
    redis_store.look()
    with transaction() as session:
        row = session.get(Submission, submission_id, with_for_update=True, populate_existing=True)
        if row is None or row.status != "expanding":
            return 0
        persons = load_people(body["recipients"])
        still_here = [
            user_id for user_id in body["recipients"] if user_id in persons
        ]  # somebody may have been erased meanwhile
        as_they_are = as_given([(persons[user_id], given.get(user_id)) for user_id in still_here])
        targets = [
            Target(
                row.id,
                row.producer_id,
                row.is_test,
                order,
                person,
                body["data"],
                body["collapse_key"],
                user_id in body["flooded"],
                given.get(user_id),
            )
            for user_id, person in zip(still_here, as_they_are, strict=True)
        ]
        stored = store(targets, clock_now(), words)
        row.status, row.expanded, row.body, row.wake_at = "expanded", len(targets), None, None
    announce(stored)
    log.info(
        "submission.expanded",
        submission=show("sub", submission_id),
        notifications=len(targets),
        request_id=row.request_id,
    )
    return len(targets)


def _order(row: Submission) -> Order:
    body = row.body
    type_ = load_types([row.type]).get(row.type)
    if type_ is None:
        raise LookupError(f"event type {row.type!r} has gone")
    return Order(
        type=type_,
        priority=body["priority"],
        template_id=UUID(body["template_id"]) if body["template_id"] else None,
        requested=tuple(body["channels"]) if body["channels"] else None,
        send_at=datetime.fromisoformat(body["send_at"]) if body["send_at"] else None,
        expires_at=datetime.fromisoformat(body["expires_at"]),
        is_perishable=body["is_perishable"],
        routing=body["routing"],
        escalate_after=timedelta(seconds=body["escalate_after"]),
        sequence=body["sequence"],
        submitted_at=row.created_at,
        dedupe_window_s=body.get("dedupe_window_s"),
        is_deduplicated=body.get("is_deduplicated", True),  # once only those had a window that were compared
    )
