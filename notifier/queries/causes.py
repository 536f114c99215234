"""Failed deliveries by cause, and the jobs of one cause: the first pages of `/admin/failed`.

Read from the deliveries, which are the truth; `queries.failed` reads RQ's registries. The index `ix_delivery_cause`
holds everything that the grouping needs, so hundreds of thousands take a fraction of a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
import sqlalchemy as sa

from notifier.core import trends
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import parse, show
from notifier.ground.replica import may_lag
from notifier.models import BulkAction, Delivery, Notification
from notifier.queries.dead_letters import NONE, Filter, is_dead, select_dead
from notifier.queries.failed import FailedJob, describe
from notifier.signals.queueing import OTHER_QUEUES, all_queues, failed_registry, queue_name

PAGE_SIZE = 50
MOST_GROUPS = 200
MOST_LOOKED_AT = 10_000
HOURS = 24
SORTS = {"newest": "newest", "oldest": "oldest", "count": "count"}
_CAUSE = (Delivery.channel, Delivery.provider, Delivery.outcome, Delivery.code)


@dataclass(frozen=True, slots=True)
class Group:
    """All dead letters of one cause. `trend`: how many failed in each of the last 24 hours, oldest first."""

    channel: str
    provider: str | None
    outcome: str | None
    code: str | None
    count: int
    oldest: datetime | None
    newest: datetime | None
    trend: tuple[int, ...]

    @property
    def cause(self) -> dict[str, str]:
        """The cause's form in a URL."""
        return {
            "channel": self.channel,
            "provider": self.provider or NONE,
            "outcome": self.outcome or NONE,
            "code": self.code or NONE,
        }

    @property
    def last_hour(self) -> int:
        return self.trend[-1]

    @property
    def is_rising(self) -> bool:
        """The last hour against the average hour of the day before it."""
        return trends.is_rising(trends.FAILED, self.last_hour, sum(self.trend[:-1]) / (HOURS - 1))

    @property
    def peak(self) -> int:
        return max(self.trend)


@dataclass(frozen=True, slots=True)
class Groups:
    """`is_cut`: there are more groups than are shown."""

    groups: Sequence[Group]
    total: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Jobs:
    """A page of dead letters. `following` is the cursor of the next one. `people`: for how many they are, or at least
    are (`is_more`).
    """

    jobs: Sequence[FailedJob]
    total: int
    people: int
    following: str | None

    @property
    def is_more(self) -> bool:
        return self.total > MOST_LOOKED_AT


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many dead letters the database has, and RQ's registries; None: Redis is away."""

    deliveries: int
    registered: int | None

    @property
    def missing(self) -> int:
        return max(0, self.deliveries - self.registered) if self.registered is not None else 0

    @property
    def surplus(self) -> int:
        return max(0, self.registered - self.deliveries) if self.registered is not None else 0


@may_lag
def groups(chosen: Filter, sort: str = "-newest") -> Groups:
    """`sort`: newest, oldest or count, with `-` in front for the greatest first. One query: it reads all of them."""
    this_hour = now().replace(minute=0, second=0, microsecond=0)
    first = this_hour - timedelta(hours=HOURS - 1)
    is_sqlite = db.engine.dialect.name == "sqlite"  # which keeps times as text
    hour = (
        sa.func.substr(sa.cast(Delivery.failed_at, sa.Text), 1, 13)
        if is_sqlite
        else sa.func.floor(sa.func.extract("epoch", Delivery.failed_at) / 3600)
    )
    columns = (
        sa.func.count().label("count"),
        sa.func.min(Delivery.failed_at).label("oldest"),
        sa.func.max(Delivery.failed_at).label("newest"),
    )
    statement = select_dead(chosen, *_CAUSE, sa.case((Delivery.failed_at >= first, hour)).label("hour"), *columns)
    parts: dict[tuple[Any, ...], list[Any]] = {}
    for row in db.session.execute(statement.group_by(*_CAUSE, sa.text("hour"))):
        parts.setdefault(tuple(row[:4]), []).append(row)
    found = sorted(
        (_group(cause, rows, first) for cause, rows in parts.items()),
        key=lambda group: tuple(part or "" for part in group.cause.values()),
    )
    found.sort(key=lambda group: _place_by(getattr(group, sort.removeprefix("-"))), reverse=sort.startswith("-"))
    return Groups(found[:MOST_GROUPS], sum(group.count for group in found), len(found) > MOST_GROUPS)


