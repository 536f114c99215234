"""What providers' calls are read with: the moment that they name, and how old they may be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.channels.receipts import LONGEST_AGE, HookRefused, HookRequest, mapping, moment, text

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1513299569, datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)),
        ("1513299569", datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)),
        (1521472262.908181, datetime(2018, 3, 19, 15, 11, 2, 908181, tzinfo=UTC)),
        ("2019-11-05T16:33:54.9070259Z", datetime(2019, 11, 5, 16, 33, 54, 907025, tzinfo=UTC)),
        ("2019-11-05T16:33:54+02:00", datetime(2019, 11, 5, 14, 33, 54, tzinfo=UTC)),
        ("2019-11-05T16:33:54", datetime(2019, 11, 5, 16, 33, 54, tzinfo=UTC)),
        *((value, NOW) for value in (None, "", "soon", True, [], "nan", "inf", 1e30, -1e30, "0000-01-01")),
        ("0001-01-01T00:00:00+14:00", NOW),
    ],
)
def test_a_moment_is_read_as_providers_write_it(value: Any, at: datetime) -> None:
    assert moment(value, NOW) == at


@pytest.mark.parametrize("seconds", [-301, 301, float("-inf"), float("nan"), "x"])
def test_a_call_that_was_signed_long_ago_is_refused(seconds: Any) -> None:
    signed_at = str(NOW.timestamp() + seconds) if isinstance(seconds, int) else str(seconds)
    with pytest.raises(HookRefused):
        HookRequest("POST", "https://notify.test/hooks/x", {}, b"", NOW).check_age(signed_at)


@pytest.mark.parametrize("age", [LONGEST_AGE, timedelta(0), -LONGEST_AGE])
def test_a_call_that_was_signed_within_five_minutes_is_taken(age: timedelta) -> None:
    HookRequest("POST", "https://notify.test/hooks/x", {}, b"", NOW).check_age(str((NOW - age).timestamp()))


@pytest.mark.parametrize("value", [None, 7, True, [], ["x"], "x", {}, {"a": 1}])
def test_a_field_of_another_type_than_it_should_be_is_none(value: Any) -> None:
    assert text(value) == (value if type(value) is str else None)
    assert mapping(value) == (value if type(value) is dict else {})
