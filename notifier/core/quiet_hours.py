"""Quiet hours: a daily interval in the person's own time zone, over midnight and DST changes."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EVERY_DAY = frozenset(range(1, 8))


@dataclass(frozen=True, slots=True)
class QuietHours:
    """`days` are ISO weekdays (1 = Monday) on which the interval starts. `start` never equals `end`."""

    start: time
    end: time
    days: frozenset[int] = EVERY_DAY


def quiet_until(quiet: QuietHours, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The UTC time at which the quiet around `now` ends, or None when it is not quiet then.

    Adjoining intervals count as one, so a release never falls into quiet again. A week of unbroken
    quiet ends after eight days: nothing may wait for ever.
    """
    moment = now
    for _ in range(8):
        end = _end_of_interval_around(quiet, zone, moment)
        if end is None:
            break
        moment = end
    return None if moment == now else moment


def _end_of_interval_around(quiet: QuietHours, zone: ZoneInfo, moment: datetime) -> datetime | None:
    today = moment.astimezone(zone).date()
    ends = []
    for day in (today - timedelta(days=1), today):
        if day.isoweekday() not in quiet.days:
            continue
        last_day = day if quiet.start < quiet.end else day + timedelta(days=1)
        start, end = _in_utc(day, quiet.start, zone), _in_utc(last_day, quiet.end, zone)
        if start <= moment < end:
            ends.append(end)
    return max(ends, default=None)


def _in_utc(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When the clock on the wall shows that time, or jumps over it. One that comes twice is taken the first time."""
    after = datetime.combine(day, at, zone).astimezone(UTC)
    if after.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, at):
        return after
    # PEP 495 reads a time that was skipped with the offset before the change, or (fold) with that behind it: the change
    # lies between the two.
    before = datetime.combine(day, at, zone).replace(fold=1).astimezone(UTC)
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before).total_seconds() // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
