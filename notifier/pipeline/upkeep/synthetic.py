"""The synthetic person (SYNTHETIC): is told every event type again and again, and watched for whether it arrives.

Called by the scheduler, every second. Their messages go the way of everybody's (`intake.own`): into their inbox,
through the sandbox, and to addresses that were given through each account of the channel. One turn at a time, spread
evenly: `models.SyntheticTurn` is the plan, so restarts change nothing and any number of schedulers may run. What was
said is deleted after a while; switched off, nothing of it is left.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.catalogue.samples import sample_of
from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.core.routing import ALL
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.synthetic import BAD, FAILED, OFF, Delivered, Result, Synthetic, judge, patience
from notifier.core.worlds import SYNTHETIC
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import look_again, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, parse
from notifier.models import (
    Address,
    Delivery,
    EventType,
    InboxItem,
    InboxState,
    Notification,
    Suppression,
    SyntheticTurn,
    User,
)
from notifier.models import Submission as SubmissionRow
from notifier.people import cache as people_cache
from notifier.pipeline.delivery import alarm
from notifier.pipeline.intake import own
from notifier.pipeline.upkeep import synthetic_plan

KEPT = timedelta(hours=2)  # longer than the patience with any message
ALARM = "synthetic_alarm"
ALARM_AFTER, ALARM_ONCE_IN_S = 2, 3600
_DELETED_AT_ONCE = 200
_PLAN_EVERY_S = 60.0
_SUBMITTED_WITHIN = timedelta(seconds=30)

_t = SyntheticTurn.__table__.c
_turns: sa.Table = SyntheticTurn.__table__

log = structlog.get_logger()


class Watch:
    """One scheduler's part of it."""

    def __init__(self) -> None:
        self._plan_at = float("-inf")

    def work(self) -> None:
        asked, is_time_to_plan = current_settings().synthetic, time.monotonic() >= self._plan_at
        if is_time_to_plan:
            self._plan_at = time.monotonic() + _PLAN_EVERY_S
            if asked is not None:
                synthetic_plan.make(asked)
            elif synthetic_plan.is_there():
                self._plan_at = 0.0 if _leave() else self._plan_at
        if asked is not None:
            look()
            say_next(asked)
            if is_time_to_plan:
                prune()


# ---- saying ---------------------------------------------------------------------------------------------------------


def say_next(asked: Synthetic) -> bool:
    """Submits for the turn that is due, if there is one. Marked before it is submitted: a scheduler that dies in
    between has said nothing, and `look` lets the turn come again.
    """
    now = clock_now()
    due = sa.select(SyntheticTurn).where(_t.due_at <= now, _t.is_open.is_(False)).order_by(_t.due_at).limit(1)
    look_again()
    if db.session.execute(due).first() is None:
        db.session.close()
        return False
    with transaction() as session:
        turn = session.scalar(due.with_for_update(skip_locked=True))
        if turn is None:
            return False
        turn.due_at = max(turn.due_at + asked.every, now)
        type_ = _next_type(turn)
        if type_ is None:  # the type or the account has gone, and soon its turn has
            return True
        turn.type, turn.priority = type_.key, type_.priority
        turn.triggered_at, turn.notification_id, turn.is_open = now, None, True
        turn.so_far = []
        key, account = turn.key, turn.account
    try:
        submission = _submission(type_, account)
        [answer] = own.submit(submission, is_test=True).answer["notifications"]
    except Rejected as error:
        log.warning("synthetic.refused", type=type_.key, account=account, code=error.code)
        # Sample data that do not fit a type's own schema are no fault of anything that sends
        state = OFF if error.code == "validation_failed" else FAILED
        _close(key, None, [Result(name, state, why=error.code) for name in type_.channels])
        return True
    notification_id = parse("ntf", answer["id"])
    with transaction() as session:
        mine = sa.update(_turns).where(_t.key == key, _t.is_open.is_(True), _t.notification_id.is_(None))
        session.execute(mine.values(notification_id=notification_id))
    look(seen=_in_inbox(notification_id))
    return True


def _next_type(turn: SyntheticTurn) -> EventType | None:
    """Its own; or of all types of the account's channel, the one after the last. None: there is none any more."""
    if turn.account is None:
        return db.session.get(EventType, turn.key)
    channel = synthetic_plan.channel_of(turn.account)
    if channel is None:
        return None
    types = db.session.scalars(sa.select(EventType).order_by(EventType.key)).all()
    types = [one for one in types if channel in one.channels] or types
    return next((one for one in types if one.key > (turn.type or "")), types[0] if types else None)


def _submission(type_: EventType, account: str | None) -> Submission:
    """Raises Rejected."""
    channels = type_.channels if account is None else [name for name in (synthetic_plan.channel_of(account),) if name]
    return Submission(
        type_.key,
        (InlineRecipient(SYNTHETIC),),
        sample_of(type_.key, type_.schema),
        channels=tuple(channels),
        routing=ALL,
        expires_in=round(patience(type_.priority).total_seconds()),
        address_id=synthetic_plan.address_for(account) if account is not None else None,
        only_through=account,
        dedupe=False,
    )


def _in_inbox(notification_id: UUID) -> Mapping[UUID, datetime]:
    """The items of it that anybody can read by now → now."""
    look_again()
    items = db.session.scalars(sa.select(InboxItem.id).where(InboxItem.notification_id == notification_id)).all()
    return dict.fromkeys(items, clock_now())


# ---- watching -------------------------------------------------------------------------------------------------------


