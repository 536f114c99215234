"""What the scheduler's tasks wait for: for each a row that makes it run, and none where nothing is to be done."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import (
    Broadcast,
    BulkAction,
    Delivery,
    Digest,
    Event,
    EventReader,
    Experiment,
    InboxItem,
    Receipt,
    Reencryption,
    Schedule,
    Submission,
    Subscription,
    Upload,
)
from notifier.programs import scheduler
from notifier.queries import due_work, events

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=5), NOW + timedelta(minutes=5)

TOLD = {"url": "https://example.test/", "secret": "x"}

ROWS: list[tuple[Any, Mapping[str, Any], set[str]]] = [
    (Delivery, {"status": "waiting", "wake_at": PAST, "held_for": None}, {"ring_due"}),
    (Delivery, {"status": "waiting", "wake_at": FUTURE, "held_for": None}, set()),
    (Delivery, {"status": "waiting", "wake_at": FUTURE, "held_for": "email smtp"}, {"let_out"}),
    (Delivery, {"status": "queued", "wake_at": FUTURE, "held_for": None}, {"ring_lost"}),
    (Delivery, {"status": "sending", "wake_at": PAST, "held_for": None}, {"free_lapsed"}),
    (Delivery, {"status": "sending", "wake_at": FUTURE, "held_for": None}, set()),
    (Delivery, {"status": "sent", "wake_at": None, "held_for": None}, set()),
    (Receipt, {"applied_at": None, "wake_at": PAST}, {"apply_receipts"}),
    (Receipt, {"applied_at": PAST, "wake_at": None}, set()),
    (Digest, {"due_at": PAST}, {"close_digests"}),
    (Schedule, {"next_at": PAST}, {"submit_scheduled"}),
    (Schedule, {"next_at": None}, set()),
    (Submission, {"wake_at": PAST}, {"ring_expansions"}),
    (Submission, {"wake_at": None}, set()),
    (Broadcast, {"finished_at": None, "status": "running", "retrying": None}, {"watch_broadcasts"}),
    (
        Broadcast,
        {"finished_at": None, "status": "running", "retrying": PAST},
        {"watch_broadcasts", "retry_broadcasts"},
    ),
    (
        Broadcast,
        {"finished_at": None, "status": "cancelled", "retrying": PAST},
        {"watch_broadcasts", "cancel_broadcasts"},
    ),
    (Broadcast, {"finished_at": PAST}, set()),
    (Upload, {"wake_at": PAST}, {"ring_uploads"}),
    (BulkAction, {"finished_at": None}, {"bulk_actions"}),
    (BulkAction, {"finished_at": PAST}, set()),
    (Reencryption, {"wake_at": PAST}, {"encrypt_anew"}),
    (Reencryption, {"wake_at": None}, set()),
    (Subscription, {**TOLD, "disabled_at": None, "wake_at": PAST}, {"ring_subscriptions"}),
    (Subscription, {**TOLD, "disabled_at": None, "wake_at": FUTURE}, set()),
    (Subscription, {**TOLD, "disabled_at": PAST, "wake_at": PAST}, set()),
    (Experiment, {"started_at": PAST, "counted_at": None}, {"count_experiments"}),
    (Experiment, {"started_at": PAST, "counted_at": PAST}, set()),
    (Experiment, {"started_at": None, "counted_at": None}, set()),
    (InboxItem, {"snoozed_until": PAST}, {"wake_snoozed"}),
    (InboxItem, {"snoozed_until": FUTURE}, set()),
]


def _add(model: Any, given: Mapping[str, Any]) -> None:
    """A row of which nothing but that matters."""
    some: dict[type, Any] = {str: "x", int: 1, bool: False, float: 1.0, datetime: PAST, UUID: new_id(), dict: {}}
    values = {
        column.name: given[column.name] if column.name in given else some.get(_type(column), [])
        for column in model.__table__.columns
        if column.name in given or not (column.nullable or column.autoincrement is True)
    }
    db.session.execute(sa.insert(model.__table__).values(values))


def _type(column: "sa.Column[Any]") -> type:
    kind = column.type
    return kind.impl_instance.python_type if isinstance(kind, sa.TypeDecorator) else kind.python_type


@pytest.mark.parametrize(("model", "given", "expected"), ROWS)
def test_a_task_is_wanted_while_a_row_waits_for_it(
    app: APIFlask, model: Any, given: Mapping[str, Any], expected: set[str]
) -> None:
    _have_read_all()
    _refer_to_nothing()
    _add(model, given)
    assert due_work.waiting(db.session.connection(), NOW) == expected  # of what is written and not committed


def _refer_to_nothing() -> None:
    """Rows of this transaction need none of those that they refer to."""
    db.session.execute(
        sa.text("SET session_replication_role = replica")
        if db.engine.dialect.name == "postgresql"
        else sa.text("PRAGMA defer_foreign_keys = ON")
    )


def _have_read_all() -> None:
    end = events.end()
    for name in due_work.READERS.values():
        db.session.execute(sa.insert(EventReader).values(name=name, position=end))


def test_who_counts_events_is_wanted_to_begin_and_when_there_is_another(app: APIFlask) -> None:
    assert due_work.waiting(db.session.connection(), NOW) == set(due_work.READERS)
    _have_read_all()
    _refer_to_nothing()
    assert due_work.waiting(db.session.connection(), NOW) == set()
    is_postgresql = db.engine.dialect.name == "postgresql"
    _add(Event, {"id": db.session.scalar(sa.text("SELECT nextval('event_id_seq')")) if is_postgresql else 1_000_000})
    assert due_work.waiting(db.session.connection(), NOW) == set(due_work.READERS)


def test_every_condition_is_that_of_a_task_and_has_its_rows() -> None:
    named = set().union(*(expected for _, _, expected in ROWS))
    assert set(due_work.CONDITIONS) == named
    assert set(due_work.NAMES) <= {task.name for task in scheduler.tasks("test")}
