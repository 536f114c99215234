"""Broadcasts for the API and the console: how far each is, and what became of each of its people."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core import broadcasts as rules
from notifier.core import lifecycle
from notifier.core.broadcasts import FINISHED, RUNNING
from notifier.core.errors import Fault, Rejected
from notifier.core.worlds import shown_id
from notifier.ground.extensions import db
from notifier.ground.ids import parse, parse_many, show
from notifier.ground.replica import may_lag
from notifier.ground.shapes import timestamp
from notifier.ledgers import broadcast_counts
from notifier.models import (
    Broadcast,
    BroadcastHour,
    BroadcastVariant,
    Delivery,
    ExperimentVariant,
    Notification,
    Producer,
    Submission,
)
from notifier.queries import tallies
from notifier.queries.notifications import Sight

KIND = "brd"
_COUNTED = lifecycle.STATUSES
# Of a finished one, a delivery has been retried by itself: it runs, and `intake.broadcasts` changes it as such
_RUNS_AGAIN = sa.and_(Broadcast.status == FINISHED, broadcast_counts.has_open(Broadcast.id))
_STATUS = sa.case((_RUNS_AGAIN, RUNNING), else_=Broadcast.status)
_DRAWN = ("sent", "delivered", "opened", "clicked")
_HAPPENS = (*_DRAWN, "failed", "bounced", "complained")
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MOST_HOURS = timedelta(days=3)  # longer ones are drawn by the day
_MOST_STEPS = 400


def one(broadcast_id: UUID, sight: Sight) -> dict[str, Any]:
    """Raises Rejected('not_found') for none, and for one the caller may not see."""
    found = _read(_ids().where(Broadcast.id == broadcast_id, *sight.conditions(Broadcast)))
    if not found:
        raise Rejected("not_found", "there is no such broadcast")
    return found[0]


@may_lag
def page(after: str | None, limit: int, sight: Sight, statuses: Sequence[str] = ()) -> dict[str, Any]:
    """Newest first."""
    chosen = _ids().where(*sight.conditions(Broadcast)).order_by(Broadcast.id.desc()).limit(limit + 1)
    if after:
        chosen = chosen.where(Broadcast.id < parse(KIND, after))
    if statuses:
        chosen = chosen.where(_STATUS.in_(statuses))
    found = _read(chosen)
    return {"data": found[:limit], "next": found[limit - 1]["id"] if len(found) > limit else None}


def _ids() -> "sa.Select[UUID, str]":
    return sa.select(Broadcast.id, _STATUS.label("standing"))


def _read(chosen: "sa.Select[UUID, str]") -> list[dict[str, Any]]:
    """One statement, and so one moment: the counts and the number of people belong together."""
    wanted = chosen.subquery()
    tallies = broadcast_counts.sums().where(broadcast_counts.BROADCAST.in_(sa.select(wanted.c.id))).subquery()
    statement = (
        sa.select(Broadcast, wanted.c.standing, Submission.recipients, Submission.expanded, *tallies.c)
        .join(wanted, wanted.c.id == Broadcast.id)
        .join(Submission, Submission.id == Broadcast.id)
        .outerjoin(tallies, tallies.c.broadcast_id == Broadcast.id)
        .order_by(Broadcast.id.desc())
        .execution_options(populate_existing=True)
    )
    rows: dict[UUID, list[Any]] = {}
    for row in db.session.execute(statement):
        rows.setdefault(row.Broadcast.id, []).append(row)
    variants = _variants(rows) if rows else {}
    return [{**_shown(places), "variants": variants.get(key, [])} for key, places in rows.items()]


def _variants(broadcast_ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """By broadcast, the variants of experiments that its people got, and what has happened by channel up to some
    seconds ago.
    """
    place = (BroadcastVariant.channel, BroadcastVariant.event, BroadcastVariant.count.label("number"))
    variant = (ExperimentVariant.id, ExperimentVariant.name, ExperimentVariant.weight)
    statement = (
        sa.select(BroadcastVariant.broadcast_id, *place, *variant)
        .join(ExperimentVariant, ExperimentVariant.id == BroadcastVariant.variant_id)
        .where(BroadcastVariant.broadcast_id.in_(list(broadcast_ids)))
        .order_by(ExperimentVariant.experiment_id, ExperimentVariant.position, BroadcastVariant.channel)
    )
    found: dict[UUID, dict[UUID, dict[str, Any]]] = {}
    for row in db.session.execute(statement):
        begun: dict[str, Any] = {"name": row.name, "weight": row.weight, "channels": {}}
        shown = found.setdefault(row.broadcast_id, {}).setdefault(row.id, begun)
        shown["channels"].setdefault(row.channel, dict.fromkeys(_HAPPENS, 0))[row.event] = row.number
    return {key: list(shown.values()) for key, shown in found.items()}


def _shown(places: Sequence[Any]) -> dict[str, Any]:
    """`places`: a row for each channel, status and reason that is counted."""
    row, recipients, expanded = places[0].Broadcast, places[0].recipients, places[0].expanded
    counts = _counts(place for place in places if place.channel is not None)
    return {
        "id": show(KIND, row.id),
        "submission": show("sub", row.id),
        "name": row.name,
        "type": row.type,
        "test": row.is_test,
        "status": places[0].standing,
        "to": _to(row.audience),
        "audience": recipients,
        "expanded": expanded,
        "retries": row.retries,
        "counts": {"notifications": expanded, **counts},
        "per_second": row.per_second,
        "stop_at_failures": row.stop_at_failures,
        "send_at": timestamp(row.send_at),
        "local_time": row.local_time,
        "created_at": timestamp(row.created_at),
        "started_at": timestamp(row.started_at),
        "finished_at": timestamp(row.finished_at),
        "paused_reason": row.paused_reason,
    }


def _to(audience: dict[str, Any]) -> dict[str, Any]:
    named = audience.get("users")
    return {"users": len(named)} if isinstance(named, list) else audience


def _counts(places: Iterable[Any]) -> dict[str, Any]:
    channels: dict[str, dict[str, int]] = {}
    skipped = Counter[str]()
    for place in places:
        of_channel = channels.setdefault(place.channel, dict.fromkeys(_COUNTED, 0))
        of_channel[place.status] += place.counted
        if place.status == lifecycle.SKIPPED:
            skipped[place.reason] += place.counted
    return {"channels": dict(sorted(channels.items())), "skipped": {k: n for k, n in sorted(skipped.items()) if n}}


def producers_of(shown_ids: Iterable[str]) -> dict[str, Producer]:
    """By the shown ids of broadcasts; those of no producer are left out."""
    keys = parse_many(KIND, shown_ids)
    statement = sa.select(Broadcast.id, Producer).join(Producer, Producer.id == Broadcast.producer_id)
    found = db.session.execute(statement.where(Broadcast.id.in_(keys))) if keys else ()
    return {show(KIND, broadcast_id): producer for broadcast_id, producer in found}


# ---- what the counts say: of broadcasts as `one` and `page` show them ------------------------------------------------


def total(shown: dict[str, Any], statuses: Iterable[str]) -> int:
    """Deliveries of all channels that are in one of these."""
    wanted = tuple(statuses)
    return sum(by_status[status] for by_status in shown["counts"]["channels"].values() for status in wanted)


@dataclass(frozen=True, slots=True)
class Progress:
    """`people`: of the audience, those who have had their turn. `ended`: of `deliveries`, those of which nothing more
    is to come.
    """

    people: int
    audience: int
    ended: int
    deliveries: int


def progress(shown: dict[str, Any]) -> Progress:
    deliveries = total(shown, lifecycle.STATUSES)
    return Progress(shown["expanded"], shown["audience"], deliveries - total(shown, lifecycle.OPEN), deliveries)


@dataclass(frozen=True, slots=True)
class Step:
    """Of a channel's deliveries, those that have come so far or further. `rate`: their share of those before them."""

    count: int
    rate: tallies.Rate


