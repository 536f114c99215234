"""What the scheduler does for subscriptions: rings those that have something to be told, tells of disabled ones, and
forgets old attempts.

The database is the truth: a subscription with unread events, and that nobody has, is rung again. Redis only says that
it may be time to look (`signals.news`).
"""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.channels import serving
from notifier.channels.table import WEBHOOK
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.timestamps import timestamp
from notifier.ground import partitions
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import prune, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, show
from notifier.models import Event, Producer, Subscription, SubscriptionAttempt, SubscriptionRetry
from notifier.models.subscription import FAILING, GONE
from notifier.pipeline.intake import own
from notifier.queries import events as stream
from notifier.signals import news
from notifier.signals.queueing import DOORBELL_GRACE, ring_subscriptions
from notifier.subscriptions.lease import IS_SLOW, SLOW_AT_ONCE, is_free, key_holds, slow_running

BATCH = 500
LOOK_EVERY = timedelta(seconds=2)  # without news
TYPE = "subscription_disabled"

_s = Subscription.__table__.c
_e = Event.__table__.c
_r = SubscriptionRetry.__table__.c

log = structlog.get_logger()


class Ringing:
    """Remembers the news that it has seen, so that an idle installation costs one look in two seconds."""

    def __init__(self) -> None:
        self._known: str | bytes | None = None
        self._look_at: datetime | None = None

    def ring_due(self) -> int:
        """Rings the subscriptions that have something to be told; → how many."""
        latest, now = news.latest(), clock_now()
        if latest == self._known and self._look_at is not None and now < self._look_at:
            return 0
        rung = ring_due(now)
        self._known, self._look_at = latest, now + LOOK_EVERY
        if rung:
            self._look_at = now  # those whose turn ends meanwhile may have more
        return rung


def ring_due(now: datetime) -> int:
    is_any_due = db.session.execute(_due(now).limit(1)).first() is not None
    db.session.close()
    if not is_any_due:  # mostly so: no writer is kept waiting then
        return 0
    with transaction() as session:
        due = session.execute(_due(now).with_for_update(skip_locked=True, of=Subscription.__table__)).all()
        room = max(SLOW_AT_ONCE - slow_running(), 0) if any(row.is_slow_one for row in due) else 0
        slow = [row.id for row in due if row.is_slow_one][:room]
        ids = [row.id for row in due if not row.is_slow_one] + slow
        if ids:
            session.execute(
                sa.update(Subscription.__table__).where(_s.id.in_(ids)).values(wake_at=now + DOORBELL_GRACE)
            )
    if ids:
        ring_subscriptions(ids)
    return len(ids)


def _due(now: datetime) -> "sa.Select[UUID, bool]":
    mine = _r.subscription_id == _s.id
    reasons = (
        _s.ping.is_not(None),
        _s.replay_position.is_not(None),
        sa.exists().where(mine, _r.due_at <= now),
        _is_behind(now),
    )
    return (
        sa.select(_s.id, IS_SLOW.label("is_slow_one"))
        .join(Producer.__table__, sa.and_(Producer.id == _s.producer_id, Producer.disabled_at.is_(None)))
        .where(_s.disabled_at.is_(None), _s.wake_at <= now, is_free(), sa.or_(*reasons))
        .order_by(IS_SLOW, _s.wake_at)  # else those that fail, if they are many, would fill the batch
        .limit(BATCH)
    )


def _is_behind(now: datetime, upto: int | None = None) -> "sa.ColumnElement[bool]":
    """Whether there are events behind its position that may be for it: one step through an index for each."""
    further = [_e.id > _s.position, *([_e.id <= upto] if upto is not None else [])]
    return sa.or_(
        sa.exists().where(_e.producer_id == _s.producer_id, *further),
        sa.and_(_s.sees_people, key_holds(now), sa.exists().where(_e.producer_id.is_(None), *further)),
        sa.and_(_s.sees_all, key_holds(now), sa.exists().where(*further)),
    )


def advance() -> int:
    """Moves those that have nothing to read on to the end of the stream; → how many. Else the pruning of others' events
    would look like a loss of theirs.
    """
    last = stream.end()
    db.session.close()
    with transaction() as session:
        moved = session.execute(
            sa.update(Subscription.__table__)
            .where(_s.position < last, ~_is_behind(clock_now(), last), is_free())
            .values(position=last)
            .returning(_s.id)
        )
        return len(moved.all())


def tell_of_disabled() -> int:
    """Tells every admin of subscriptions that were disabled for failing or by a 410; → how many."""
    columns = (_s.id, _s.url, _s.disabled_reason, _s.disabled_at, _s.failing_since, Producer.name)
    untold = (
        sa.select(*columns)
        .join(Producer.__table__, Producer.id == _s.producer_id)
        .where(_s.disabled_reason.in_((GONE, FAILING)), _s.told_at.is_(None), _s.is_test.is_(False))
        .limit(BATCH)
    )
    rows = db.session.execute(untold).all()
    db.session.close()
    for row in rows:
        since = row.failing_since or row.disabled_at
        data = {
            "producer": row.name,
            "address": serving.mask(WEBHOOK.name, row.url),
            "reason": row.disabled_reason,
            "since": timestamp(since),
            "url": current_settings().link("admin", "subscriptions", show("sbn", row.id)),
        }
        try:
            own.submit(Submission(TYPE, (InlineRecipient("admins"),), data))
        except Rejected as error:  # by a schema that somebody has changed, say: the others are told of
            log.warning("subscription.not_told", subscription=show("sbn", row.id), code=error.code)
        with transaction() as session:
            session.execute(sa.update(Subscription.__table__).where(_s.id == row.id).values(told_at=clock_now()))
    return len(rows)


def prune_attempts() -> int:
    """Drops and deletes attempts that are older than `RETENTION` says; → how many were deleted one by one. Their ids
    begin with their time (UUIDv7).
    """
    kept = current_settings().retention["attempts"]
    partitions.drop(SubscriptionAttempt.__table__.c.id, clock_now() - kept)
    oldest = clock_now() - kept - partitions.spare(kept)
    return prune(SubscriptionAttempt.__table__, SubscriptionAttempt.id < first_at(oldest))
