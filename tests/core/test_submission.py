"""What a producer may ask for, whoever receives it."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.api.schemas.submissions import SubmissionIn
from notifier.core.submission import InlineRecipient, Submission, check_data, check_priority, check_send_at

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("requested", "category", "type_priority", "may_be_urgent", "fault"),
    [
        (None, "marketing", "low", False, None),
        ("low", "marketing", "low", False, None),
        ("medium", "marketing", "low", False, None),
        ("high", "marketing", "low", True, "priority_too_high"),
        ("urgent", "marketing", "low", True, "priority_too_high"),
        ("high", "social", "medium", False, None),
        ("urgent", "social", "medium", True, "priority_too_high"),
        ("high", "transactional", "high", False, None),
        ("urgent", "transactional", "high", False, "urgent_not_allowed"),
        ("urgent", "transactional", "high", True, None),
        ("urgent", "system", "urgent", False, None),
    ],
)
def test_priority_has_a_ceiling(
    requested: str | None, category: str, type_priority: str, may_be_urgent: bool, fault: str | None
) -> None:
    faults = check_priority(requested, type_priority=type_priority, category=category, may_be_urgent=may_be_urgent)
    assert [f.code for f in faults] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("ahead", "fault"),
    [
        (None, None),
        (timedelta(0), None),
        (timedelta(seconds=-59), None),
        (timedelta(minutes=-2), "in_the_past"),
        (timedelta(days=365), None),
        (timedelta(days=367), "too_far_ahead"),
    ],
)
def test_send_at_lies_in_the_coming_year(ahead: timedelta | None, fault: str | None) -> None:
    faults = check_send_at(None if ahead is None else NOW + ahead, NOW)
    assert [f.code for f in faults] == ([fault] if fault else [])


def test_data_leave_the_name_alone_by_which_webhooks_are_told_of_the_notification() -> None:
    assert [fault.pointer for fault in check_data({"notification": "mine"})] == ["/data/notification"]
    assert check_data({"Notification": 1, "order": {"notification": 2}}) == ()


PEOPLE = (InlineRecipient("alice", {"name": "A", "attributes": {"plan": "pro"}}), InlineRecipient("bob"))
SAID_ONCE, SAID_BY_US = {"send_at", "idempotency"}, {"address_id", "template_id", "variant_id", "only_through"}
SAID_AGAIN = Submission(
    type="like",
    recipients=PEOPLE,
    data={"actor": "Bob"},
    channels=("email", "inapp"),
    priority="low",
    routing="escalate",
    escalate_after=60,
    expires_in=3600,
    is_perishable=True,
    collapse_key="k",
    sequence=7,
    dedupe=False,
    push={"sound": None},
    template="like@3",
)


def test_all_that_can_be_said_again_survives_being_packed() -> None:
    plain = Submission("", (), {})
    alike = {f.name for f in fields(Submission) if getattr(SAID_AGAIN, f.name) == getattr(plain, f.name)}
    assert alike == SAID_ONCE | SAID_BY_US
    assert Submission.unpack(json.loads(json.dumps(SAID_AGAIN.pack()))) == SAID_AGAIN


def test_what_holds_once_or_is_said_by_the_product_alone_is_not_packed() -> None:
    assert SAID_AGAIN.pack().keys() == {f.name for f in fields(Submission)} - SAID_ONCE - SAID_BY_US


def test_what_another_release_has_packed_is_read() -> None:
    """An earlier one packed two fields more, had fewer of those here, and a later one may have others."""
    packed = {"type": "like", "recipients": [{"id": "alice", "changes": {}}], "data": {}, "channels": None}
    others = {"template_id": None, "only_through": None, "of_a_later_release": 1}
    assert Submission.unpack({**packed, **others}) == Submission("like", (InlineRecipient("alice"),), {})


@pytest.mark.parametrize("changes", [{}, {"is_perishable": False, "expires_in": 86_400, "push": None}], ids=str)
def test_as_a_body_it_says_the_same_again(changes: dict[str, Any]) -> None:
    at = NOW + timedelta(hours=1)
    said = replace(SAID_AGAIN, send_at=at, **changes)
    read = SubmissionIn.model_validate(json.loads(json.dumps(said.body())))
    people = tuple(InlineRecipient(one.id, one.changes()) for one in read.recipients)
    assert read.canonical(people, None) == said
    assert Submission("like", (InlineRecipient("~ann"),), {}).body() == {
        "type": "like",
        "recipients": [{"id": "ann"}],
        "data": {},
    }
