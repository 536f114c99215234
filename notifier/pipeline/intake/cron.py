"""Cron expressions: what is wrong with one, and when it comes next in a zone.

Called by `schedules`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from notifier.core.errors import Fault
from notifier.ground.clock import now as clock_now
from notifier.ground.zones import zone_of


def cron_faults(cron: str) -> list[Fault]:
    """The faults of the expression. Five fields, so that nothing runs more often than once a minute."""
    parts = cron.split()
    if len(parts) == 5:
        if _is_readable(parts) and next_time(cron, "UTC", clock_now()) is not None:
            return []
        if _is_readable([*parts[:2], "*", *parts[3:]]) and _is_readable([*parts[:3], "*", parts[4]]):
            return [Fault("/cron", "never_fires", "no year has such a day")]
    return [
        Fault(
            "/cron",
            "invalid_cron",
            "a cron expression must have five fields: minute, hour, day, month, weekday, as in '30 8 * * MON'",
        )
    ]


def _is_readable(parts: Sequence[str]) -> bool:
    try:
        CronSim(" ".join(parts), datetime(2024, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError):  # the latter for a step of the last day
        return False
    return True


def next_time(cron: str, time_zone: str, after: datetime) -> datetime | None:
    """As Debian's cron has it: what a DST change skips comes right after it, and what it repeats comes once."""
    try:
        return next(CronSim(cron, after.astimezone(zone_of(time_zone)))).astimezone(UTC)
    except StopIteration:
        return None
