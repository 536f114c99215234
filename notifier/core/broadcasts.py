"""The rules of broadcasts: their states, when each person's turn is, and when one has failed too often to go on."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from notifier.core.lifecycle import BOUNCED, CLICKED, DEAD, DELIVERED, OPENED, SENT, SUCCEEDED
from notifier.core.timestamps import reckonable

SCHEDULED, RUNNING, PAUSED, CANCELLED, FINISHED = "scheduled", "running", "paused", "cancelled", "finished"
STATUSES = (SCHEDULED, RUNNING, PAUSED, CANCELLED, FINISHED)
UNENDED = (SCHEDULED, RUNNING, PAUSED)
RETRYABLE = (RUNNING, FINISHED)  # if a part of it has failed

FEWEST_SENDS = 100  # before these a share of failures says nothing
MOST_PER_SECOND = 100_000
AHEAD = timedelta(hours=1)  # of the first zone's turn: so long the expansion may take until then
BURST = timedelta(seconds=2)  # of what the pace allows, made at once where its turn came late

_FIRST_ZONE, _LAST_ZONE = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


def time_in(zone: ZoneInfo, local_time: datetime) -> datetime:
    """When it is that time in the zone, in UTC. One that a change of the clocks skips is taken as if they had not
    changed; of one that comes twice it is the first.
    """
    return local_time.replace(tzinfo=zone).astimezone(UTC)


def starts_at(now: datetime, send_at: datetime | None, local_time: datetime | None) -> datetime:
    """When the expansion begins. With a local time it is before the first zone's turn, since all have to be there."""
    if local_time is not None:
        return max(now, reckonable(local_time.replace(tzinfo=_FIRST_ZONE)).astimezone(UTC) - AHEAD)
    return max(now, send_at or now)


def last_turn(local_time: datetime) -> datetime:
    """When it is that time in the last zone."""
    return reckonable(local_time.replace(tzinfo=_LAST_ZONE)).astimezone(UTC)


def next_turn(turn_at: datetime | None, now: datetime, made: int, per_second: int | None) -> datetime | None:
    """When the next chunk may be made, after `made` people in the turn that came at `turn_at`. None: at once."""
    if per_second is None:
        return None
    return max(turn_at or now, now - BURST) + timedelta(seconds=made / per_second)


def ended(counts: Mapping[str, int]) -> tuple[int, int]:
    """Of counts by status: the sends that have ended, and those of them that failed."""
    failed = sum(counts.get(status, 0) for status in (*DEAD, BOUNCED))
    return failed + sum(counts.get(status, 0) for status in SUCCEEDED), failed


def has_failed_too_often(sends: int, failures: int, share: float | None) -> bool:
    """`sends` that have ended, with `failures` among them."""
    return share is not None and sends >= FEWEST_SENDS and failures >= share * sends


def reached(counts: Mapping[str, int]) -> dict[str, int]:
    """Of counts by status: how many were made, and of these how many have been sent, delivered, opened, clicked, each
    with those that have come further. What has failed may have been sent before, and does not count as sent.
    """
    clicked = counts.get(CLICKED, 0)
    opened = counts.get(OPENED, 0) + clicked
    delivered = counts.get(DELIVERED, 0) + opened
    sent = counts.get(SENT, 0) + counts.get(BOUNCED, 0) + delivered
    return {"made": sum(counts.values()), "sent": sent, "delivered": delivered, "opened": opened, "clicked": clicked}
