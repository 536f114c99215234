"""What waits in the database, and why: for `/admin/queues`, and for `delivery.outages`, which lets it go on.

No count goes further than MOST_COUNTED, so a page costs the same however much waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from notifier.core.lifecycle import WAITING
from notifier.core.routing import ESCALATION, FALLBACK, PAUSED, PROVIDER_DOWN, RETRY
from notifier.ground.extensions import db
from notifier.models import Delivery, Notification
from notifier.queries.titles import titled

MOST_COUNTED = 5_000  # of one reason
MOST_LISTED = 200
BETWEEN_SCOPES = " "  # the scopes that one waits for; no scope holds it

# Why → the reasons that deliveries wait for (`core.reasons`)
WHY: Mapping[str, tuple[str, ...]] = {
    "breaker": (PROVIDER_DOWN,),
    "paused": (PAUSED,),
    "retry": (RETRY,),
    "pace": ("paced",),
    "scheduled": ("scheduled",),
    "quiet": ("quiet_hours", "muted"),
    "step": (FALLBACK, ESCALATION),
}

_delivery = Delivery.__table__.c
# Spelled out, so that SQLite too sees that the indexes serve
IS_WAITING = _delivery.status == sa.literal_column(f"'{WAITING}'")
IS_HELD = sa.and_(IS_WAITING, _delivery.held_for.is_not(None))


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many wait for one reason, MOST_COUNTED + 1 for more than that; `next_at`: when the first of them goes on."""

    why: str
    count: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Line:
    """A delivery that waits, with the title of its notification."""

    delivery: Delivery
    notification: Notification
    title: str


def by_reason() -> list[Waiting]:
    """Every reason for which something waits. One statement."""
    parts = []
    for why, reasons in WHY.items():
        some = sa.union_all(
            *(
                sa.select(
                    sa.select(_delivery.wake_at)
                    .where(IS_WAITING, _delivery.reason == reason)
                    .order_by(_delivery.wake_at)
                    .limit(MOST_COUNTED + 1)
                    .subquery()
                    .c.wake_at
                )
                for reason in reasons
            )
        ).subquery()
        parts.append(
            sa.select(
                sa.literal(why).label("why"), sa.func.count().label("number"), sa.func.min(some.c.wake_at).label("next")
            ).select_from(some)
        )
    rows = db.session.execute(sa.union_all(*parts)).all()
    return [Waiting(row.why, row.number, row.next) for row in rows if row.number]


def lines(why: str) -> list[Line]:
    """The first MOST_LISTED deliveries that wait for it, in the order in which they go on."""
    keys = sa.union_all(
        *(
            sa.select(
                sa.select(_delivery.id)
                .where(IS_WAITING, _delivery.reason == reason)
                .order_by(_delivery.wake_at)
                .limit(MOST_LISTED)
                .subquery()
                .c.id
            )
            for reason in WHY[why]
        )
    )
    rows = db.session.execute(
        sa.select(Delivery, Notification)
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(Delivery.id.in_(keys))
        .order_by(Delivery.wake_at, Delivery.id)
        .limit(MOST_LISTED)
    ).all()
    titles = titled([row.Notification for row in rows])
    return [Line(row.Delivery, row.Notification, titles[row.Notification.id]) for row in rows]


def held_for(after: str, limit: int) -> list[str]:
    """The values of `held_for` after this one: a step through the index for each, however many deliveries there are."""
    scope = (
        sa.select(sa.func.min(_delivery.held_for).label("held_for"))
        .where(IS_HELD, _delivery.held_for > after)
        .cte(recursive=True)
    )
    following = (
        sa.select(sa.func.min(_delivery.held_for)).where(IS_HELD, _delivery.held_for > scope.c.held_for)
    ).scalar_subquery()
    scope = scope.union_all(sa.select(following).where(scope.c.held_for.is_not(None)))
    return list(db.session.scalars(sa.select(scope.c.held_for).where(scope.c.held_for.is_not(None)).limit(limit)))


def held_by_scope() -> dict[str, int]:
    """Scope → how many wait for it, of the first scopes; MOST_COUNTED + 1 for more. Two statements."""
    held = held_for("", MOST_LISTED)
    if not held:
        return {}
    parts = []
    for key in held:
        some = sa.select(_delivery.id).where(IS_HELD, _delivery.held_for == key).limit(MOST_COUNTED + 1).subquery()
        parts.append(sa.select(sa.literal(key).label("key"), sa.func.count().label("number")).select_from(some))
    found: dict[str, int] = {}
    for row in db.session.execute(sa.union_all(*parts)):
        for scope in row.key.split(BETWEEN_SCOPES):
            found[scope] = min(found.get(scope, 0) + row.number, MOST_COUNTED + 1)
    return found