@dataclass(frozen=True, slots=True)
class Funnel:
    """`made`: the channel's deliveries, those that were skipped included. `steps`: sent, delivered, opened, clicked."""

    channel: str
    made: int
    steps: Mapping[str, Step]


# Each step, and of which other one its share is told
_OF = {"sent": "made", "delivered": "sent", "opened": "delivered", "clicked": "delivered"}


def funnels(shown: dict[str, Any]) -> list[Funnel]:
    found = []
    for channel, by_status in shown["counts"]["channels"].items():
        counts = rules.reached(by_status)
        steps = {step: Step(counts[step], _rate(channel, step, counts)) for step in _OF}
        found.append(Funnel(channel, counts["made"], steps))
    return found


def by_variant(shown: dict[str, Any]) -> list[tuple[str, Funnel]]:
    """A line for each variant and channel. `made` is what was sent: what was skipped has no words."""
    found = []
    for variant in shown["variants"]:
        for channel, happened in variant["channels"].items():
            counts = {**happened, "made": happened["sent"]}
            steps = {step: Step(counts[step], _rate(channel, step, counts)) for step in _OF}
            found.append((variant["name"], Funnel(channel, counts["made"], steps)))
    return found


def _rate(channel: str, step: str, counts: Mapping[str, int]) -> tallies.Rate:
    among = counts[_OF[step]]
    if step == "sent":
        return tallies.Rate(tallies.percent(counts[step], among), "Nothing has been made of it yet.")
    return tallies.rate(channel, step, counts[step], among)