def look(seen: Mapping[UUID, datetime] | None = None) -> None:
    """Judges everything that was said and has not been heard of. `seen`: when inbox items were seen (`core.synthetic`).
    A constant number of statements, and one for each that has changed.
    """
    now = clock_now()
    look_again()
    turns = db.session.scalars(sa.select(SyntheticTurn).where(_t.is_open.is_(True))).all()
    ids = [turn.notification_id for turn in turns if turn.notification_id is not None]
    deliveries: dict[UUID, list[Any]] = {}
    if ids:
        columns = (Delivery.id, Delivery.notification_id, Delivery.channel, Delivery.status, Delivery.reason)
        more = (Delivery.code, Delivery.sent_at, Delivery.delivered_at)
        for row in db.session.execute(sa.select(*columns, *more).where(Delivery.notification_id.in_(ids))):
            deliveries.setdefault(row.notification_id, []).append(row)
    db.session.close()
    for turn in turns:
        if turn.notification_id is None or turn.triggered_at is None or turn.priority is None:
            if turn.triggered_at is None or turn.triggered_at < now - _SUBMITTED_WITHIN:
                _let_come_again(turn.key)
            continue
        rows = deliveries.get(turn.notification_id, [])
        results = _judged(turn, rows, now, seen or {})
        if not any(one.is_open for one in results):
            _close(turn.key, turn.notification_id, results)
        elif [one.pack() for one in results] != turn.so_far:
            _note(turn.key, turn.notification_id, so_far=[one.pack() for one in results])


def _judged(turn: SyntheticTurn, rows: Sequence[Any], now: datetime, seen: Mapping[UUID, datetime]) -> list[Result]:
    """What has been settled stays so."""
    assert turn.triggered_at is not None
    assert turn.priority is not None
    if not rows:
        return []  # somebody has deleted it
    settled = {one.channel: one for one in map(Result.unpack, turn.so_far) if not one.is_open}
    found: dict[str, Result] = {}
    for row in rows:
        delivery: Delivered = row
        found[row.channel] = settled.get(row.channel) or judge(
            delivery, turn.priority, turn.triggered_at, now, seen.get(row.id)
        )
    return [found[name] for name in CHANNELS if name in found]


def _close(key: str, notification_id: UUID | None, results: Sequence[Result]) -> None:
    """The turn is over. Of several schedulers, one has closed it, and tells."""
    is_bad = any(one.state in BAD for one in results)
    bad = _t.bad + 1 if is_bad else 0
    if _note(key, notification_id, is_open=False, so_far=[], results=[one.pack() for one in results], bad=bad):
        for one in results:
            if one.state in BAD:
                log.warning("synthetic.not_well", turn=key, channel=one.channel, state=one.state, why=one.why)
        if is_bad:
            _raise_alarm(key)


def _note(key: str, notification_id: UUID | None, **values: Any) -> bool:
    with transaction() as session:
        same = _t.notification_id.is_(None) if notification_id is None else _t.notification_id == notification_id
        mine = sa.update(_turns).where(_t.key == key, _t.is_open.is_(True), same).values(values)
        return bool(session.execute(mine).rowcount)  # type: ignore[attr-defined]


def _raise_alarm(key: str) -> None:
    """Tells the admins once an hour, if it is not the first time in a row."""
    failing = db.session.scalars(sa.select(SyntheticTurn).where(_t.bad >= ALARM_AFTER)).all()
    db.session.close()
    this = next((turn for turn in failing if turn.key == key), None)
    channels = [one.channel for one in map(Result.unpack, this.results if this else ()) if one.state in BAD]
    if this is None or not channels or not alarm.is_first("~synthetic", ALARM_ONCE_IN_S):
        return
    data = {"channel": channels[0], "failed": len(failing), "url": current_settings().link("admin", "")}
    through = {"provider": this.account} if this.account else {}
    try:
        own.submit(Submission(ALARM, (InlineRecipient("admins"),), {**data, **through}))
    except Rejected as error:
        log.warning("synthetic.alarm_not_raised", code=error.code)


def _let_come_again(key: str) -> None:
    _note(key, None, is_open=False, due_at=clock_now())


# ---- forgetting -----------------------------------------------------------------------------------------------------


def prune() -> int:
    """Deletes what was said long ago, some at a time; → how many."""
    return _delete(Notification.id < first_at(clock_now() - KEPT))


def _delete(*conditions: "sa.ColumnElement[bool]") -> int:
    with transaction() as session:
        old = sa.select(Notification.submission_id).where(Notification.user_id == SYNTHETIC, *conditions)
        keys = session.scalars(old.order_by(Notification.id).limit(_DELETED_AT_ONCE)).all()
        if keys:  # all that belongs to them goes along
            session.execute(sa.delete(SubmissionRow.__table__).where(SubmissionRow.id.in_(keys)))
            mine = sa.select(sa.func.count()).where(InboxItem.user_id == SYNTHETIC, *InboxItem.in_view("unread"))
            state = InboxState.__table__
            unread = mine.scalar_subquery()
            session.execute(sa.update(state).where(state.c.user_id == SYNTHETIC).values(unread=unread, unseen=unread))
    return len(keys)


def _leave() -> bool:
    """Deletes some of what there is of the person. → whether there is more."""
    if _delete():
        return True
    with transaction() as session:
        people_cache.changing([SYNTHETIC], is_consent=True)
        session.execute(sa.delete(_turns))
        theirs = sa.select(Address.digest).where(Address.user_id == SYNTHETIC)
        session.execute(sa.delete(Suppression.__table__).where(Suppression.digest.in_(theirs)))
        session.execute(sa.delete(User).where(User.id == SYNTHETIC))  # with addresses and inbox
    log.info("synthetic.left")
    return False
