"""Claims deliveries (T2), and takes the claim back from those that are not to be sent now after all.

Called by `delivery.deliver`. The worker whose UPDATE moves the row to `sending` has the delivery, until its lease ends.
`prepare` reads what the send needs before the claim returns, so that no transaction is open during it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import current_app

from notifier.channels import CHANNELS, serving
from notifier.channels.addresses import PHONE
from notifier.channels.sandbox import magic_word
from notifier.channels.serving import Barred
from notifier.core import broadcasts, lifecycle
from notifier.core.decisions import Wait
from notifier.core.questions import outlived
from notifier.core.reasons import COUNTRY, NOT_LISTED
from notifier.core.record import record
from notifier.core.routing import ALL, FALLBACK, PAUSED
from notifier.ground import lifeline, logs, metrics, shapes
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE, transaction
from notifier.ground.extensions import db
from notifier.ledgers.moves import Move, move, move_each
from notifier.models import Delivery
from notifier.people import quiet
from notifier.pipeline.delivery import outages
from notifier.pipeline.delivery.lease import LEASE, database_time
from notifier.pipeline.delivery.prepare import Claimed, load, persons_of, tasks_of
from notifier.pipeline.delivery.said import ids_of
from notifier.pipeline.delivery.task import Outcome, Task
from notifier.pipeline.delivery.tracking import put_links
from notifier.pipeline.planning import last_look, replacing
from notifier.pipeline.planning.halted import halted
from notifier.pipeline.planning.last_look import Behind, Drop
from notifier.pipeline.planning.routing import follow, read_already, rivals
from notifier.pipeline.planning.steps import Held, put_off_behind
from notifier.providers import pausing
from notifier.queries.producer_limits import country_refused
from notifier.signals.queueing import DOORBELL_GRACE, Doorbell, ring

log = structlog.get_logger()

# Rows of the columns that are needed, not entities: those would cost more than all the rest of a claim.
_deliveries: sa.Table = Delivery.__table__
_delivery = _deliveries.c
_DELIVERY: tuple[sa.Column[Any], ...] = (
    *(_delivery.channel, _delivery.priority, _delivery.address_id, _delivery.detail, _delivery.tries),
    *(_delivery.failures, _delivery.due_at, _delivery.expires_at, _delivery.step),
    _delivery.links,
)


@record
class _Verdict:
    """Why a claimed delivery is not to be sent now, or at all. One that waits is due at `due_at` (None: not by the
    clock), and looked at again at `wake_at`; `held_for`: for what, as `outages` says it."""

    status: str
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    wake_at: datetime | None = None
    held_for: str | None = None
    expires_at: datetime | None = None  # a later one than it had


def claim(ids: Sequence[UUID]) -> tuple[list[Task], list[Outcome]]:
    """T2: queued → sending with a lease. A failed one is claimed too: RQ's own tools requeue jobs from its registry.

    → what is to be sent, and what became of those that are not to be after all. The number of statements is constant.
    """
    now = clock_now()
    kept: list[Claimed] = []
    # What this process has perhaps claimed as the database went away: its tries, by delivery
    remembered: dict[UUID, int] = current_app.extensions.setdefault("unsure_claims", {})
    unsure = dict(remembered)
    try:
        dropped, started = _claim(ids, now, unsure, kept)
    except UNAVAILABLE:  # perhaps after it was committed
        remembered.update({claimed.delivery.id: claimed.delivery.tries for claimed in kept})
        raise
    for key in unsure:
        remembered.pop(key, None)
    ring(started)
    tasks = tasks_of(kept)
    put_links(tasks)
    db.session.close()  # no transaction is open while sending
    with logs.at_once():
        for claimed, verdict in dropped:
            named = ids_of(claimed.notification, claimed.notification.id, claimed.delivery.id)
            log.info(
                "delivery.not_sent",
                **named,
                channel=claimed.delivery.channel,
                status=verdict.status,
                reason=verdict.reason,
            )
    return tasks, [Outcome(claimed.delivery.id, verdict.status, verdict.reason) for claimed, verdict in dropped]


def _claim(
    ids: Sequence[UUID], now: datetime, unsure: Mapping[UUID, int], kept: list[Claimed]
) -> "tuple[list[tuple[Claimed, _Verdict]], list[Doorbell]]":
    """→ those that are not to be sent after all, and the doorbells of what is to be sent instead. Adds to `kept` those
    that are.
    """
    dropped: list[tuple[Claimed, _Verdict]] = []
    with transaction():
        _take_back(unsure, now)
        rows = move(
            ids,
            lifecycle.SENDING,
            *_DELIVERY,
            reason=None,
            held_for=None,
            wake_at=database_time(LEASE),
            holder=lifeline.number(),
            tries=_delivery.tries + 1,
            failures=sa.case((_delivery.status == lifecycle.QUEUED, _delivery.failures), else_=0),
        )
        loaded = load(rows)
        notifications = [claimed.notification for claimed in loaded]
        drops = last_look.overtaken(read_already(notifications), replacing.places_of(notifications))
        rival = rivals(rows, notifications)
        paused = pausing.paused_of({claimed.delivery.channel for claimed in loaded})
        stopped = halted(row.broadcast_id for row in rows)
        for claimed in loaded:
            drop = drops.get(claimed.notification.id)
            verdict = _halt(claimed, now, stopped)
            verdict = verdict or _verdict(claimed, now, paused, rival.get(claimed.delivery.id), drop)
            if verdict is None:
                kept.append(claimed)
            else:
                dropped.append((claimed, verdict))
        dropped, found = _settled(dropped, now, paused, rival)
        kept += found
        _drop(dropped)
        put_off_behind(_held(dropped, now))
        started = follow([claimed.notification for claimed, _ in dropped])
    return dropped, started


def _take_back(unsure: Mapping[UUID, int], now: datetime) -> None:
    """Queues those that are ours since the database went away during their claim: none of them has gone out. They
    would be taken for sends that nobody knows the end of.
    """
    if not unsure:
        return
    ours = sa.select(_delivery.id, _delivery.notification_id, _delivery.broadcast_id, _delivery.tries).where(
        _delivery.id.in_(unsure), _delivery.status == lifecycle.SENDING, _delivery.holder == lifeline.number()
    )
    move_each(
        [
            Move(
                *(row.id, row.notification_id, row.broadcast_id, lifecycle.SENDING, lifecycle.QUEUED),
                {"tries": row.tries - 1, "wake_at": now + DOORBELL_GRACE},
            )
            for row in db.session.execute(ours.order_by(_delivery.id).with_for_update())
            if row.tries == unsure[row.id]
        ]
    )


def _settled(
    dropped: Sequence[tuple[Claimed, _Verdict]], now: datetime, paused: Collection[str], rival: Mapping[UUID, str]
) -> tuple[list[tuple[Claimed, _Verdict]], list[Claimed]]:
    """Checks deliveries that are to be put off once more, with the people's choices locked: → those to drop, and those
    to send after all.

    Without the lock, quiet hours could end between check and answer, and the delivery would wait until morning. People
    whose choices are being changed at this moment are checked again shortly.
    """
    asked: list[tuple[Claimed, _Verdict]] = []
    settled: list[tuple[Claimed, _Verdict]] = []
    for claimed, verdict in dropped:
        (asked if verdict.status == lifecycle.WAITING and verdict.reason in quiet.REASONS else settled).append(
            (claimed, verdict)
        )
    if not asked:
        return settled, []
    still = last_look.settled({claimed.notification.user_id for claimed, _ in asked})
    persons = persons_of([claimed.notification for claimed, _ in asked if claimed.notification.user_id in still])
    found = []
    for claimed, verdict in asked:
        if claimed.notification.id not in persons:
            settled.append((claimed, replace(verdict, wake_at=now + last_look.A_MOMENT)))
            continue
        again = replace(claimed, person=persons[claimed.notification.id])
        answer = _verdict(again, now, paused, rival.get(claimed.delivery.id))
        if answer is None:
            found.append(again)
        else:
            settled.append((again, answer))
    return settled, found


def _drop(dropped: Sequence[tuple[Claimed, _Verdict]]) -> None:
    """Takes the claim back: they have not been tried."""
    moved = []
    for claimed, verdict in dropped:
        delivery = claimed.delivery
        columns = {
            "reason": verdict.reason,
            "detail": {**delivery.detail, **verdict.detail},
            "due_at": verdict.due_at if verdict.status == lifecycle.WAITING else delivery.due_at,
            "wake_at": verdict.wake_at,
            "held_for": verdict.held_for,
            "expires_at": verdict.expires_at or delivery.expires_at,
            "tries": delivery.tries - 1,
        }
        about = (delivery.id, delivery.notification_id, delivery.broadcast_id)
        moved.append(Move(*about, lifecycle.SENDING, verdict.status, columns))
    move_each(moved)


def _held(dropped: Sequence[tuple[Claimed, _Verdict]], now: datetime) -> dict[UUID, Held]:
    """The steps of routings that wait for the end of quiet hours, by notification; not those asked about again soon."""
    return {
        claimed.notification.id: Held(claimed.delivery.step, at, at - now, verdict.expires_at)
        for claimed, verdict in dropped
        if claimed.notification.routing != ALL and verdict.reason in quiet.REASONS
        if (at := verdict.due_at) is not None and verdict.wake_at == at
    }


def _halt(claimed: Claimed, now: datetime, stopped: Mapping[UUID | None, str]) -> _Verdict | None:
    """Its broadcast is paused, or has been cancelled."""
    delivery = claimed.delivery
    match stopped.get(delivery.broadcast_id):
        case broadcasts.PAUSED:
            times = delivery.due_at or now, outages.look_again_at(delivery.expires_at, now)
            return _Verdict(lifecycle.WAITING, PAUSED, {}, *times, held_for=outages.of_broadcast(delivery.broadcast_id))
        case broadcasts.CANCELLED:
            return _Verdict(lifecycle.SKIPPED, "cancelled")
    return None


def _verdict(
    claimed: Claimed, now: datetime, paused: Collection[str], rival: str | None, drop: Drop | None = None
) -> _Verdict | None:
    """Why a claimed delivery is not to be sent after all. `rival` and `drop`: as `last_look.look` takes them."""
    delivery, notification = claimed.delivery, claimed.notification
    if delivery.expires_at is not None and delivery.expires_at <= now:
        return _Verdict(lifecycle.EXPIRED, "expired")
    looked_at = delivery, notification, claimed.type, claimed.person, now
    match last_look.look(*looked_at, drop=drop, rival=rival, of_type=claimed.about):
        case Drop(reason, detail):
            return _Verdict(lifecycle.SKIPPED, reason, detail)
        case Behind(because):
            return _Verdict(lifecycle.WAITING, FALLBACK, {"because": because}, wake_at=delivery.expires_at)
        case Wait(until, reason):
            expires_at = outlived(delivery.expires_at, until - now, is_perishable=notification.is_perishable)
            wake_at = min(until, expires_at or until)
            told = {"until": shapes.timestamp(until)}
            return _Verdict(lifecycle.WAITING, reason, told, until, wake_at, expires_at=expires_at)
    if delivery.channel in paused:
        times = delivery.due_at or now, outages.look_again_at(delivery.expires_at, now)
        return _Verdict(
            lifecycle.WAITING, PAUSED, {"because": notification.routing}, *times, outages.of_channel(delivery.channel)
        )
    if not claimed.adapters:
        return _Verdict(lifecycle.SKIPPED, "channel_off")
    refused = _country_refused(claimed)
    if refused is not None:
        whose, country = refused
        metrics.limited.labels("countries").inc()
        return _Verdict(lifecycle.SKIPPED, COUNTRY, {"because": whose, "country": country})
    barred = _barred(claimed)
    return _Verdict(lifecycle.SKIPPED, NOT_LISTED, {"because": barred.whose}) if barred and barred.whose else None


def _country_refused(claimed: Claimed) -> tuple[str, str] | None:
    """Alerts to those who run the installation pass, and so do simulated phones."""
    address, channel = claimed.address, CHANNELS[claimed.delivery.channel]
    if channel.address is not PHONE or address is None or claimed.type.to_admins:
        return None
    if magic_word(channel, address.value):
        return None
    return country_refused(address.value, claimed.notification.producer_id)


def _barred(claimed: Claimed) -> Barred | None:
    """The address was given before a list of webhook targets left it out."""
    if not claimed.lists or claimed.address is None:
        return None
    return serving.registry().why_not(claimed.delivery.channel, claimed.address.value, claimed.lists)
