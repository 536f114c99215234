"""When a digest is made: at the next full hour, morning, or Monday morning of the person's own zone."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.digest import due_at

BERLIN, KOLKATA, NEW_YORK, LORD_HOWE = (
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("America/New_York"),
    ZoneInfo("Australia/Lord_Howe"),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "zone", "at", "now", "due"),
    [
        # 15 January 2026 is a Thursday; Berlin is at +1 in winter and +2 in summer
        ("hourly", BERLIN, "08:00", "2026-01-15 12:00", "2026-01-15 13:00"),
        ("hourly", BERLIN, "08:00", "2026-01-15 12:59:59", "2026-01-15 13:00"),
        ("hourly", KOLKATA, "08:00", "2026-01-15 12:00", "2026-01-15 12:30"),  # a zone of five hours and a half
        ("daily", BERLIN, "08:00", "2026-01-15 06:59", "2026-01-15 07:00"),
        ("daily", BERLIN, "08:00", "2026-01-15 07:00", "2026-01-16 07:00"),
        ("daily", BERLIN, "18:30", "2026-01-15 07:00", "2026-01-15 17:30"),
        ("daily", BERLIN, "08:00", "2026-07-15 07:00", "2026-07-16 06:00"),
        ("daily", NEW_YORK, "08:00", "2026-01-15 02:00", "2026-01-15 13:00"),
        ("weekly", BERLIN, "08:00", "2026-01-15 12:00", "2026-01-19 07:00"),
        ("weekly", BERLIN, "08:00", "2026-01-19 06:59", "2026-01-19 07:00"),
        ("weekly", BERLIN, "08:00", "2026-01-19 07:00", "2026-01-26 07:00"),
        # over the nights in which the clocks go forward and back
        ("daily", BERLIN, "08:00", "2026-03-28 12:00", "2026-03-29 06:00"),
        ("daily", BERLIN, "08:00", "2026-10-24 12:00", "2026-10-25 07:00"),
        ("weekly", BERLIN, "08:00", "2026-03-25 12:00", "2026-03-30 06:00"),
        # an hour that does not exist that night comes right after the change; one that is there twice counts
        # the first time
        ("daily", BERLIN, "02:30", "2026-03-28 12:00", "2026-03-29 01:30"),
        ("daily", BERLIN, "02:30", "2026-10-24 12:00", "2026-10-25 00:30"),
    ],
)
def test_a_digest_is_due(frequency: str, zone: ZoneInfo, at: str, now: str, due: str) -> None:
    assert due_at(frequency, zone, utc(now), time.fromisoformat(at)) == utc(due)


frequencies = st.sampled_from(["hourly", "daily", "weekly"])
zones = st.sampled_from([BERLIN, KOLKATA, NEW_YORK, LORD_HOWE, ZoneInfo("Pacific/Apia"), ZoneInfo("UTC")])
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants them bare)
hours = st.times().map(lambda at: at.replace(second=0, microsecond=0))


@given(frequencies, zones, moments, hours, st.floats(0, 1, exclude_max=True))
def test_every_moment_of_a_window_finds_the_same_digest_and_it_is_yet_to_come(
    frequency: str, zone: ZoneInfo, now: datetime, at: time, share: float
) -> None:
    due = due_at(frequency, zone, now, at)
    longest = {"hourly": timedelta(hours=1), "daily": timedelta(hours=26), "weekly": timedelta(days=7, hours=2)}[
        frequency
    ]
    assert now < due <= now + longest
    later = now + (due - now) * share
    assert later >= due or due_at(frequency, zone, later, at) == due
