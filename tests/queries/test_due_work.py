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
    InboxItem,
    Receipt,
    Reencryption,
    Schedule,
    Submission,
    Upload,
)
from notifier.programs import scheduler
from notifier.queries import due_work

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=5), NOW + timedelta(minutes=5)

ROWS: list[tuple[Any, Mapping[str, Any], set[str]]] = [
    (Delivery, {"status": "waiting", "wake_at": PAST, "held_for": None}, {"ring_due"}),
    (Delivery, {"status": "waiting", "wake_at": FUTURE, "held_for": None}, set()),
    (Delivery, {"status": "waiting", "wake_at": FUTURE, "held_for": "email smtp"}, {"let_out"}),
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
    db.session.execute(
        sa.text("SET session_replication_role = replica")
        if db.engine.dialect.name == "postgresql"
        else sa.text("PRAGMA defer_foreign_keys = ON")
    )
    _add(model, given)
    assert due_work.waiting(NOW) == expected  # of what this session has written and not committed


def test_nothing_is_wanted_of_an_empty_installation(app: APIFlask) -> None:
    assert due_work.waiting(NOW) == set()


def test_every_condition_is_that_of_a_task_and_has_its_rows() -> None:
    named = set().union(*(expected for _, _, expected in ROWS))
    assert set(due_work.CONDITIONS) == named
    assert named <= {task.name for task in scheduler.tasks("test")}