# ---- over time ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Happened:
    """`sums`: (channel, event) → how often; the events are those of `models.BroadcastHour`. `series`: over time, of all
    channels: `at` (where each step begins), `step` (seconds), and how many were sent, delivered, opened, clicked. None
    where nothing has been sent.
    """

    sums: Mapping[tuple[str, str], int]
    series: Mapping[str, Any] | None


def happened(broadcast_id: UUID) -> Happened:
    """What the event stream has told up to some seconds ago. By the hour; after three days, by the day."""
    columns = (BroadcastHour.channel, BroadcastHour.event, BroadcastHour.at, BroadcastHour.count.label("number"))
    rows = db.session.execute(sa.select(*columns).where(BroadcastHour.broadcast_id == broadcast_id)).all()
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sums[row.channel, row.event] += row.number
    hours = [row.at for row in rows if row.event in _DRAWN]
    if not hours:
        return Happened(sums, None)
    step = _HOUR if max(hours) - min(hours) < _MOST_HOURS else _DAY
    first = min(hours) if step == _HOUR else min(hours).replace(hour=0)
    length = (max(hours) - first) // step + 1
    drawn = {event: [0] * min(length, _MOST_STEPS) for event in _DRAWN}
    for row in rows:
        place = (row.at - first) // step
        if row.event in drawn and 0 <= place < _MOST_STEPS:
            drawn[row.event][place] += row.number
    at = [(first + step * number).isoformat() for number in range(len(drawn["sent"]))]
    return Happened(sums, {"at": at, "step": int(step.total_seconds()), **drawn})


# ---- who ------------------------------------------------------------------------------------------------------------


def recipients(
    broadcast_id: UUID,
    after: str | None,
    limit: int,
    *,
    statuses: Sequence[str] = (),
    channels: Sequence[str] = (),
) -> dict[str, Any]:
    """A line for each delivery, by status. Of one whose status changes between two pages there may be two lines, or
    none.
    """
    columns = (Delivery.id, Delivery.notification_id, Delivery.channel, Delivery.status, Delivery.reason, Delivery.code)
    statement = (
        sa.select(*columns, Notification.user_id)
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(Delivery.broadcast_id == broadcast_id)
        .order_by(Delivery.status, Delivery.id)
        .limit(limit + 1)
    )
    if after:
        statement = statement.where(sa.tuple_(Delivery.status, Delivery.id) > _place(after))
    if statuses:
        statement = statement.where(Delivery.status.in_(statuses))
    if channels:
        statement = statement.where(Delivery.channel.in_(channels))
    rows = db.session.execute(statement).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return {"data": [_line(row) for row in rows[:limit]], "next": last and f"{last.status}_{last.id.hex}"}


def _place(cursor: str) -> Any:
    status, _, digits = cursor.partition("_")
    if status not in lifecycle.STATUSES or len(digits) != 32 or not all(d in "0123456789abcdef" for d in digits):
        fault = Fault("/after", "invalid_cursor", "send the `next` of the page before")
        raise Rejected("validation_failed", "after is not a cursor of this list", (fault,))
    return sa.tuple_(sa.literal(status, sa.String), sa.literal(UUID(digits), Delivery.__table__.c.id.type))


def _line(row: Any) -> dict[str, Any]:
    return {
        "user": shown_id(row.user_id),
        "notification": show("ntf", row.notification_id),
        "delivery": show("dlv", row.id),
        "channel": row.channel,
        "status": row.status,
        "reason": row.reason,
        "code": row.code,
    }
