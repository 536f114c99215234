"""The data from which routing `best` learns: how often a person opened messages on each channel.

Only notifications routed `best` count, since each of them is one trial of one channel. If a message goes to several
channels at once, the channel that is looked at first gets all the opens. The scheduler adds up everyone's counts now
and then, so no row is written by all.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.routing import BEST, Scores
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.models import ChannelPrior, ChannelScore, Delivery, Notification, User

COUNT_EVERY = timedelta(hours=1)

_scores: sa.Table = ChannelScore.__table__
_priors: sa.Table = ChannelPrior.__table__
_OPENABLE = tuple(status for status in lifecycle.leading_to(lifecycle.OPENED))


def load(user_ids: Iterable[str]) -> dict[str, Scores]:
    """The scores of these people, with or without a history. Two queries."""
    wanted = set(user_ids)
    everyone = {row.channel: (row.sent, row.opened) for row in db.session.execute(sa.select(*_priors.columns))}
    person: dict[str, dict[str, tuple[int, int]]] = {user_id: {} for user_id in wanted}
    for row in db.session.execute(sa.select(*_scores.columns).where(_scores.c.user_id.in_(wanted))):
        person[row.user_id][row.channel] = (row.sent, row.opened)
    return {user_id: Scores(channels, everyone) for user_id, channels in person.items()}


def count_sent(sent: Iterable[tuple[str, str]]) -> None:
    """Counts sent messages, given as pairs of user and channel. Inside the caller's transaction."""
    _add(
        [
            {"user_id": user_id, "channel": channel, "sent": count, "opened": 0}
            for (user_id, channel), count in Counter(sent).items()
        ]
    )


def count_opened(delivery_ids: "sa.Select[UUID]") -> None:
    """Counts those of these deliveries that are about to become `opened`. Inside the caller's transaction, before the
    move.
    """
    opened = (
        sa.select(Notification.user_id, Delivery.channel, sa.func.count().label("count"))
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(
            Delivery.id.in_(delivery_ids),
            Delivery.status.in_(_OPENABLE),
            Notification.routing == BEST,
            Notification.is_test.is_(False),
        )
        .group_by(Notification.user_id, Delivery.channel)
    )
    _add(
        [
            {"user_id": row.user_id, "channel": row.channel, "sent": 0, "opened": row.count}
            for row in db.session.execute(opened)
        ]
    )


def _add(rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        return
    # Held until we have written, so that nobody is erased meanwhile; sorted, so that two batches lock in one order.
    users = sa.select(User.id).where(User.id.in_({row["user_id"] for row in rows})).order_by(User.id)
    still_here = set(db.session.scalars(users.with_for_update(read=True, key_share=True)))
    kept = sorted(
        (row for row in rows if row["user_id"] in still_here), key=lambda row: (row["user_id"], row["channel"])
    )
    if kept:
        statement = insert(_scores)
        added = {name: _scores.c[name] + statement.excluded[name] for name in ("sent", "opened")}
        db.session.execute(statement.on_conflict_do_update(index_elements=["user_id", "channel"], set_=added), kept)


def count_everyone(now: datetime) -> int:
    """Recomputes the sums over all people, unless another process has just done it. → how many channels. Called by the
    scheduler.
    """
    latest = db.session.scalar(sa.select(sa.func.max(ChannelPrior.updated_at)))
    if latest is not None and latest > now - COUNT_EVERY:
        return 0
    sums = sa.select(
        _scores.c.channel, sa.func.sum(_scores.c.sent).label("sent"), sa.func.sum(_scores.c.opened).label("opened")
    ).group_by(_scores.c.channel)
    counted = [
        {"channel": row.channel, "sent": row.sent, "opened": row.opened, "updated_at": now}
        for row in db.session.execute(sums.order_by("channel"))
    ]
    if counted:
        with transaction() as session:
            statement = insert(_priors)
            values = {name: statement.excluded[name] for name in ("sent", "opened", "updated_at")}
            session.execute(statement.on_conflict_do_update(index_elements=["channel"], set_=values), counted)
    return len(counted)
