"""Time zones by their IANA names. zoneinfo keeps the zones that it has read; the list of all names is kept here."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

UTC = ZoneInfo("UTC")


def zone_of(name: str | None) -> ZoneInfo:
    """The zone of a stored name; UTC where there is none, or none of that name any more: names leave the database, and
    one person's must not stop a batch.
    """
    return ZoneInfo(name) if name and is_zone(name) else UTC


def is_zone(name: str) -> bool:
    """Asked at every door, before a name is stored."""
    return name in names()


@cache
def names() -> frozenset[str]:
    return frozenset(available_timezones())