def _group(cause: tuple[Any, ...], rows: Sequence[Any], first: datetime) -> Group:
    """Numbers by hour since `first`, and the number of all earlier failures (hour: None)."""
    trend = [0] * HOURS
    for row in rows:
        if row.hour is not None:
            at = (
                datetime.fromisoformat(f"{row.hour}:00:00+00:00")
                if isinstance(row.hour, str)
                else datetime.fromtimestamp(int(row.hour) * 3600, tz=first.tzinfo)
            )
            index = round((at - first) / timedelta(hours=1))
            if index < HOURS:
                trend[index] += row.count
    oldest = min((row.oldest for row in rows if row.oldest), default=None)
    newest = max((row.newest for row in rows if row.newest), default=None)
    channel, provider, error, code = cause
    return Group(channel, provider, error, code, sum(row.count for row in rows), oldest, newest, tuple(trend))


def _place_by(value: Any) -> tuple[bool, Any]:
    """To be sorted by, a missing one first."""
    return value is not None, value


@may_lag
def jobs(chosen: Filter, after: str | None = None, *, is_oldest_first: bool = False) -> Jobs:
    """Newest failure first, by keyset. An invalid cursor begins at the beginning."""
    total = db.session.scalar(select_dead(chosen, sa.func.count())) or 0
    if not total:
        return Jobs([], 0, 0, None)
    key = (Delivery.failed_at, Delivery.id)
    statement = select_dead(chosen, Delivery.id, Delivery.channel, Delivery.priority, Delivery.failed_at)
    place = _place(after)
    if place is not None:
        statement = statement.where(sa.tuple_(*key) > place if is_oldest_first else sa.tuple_(*key) < place)
    ordered = statement.order_by(*(column.asc() if is_oldest_first else column.desc() for column in key))
    rows = db.session.execute(ordered.limit(PAGE_SIZE + 1)).all()
    page = rows[:PAGE_SIZE]
    following = f"{page[-1].failed_at.timestamp():.6f}_{show('dlv', page[-1].id)}" if len(rows) > PAGE_SIZE else None
    return Jobs(
        describe([(queue_name(row.channel, row.priority), show("dlv", row.id)) for row in page]),
        total,
        _people(chosen),
        following,
    )


def _people(chosen: Filter) -> int:
    """How many people are affected; at most MOST_LOOKED_AT failures are looked at."""
    some = select_dead(chosen, Delivery.notification_id).limit(MOST_LOOKED_AT).subquery()
    # Looked up for each: PostgreSQL might read all notifications for a join.
    user = sa.select(Notification.user_id).where(Notification.id == some.c.notification_id).scalar_subquery()
    return db.session.scalar(sa.select(sa.func.count(user.distinct())).select_from(some)) or 0


def _place(after: str | None) -> Any:
    at, _, shown_id = (after or "").partition("_")
    try:
        moment = datetime.fromtimestamp(float(at), tz=now().tzinfo)
        return sa.tuple_(
            sa.literal(moment, Delivery.__table__.c.failed_at.type),
            sa.literal(parse("dlv", shown_id), Delivery.__table__.c.id.type),
        )
    except (ValueError, OverflowError, OSError, Rejected):
        return None


@may_lag
def count() -> int:
    """All dead letters."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(Delivery).where(is_dead())) or 0


def agreement() -> Agreement:
    """Compares the numbers of dead letters in the database and in RQ's registries. One query and one round trip."""
    deliveries = count()
    try:
        with redis_store.client.pipeline(transaction=False) as pipe:
            for name in all_queues():
                if name not in OTHER_QUEUES:
                    pipe.zcard(failed_registry(name).key)
            return Agreement(deliveries, sum(pipe.execute()))
    except redis.RedisError:
        return Agreement(deliveries, None)


def actions(limit: int = 10) -> Sequence[BulkAction]:
    """The latest first."""
    return db.session.scalars(sa.select(BulkAction).order_by(BulkAction.id.desc()).limit(limit)).all()


def action(shown_id: str) -> BulkAction:
    """Raises Rejected('not_found')."""
    row = db.session.get(BulkAction, parse("blk", shown_id))
    if row is None:
        raise Rejected("not_found", f"there is no {shown_id}")
    return row
