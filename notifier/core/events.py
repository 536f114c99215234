"""The events that the stream tells, by the names that subscribers and exports know them by.

Of a delivery's statuses, those are told that it has left our hands by, or that ended it. Waiting, queued and sending
are steps of ours, which repeat and mean nothing outside.
"""

from collections.abc import Mapping

from notifier.core.lifecycle import (
    BOUNCED,
    CANCELLED,
    CLICKED,
    DELIVERED,
    EXPIRED,
    FAILED,
    OPENED,
    SENT,
    SKIPPED,
    UNKNOWN,
)

OF_STATUS: Mapping[str, str] = {
    status: f"delivery.{status}"
    for status in (SENT, DELIVERED, OPENED, CLICKED, FAILED, UNKNOWN, BOUNCED, EXPIRED, CANCELLED, SKIPPED)
}
COMPLAINED = "delivery.complained"
SEEN, READ, ARCHIVED = "inbox.seen", "inbox.read", "inbox.archived"
UNSUBSCRIBED = "user.unsubscribed"
ADDRESS_DISABLED = "address.disabled"

BROADCAST_FINISHED, BROADCAST_PAUSED = "broadcast.finished", "broadcast.paused"
OF_BROADCASTS = (BROADCAST_FINISHED, BROADCAST_PAUSED)

KINDS = (*OF_STATUS.values(), COMPLAINED, SEEN, READ, ARCHIVED, UNSUBSCRIBED, ADDRESS_DISABLED, *OF_BROADCASTS)


def named(pattern: str) -> tuple[str, ...]:
    """The events that a name stands for: itself, or all of a group (`delivery.*`). None: there is no such event."""
    group = pattern.removesuffix("*")
    if group != pattern:
        return tuple(kind for kind in KINDS if group.endswith(".") and kind.startswith(group))
    return (pattern,) if pattern in KINDS else ()
