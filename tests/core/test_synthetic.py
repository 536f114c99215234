"""How the synthetic person is asked for, and how their messages are judged."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from notifier.core.synthetic import Result, Synthetic, judge, parse_synthetic

THEN = datetime(2026, 12, 1, 9, tzinfo=UTC)
S = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "every", "addresses"),
    [
        ("5m", timedelta(minutes=5), {}),
        ("1d", timedelta(days=1), {}),
        ("1h email=c@x.test  sms=+4915112345678", timedelta(hours=1), {"email": "c@x.test", "sms": "+4915112345678"}),
        ("2m slack=https://x.test/a=b", timedelta(minutes=2), {"slack": "https://x.test/a=b"}),
    ],
)
def test_a_setting_says_how_often_and_where(text: str, every: timedelta, addresses: dict[str, str]) -> None:
    assert parse_synthetic(text) == Synthetic(every, addresses)


@pytest.mark.parametrize(
    "text", ["5", "30s", "0m", "2d", "email=c@x.test", "5m email", "5m email=", "5m =c@x.test", "5m sms=+1 sms=+2"]
)
def test_another_setting_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_synthetic(text)


def delivery(status: str, **more: Any) -> Any:
    columns = {"reason": None, "code": None, "sent_at": None, "delivered_at": None}
    return SimpleNamespace(channel="email", status=status, **{**columns, **more})


@pytest.mark.parametrize(
    ("priority", "found", "age", "state", "ms", "why", "is_open"),
    [
        ("high", delivery("sent", sent_at=THEN + 5 * S), 9, "ok", 5000, None, False),
        ("high", delivery("clicked", sent_at=THEN + 6 * S), 9, "late", 6000, None, False),
        ("low", delivery("delivered", delivered_at=THEN + 6 * S), 9, "ok", 6000, None, False),
        ("high", delivery("sent", sent_at=THEN - S), 9, "ok", 0, None, False),  # another process's clock
        ("high", delivery("queued"), 5, "waiting", None, "queued", True),
        ("high", delivery("waiting", reason="provider_down"), 6, "late", None, "provider_down", True),
        ("high", delivery("waiting", reason="retry"), 61, "missing", None, "retry", False),
        ("medium", delivery("queued"), 60, "late", None, "queued", True),
        ("low", delivery("queued"), 3601, "missing", None, "queued", False),
        ("high", delivery("expired", reason="expired"), 9, "missing", None, "expired", False),
        ("high", delivery("failed", reason="discarded", code="550"), 9, "failed", None, "550", False),
        ("high", delivery("skipped", reason="no_address"), 9, "failed", None, "no_address", False),
        ("high", delivery("skipped", reason="channel_off"), 9, "off", None, "channel_off", False),
        ("high", delivery("waiting", reason="paused"), 61, "off", None, "paused", False),
    ],
)
def test_a_message_is_judged_by_what_its_priority_promises(
    priority: str, found: Any, age: int, state: str, ms: int | None, why: str | None, is_open: bool
) -> None:
    result = judge(found, priority, THEN, THEN + age * S)
    assert (result, result.is_open) == (Result("email", state, ms, why), is_open)


def test_what_was_seen_in_an_inbox_arrived_then() -> None:
    shown = delivery("delivered", sent_at=THEN, delivered_at=THEN)
    assert judge(shown, "high", THEN, THEN + S, seen_at=THEN + S).ms == 1000
