"""Quiet hours are in the person's zone, may cross midnight and DST changes, and start on chosen days."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from notifier.core.quiet_hours import EVERY_DAY, QuietHours, quiet_until

BERLIN, NEW_YORK, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
NIGHT = QuietHours(time(22), time(7))
LUNCH = QuietHours(time(12), time(13))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("quiet", "zone", "now", "until"),
    [
        # by day                        Berlin is at +1 in winter and +2 in summer
        (LUNCH, BERLIN, "2026-01-15 10:59", None),
        (LUNCH, BERLIN, "2026-01-15 11:00", "2026-01-15 12:00"),
        (LUNCH, BERLIN, "2026-01-15 11:59", "2026-01-15 12:00"),
        (LUNCH, BERLIN, "2026-01-15 12:00", None),
        (LUNCH, BERLIN, "2026-07-15 10:00", "2026-07-15 11:00"),
        # over midnight
        (NIGHT, BERLIN, "2026-01-15 20:59", None),
        (NIGHT, BERLIN, "2026-01-15 21:00", "2026-01-16 06:00"),
        (NIGHT, BERLIN, "2026-01-16 05:59", "2026-01-16 06:00"),
        (NIGHT, BERLIN, "2026-01-16 06:00", None),
        (NIGHT, NEW_YORK, "2026-01-16 05:59", "2026-01-16 12:00"),
        (NIGHT, KOLKATA, "2026-01-15 17:00", "2026-01-16 01:30"),
        # the night the clocks go forward (29 March 2026) is an hour shorter, the night they go back an hour longer
        (NIGHT, BERLIN, "2026-03-28 21:00", "2026-03-29 05:00"),
        (NIGHT, BERLIN, "2026-10-24 20:00", "2026-10-25 06:00"),
        # a time that the change skips is when it does: at 02:00 the clock shows 03:00, which is past 02:30
        (QuietHours(time(22), time(2, 30)), BERLIN, "2026-03-28 23:00", "2026-03-29 01:00"),
        (QuietHours(time(2, 30), time(5)), BERLIN, "2026-03-29 00:59:59", None),
        (QuietHours(time(2, 30), time(5)), BERLIN, "2026-03-29 01:00", "2026-03-29 03:00"),
        (QuietHours(time(2), time(5)), BERLIN, "2026-03-29 01:00", "2026-03-29 03:00"),
        (QuietHours(time(2, 59), time(3, 30)), BERLIN, "2026-03-29 01:15", "2026-03-29 01:30"),
        (QuietHours(time(2, 10), time(2, 50)), BERLIN, "2026-03-29 01:00", None),
        (QuietHours(time(2, 30), time(7)), NEW_YORK, "2026-03-08 07:00", "2026-03-08 11:00"),
        (QuietHours(time(2, 15), time(5)), ZoneInfo("Australia/Lord_Howe"), "2026-10-03 15:30", "2026-10-03 18:00"),
        (QuietHours(time(0), time(6)), ZoneInfo("Africa/Cairo"), "2026-04-23 22:00", "2026-04-24 03:00"),
        # an end that comes twice: the first time counts
        (QuietHours(time(22), time(2, 30)), BERLIN, "2026-10-24 23:00", "2026-10-25 00:30"),
        (QuietHours(time(22), time(2, 30)), BERLIN, "2026-10-25 01:15", None),
        # other zones change at other times, and Lord Howe by half an hour
        (NIGHT, NEW_YORK, "2026-03-08 03:00", "2026-03-08 11:00"),
        (NIGHT, ZoneInfo("Australia/Lord_Howe"), "2026-10-03 11:30", "2026-10-03 20:00"),
        # days are those on which it starts: Friday night lasts into Saturday
        (QuietHours(time(22), time(7), frozenset({5})), BERLIN, "2026-01-16 22:00", "2026-01-17 06:00"),
        (QuietHours(time(22), time(7), frozenset({5})), BERLIN, "2026-01-17 05:00", "2026-01-17 06:00"),
        (QuietHours(time(22), time(7), frozenset({5})), BERLIN, "2026-01-17 22:00", None),
        # adjoining: the end of one interval is the start of the next, so it lasts on
        (QuietHours(time(8), time(7, 59, 59)), BERLIN, "2026-01-15 12:00", "2026-01-16 06:59:59"),
    ],
)
def test_quiet_ends_at(quiet: QuietHours, zone: ZoneInfo, now: str, until: str | None) -> None:
    assert quiet_until(quiet, zone, utc(now)) == (until and utc(until))


intervals = st.builds(
    QuietHours, st.times(), st.times(), st.sets(st.sampled_from(sorted(EVERY_DAY)), min_size=1).map(frozenset)
)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants them bare)
zones = st.sampled_from(
    [BERLIN, NEW_YORK, KOLKATA, ZoneInfo("Pacific/Apia"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]
)


@given(intervals, zones, moments)
def test_quiet_hours_never_release_into_quiet_hours(quiet: QuietHours, zone: ZoneInfo, now: datetime) -> None:
    assume(quiet.start != quiet.end)
    until = quiet_until(quiet, zone, now)
    if until is not None:
        assert now < until <= now + timedelta(days=9)
        assert quiet_until(quiet, zone, until) is None


@given(zones, st.times(), st.dates(date(2020, 1, 1), date(2027, 12, 31)))
def test_quiet_hours_begin_when_the_clock_on_the_wall_says_so_or_jumps_over_it(
    zone: ZoneInfo, start: time, day: date
) -> None:
    start = start.replace(second=0, microsecond=0, fold=0)  # as they are given: a fold is of a moment
    end = time((start.hour + 6) % 24, start.minute)
    moment = datetime.combine(day, start, zone).astimezone(UTC)
    assert quiet_until(QuietHours(start, end), zone, moment) is not None
    if _wall(zone, moment).time() != start:  # it was skipped: what comes right after the jump is quiet too
        earlier = [moment - timedelta(minutes=back) for back in range(180)]
        jump = next(at for at in earlier if _wall(zone, at) < datetime.combine(day, start))
        assert quiet_until(QuietHours(start, end), zone, jump) is None
        assert quiet_until(QuietHours(start, end), zone, jump + timedelta(minutes=1)) is not None


def _wall(zone: ZoneInfo, at: datetime) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)
