"""An order keeps every field of its submission, wherever it is stored on its way."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.core.experiments import Wording
from notifier.core.routing import ESCALATE
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.database import transaction
from notifier.ground.ids import new_id
from notifier.models import EventType, InboxItem, Notification
from notifier.models import Submission as SubmissionRow
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.planning.orders import Order
from tests.stored import rows

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
LIKE = EventType(key="like", category="social", priority="medium", channels=["inapp", "email"], is_mandatory=False)
UNLIKE_ANY_DEFAULT = Order(
    LIKE,
    "low",
    data={"order_id": "A1"},
    wording=Wording(new_id(), new_id()),
    requested=("inapp", "email"),
    routing=ESCALATE,
    escalate_after=timedelta(seconds=90.5),
    send_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    is_perishable=True,
    collapse_key="order-1",
    sequence=7,
    push={"sound": None},
    submitted_at=NOON - timedelta(hours=1),
    address_id=new_id(),
    only_through="main",
    dedupe_window_s=3600,
    is_deduplicated=True,
    is_tried=True,
)
# As releases before this one have stored it.
LONG_AGO: dict[str, Any] = {
    "data": {"actor": "Bob"},
    "channels": None,
    "priority": "medium",
    "routing": "all",
    "escalate_after": 900.0,
    "template_id": None,
    "send_at": None,
    "expires_at": "2126-01-15T13:00:00+00:00",
    "is_perishable": False,
    "collapse_key": None,
    "sequence": None,
}
LAST_RELEASE = {**LONG_AGO, "dedupe_window_s": None, "is_deduplicated": False}


def stored(packed: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(packed))
    return document


def test_every_field_survives_being_packed() -> None:
    plain = Order(LIKE, "medium")
    assert [f.name for f in fields(Order) if getattr(UNLIKE_ANY_DEFAULT, f.name) == getattr(plain, f.name)] == ["type"]
    assert Order.unpack(stored(UNLIKE_ANY_DEFAULT.pack()), LIKE, NOON - timedelta(hours=1)) == UNLIKE_ANY_DEFAULT
    assert Order.unpack(stored(plain.pack()), LIKE, NOON) == replace(plain, submitted_at=NOON)


@pytest.mark.parametrize(("packed", "is_deduplicated"), [(LONG_AGO, True), (LAST_RELEASE, False)])
def test_what_an_earlier_release_has_packed_is_read(packed: dict[str, Any], is_deduplicated: bool) -> None:
    assert Order.unpack(packed, LIKE, NOON) == Order(
        LIKE,
        "medium",
        data={"actor": "Bob"},
        expires_at=datetime(2126, 1, 15, 13, tzinfo=UTC),
        submitted_at=NOON,
        is_deduplicated=is_deduplicated,
    )


def test_the_last_release_finds_all_that_it_reads() -> None:
    """During an upgrade its workers expand what the new web process has taken in."""
    assert Order(LIKE, "medium").pack().keys() >= LAST_RELEASE.keys()


def test_each_notification_says_what_its_order_says() -> None:
    columns, all_columns = UNLIKE_ANY_DEFAULT.columns("alice"), set(Notification.__table__.c.keys())
    assert columns.keys() <= all_columns
    told = {f.name for f in fields(Order)} & all_columns - {"type"}
    assert {name: columns[name] for name in told} == {name: getattr(UNLIKE_ANY_DEFAULT, name) for name in told}
    assert (columns["type"], columns["category"]) == ("like", "social")
    wording = UNLIKE_ANY_DEFAULT.wording
    assert (columns["template_id"], columns["variant_id"]) == (wording.template_id, wording.variant_id)


@pytest.mark.parametrize(
    ("said", "ordered"),
    [
        ({}, {"priority": "medium", "routing": "all", "requested": None, "escalate_after": timedelta(minutes=15)}),
        ({"priority": "low", "channels": ("email",)}, {"priority": "low", "requested": ("email",)}),
        (
            {"routing": "escalate", "escalate_after": 60},
            {"routing": "escalate", "escalate_after": timedelta(minutes=1)},
        ),
        ({"expires_in": 60}, {"expires_at": NOON + timedelta(minutes=1)}),
        (
            {"expires_in": 60, "send_at": NOON + timedelta(hours=1)},
            {"send_at": NOON + timedelta(hours=1), "expires_at": NOON + timedelta(minutes=61)},
        ),
        ({"dedupe": True}, {"dedupe_window_s": 3600, "is_deduplicated": True}),
        ({"dedupe": False}, {"is_deduplicated": False}),
        ({"collapse_key": "k", "sequence": 3}, {"collapse_key": "k", "sequence": 3}),
    ],
)
def test_it_is_what_the_submission_says_and_else_its_type(said: dict[str, Any], ordered: dict[str, Any]) -> None:
    submission = Submission("like", (InlineRecipient("alice"),), {"actor": "Bob"}, **said)
    order = Order.of(submission, LIKE, Wording(), NOON, is_ours=False, is_tried=False)
    assert {name: getattr(order, name) for name in ordered} == ordered


def test_what_needs_no_translation_goes_over_as_it_is() -> None:
    submission = Submission(
        "like",
        (InlineRecipient("alice"),),
        {"actor": "Bob"},
        priority="low",
        routing="escalate",
        send_at=NOON,
        is_perishable=True,
        collapse_key="k",
        sequence=7,
        push={"sound": None},
        address_id=new_id(),
        only_through="main",
    )
    order = Order.of(submission, LIKE, Wording(), NOON, is_ours=False, is_tried=False)
    translated = {"type", "escalate_after", "template_id"}
    same = {f.name for f in fields(Order)} & {f.name for f in fields(Submission)} - translated
    plain = Order(LIKE, "medium")
    assert {name for name in same if getattr(order, name) == getattr(plain, name)} == set()
    assert {name: getattr(order, name) for name in same} == {name: getattr(submission, name) for name in same}


def test_what_the_product_says_is_not_remembered() -> None:
    submission = Submission("like", (InlineRecipient("alice"),), {"actor": "Bob"}, dedupe=True)
    assert Order.of(submission, LIKE, Wording(), NOON, is_ours=True, is_tried=False).dedupe_window_s is None


@pytest.mark.parametrize("packed", [LONG_AGO, LAST_RELEASE])
def test_what_an_earlier_release_has_left_to_expand_is_expanded(
    app: APIFlask, cast: dict[str, str], packed: dict[str, Any]
) -> None:
    body = {**packed, "recipients": ["alice", "bob"], "flooded": []}
    with transaction() as session:
        row = SubmissionRow(type="like", status="expanding", recipients=2, expanded=0, body=body)
        session.add(row)
    assert expand(row.id) == 2
    assert len(rows(InboxItem)) == 2
