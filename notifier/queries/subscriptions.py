"""Status webhooks for the API and the console: subscriptions, and the attempts to tell them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.table import WEBHOOK
from notifier.core.errors import Rejected
from notifier.core.subscriptions import kinds_of
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.ground.shapes import timestamp
from notifier.models import Event, Producer, Subscription, SubscriptionAttempt, SubscriptionRetry
from notifier.models.subscription import FAILING, GONE
from notifier.queries import webhook_targets
from notifier.queries.notifications import Sight

SUBSCRIPTION, ATTEMPT = "sbn", "att"  # the kinds in their ids
LINES = 50  # of a page of the console
LOOKED_AT = 10_000  # attempts, for those that have failed
SENT = "sent"


@dataclass(frozen=True, slots=True)
class Line:
    """A subscription as the console shows it. `shown`: as the API does; `url` is masked. `kinds`: all events that it
    names. `has_scopes`: it may hear of more than a console may give it.
    """

    id: UUID
    shown: Mapping[str, Any]
    url: str
    kinds: frozenset[str]
    has_scopes: bool
    producer: Producer


class Lines(NamedTuple):
    lines: list[Line]
    next: str | None


def lines(sight: Sight, after: str | None) -> Lines:
    """Newest first, LINES at most."""
    rows, following = _page(after, LINES, sight)
    return Lines(_lines(rows), following)


def line(subscription_id: UUID, sight: Sight) -> Line:
    """Raises Rejected('not_found')."""
    return _lines([_one(subscription_id, sight)])[0]


def in_sight(shown_id: str, sight: Sight) -> UUID:
    """The key behind a shown id. Raises Rejected('not_found') for none, and for one the caller may not see."""
    return _one(parse(SUBSCRIPTION, shown_id), sight).id


def one(subscription_id: UUID, sight: Sight) -> dict[str, Any]:
    """Raises Rejected('not_found') for none, and for one the caller may not see."""
    return _shown([_one(subscription_id, sight)])[0]


def page(after: str | None, limit: int, sight: Sight) -> dict[str, Any]:
    """Newest first."""
    rows, following = _page(after, limit, sight)
    return {"data": _shown(rows), "next": following}


def oldest_unread() -> datetime | None:
    """When the oldest event happened that one of those that are on has not had its turn with; None: all had all. One
    query, with a step or two through an index for each subscription.
    """
    of_all = sa.select(Event.at).where(Event.id > Subscription.position).order_by(Event.id).limit(1)
    of_its_own = of_all.where(Event.producer_id == Subscription.producer_id)
    first = sa.case((Subscription.sees_all, of_all.scalar_subquery()), else_=of_its_own.scalar_subquery())
    mine = (
        sa.select(first.label("at"))
        .join(Producer, sa.and_(Producer.id == Subscription.producer_id, Producer.disabled_at.is_(None)))
        .where(Subscription.disabled_at.is_(None))
        .subquery()
    )
    oldest: datetime | None = db.session.scalar(sa.select(sa.func.min(mine.c.at, type_=mine.c.at.type)))
    return oldest


def troubled(failing_before: datetime) -> tuple[list[UUID], list[UUID]]:
    """→ those that were disabled by a 410 or for failing, and those that are on and have had no success since before
    then, oldest first. Without those of test keys, and of producers that are switched off. One query.
    """
    is_failing = sa.and_(Subscription.disabled_at.is_(None), Subscription.failing_since <= failing_before)
    statement = (
        sa.select(Subscription.id, Subscription.disabled_at)
        .join(Producer, sa.and_(Producer.id == Subscription.producer_id, Producer.disabled_at.is_(None)))
        .where(Subscription.is_test.is_(False), sa.or_(Subscription.disabled_reason.in_((GONE, FAILING)), is_failing))
        .order_by(Subscription.id)
    )
    rows = db.session.execute(statement).all()
    return (
        [row.id for row in rows if row.disabled_at is not None],
        [row.id for row in rows if row.disabled_at is None],
    )


def attempts(subscription_id: UUID, after: str | None, limit: int, *, only_failed: bool = False) -> dict[str, Any]:
    """Newest first, as long as they are kept (`RETENTION`). The caller has looked whether it may see them.

    `only_failed`: those among the next LOOKED_AT, so a page may hold few or none, and `next` leads on.
    """
    newest = SubscriptionAttempt.id.desc()
    before = SubscriptionAttempt.id < parse(ATTEMPT, after) if after else sa.true()
    mine = sa.select(SubscriptionAttempt).where(SubscriptionAttempt.subscription_id == subscription_id, before)
    if not only_failed:
        rows = list(db.session.scalars(mine.order_by(newest).limit(limit + 1)))
        following = rows[limit - 1].id if len(rows) > limit else None
    else:
        looked = mine.with_only_columns(SubscriptionAttempt.id, SubscriptionAttempt.outcome)
        window = looked.order_by(newest).limit(LOOKED_AT).cte("looked_at")
        failed = sa.select(window.c.id).where(window.c.outcome != SENT).order_by(window.c.id.desc()).limit(limit + 1)
        rows = list(
            db.session.scalars(
                sa.select(SubscriptionAttempt).where(SubscriptionAttempt.id.in_(failed)).order_by(newest)
            )
        )
        following = rows[limit - 1].id if len(rows) > limit else _last_of(window)
    return {"data": [_attempt(row) for row in rows[:limit]], "next": show(ATTEMPT, following) if following else None}


def _last_of(window: "sa.CTE") -> UUID | None:
    """The oldest of the rows that were looked at; None: there are no older ones."""
    count, oldest = db.session.execute(sa.select(sa.func.count(), _oldest(window)).select_from(window)).one()
    return oldest if count == LOOKED_AT else None


def _oldest(window: "sa.CTE") -> "sa.ScalarSelect[UUID]":
    return sa.select(window.c.id).order_by(window.c.id).limit(1).scalar_subquery()


def attempt(subscription_id: UUID, shown_id: str) -> dict[str, Any]:
    """Raises Rejected('not_found')."""
    row = db.session.scalar(
        sa.select(SubscriptionAttempt).where(
            SubscriptionAttempt.id == parse(ATTEMPT, shown_id), SubscriptionAttempt.subscription_id == subscription_id
        )
    )
    if row is None:
        raise Rejected("not_found", "there is no such attempt, or it is no longer kept")
    return {**_attempt(row), "made_at": row.at}


def _one(subscription_id: UUID, sight: Sight) -> Subscription:
    row = db.session.scalar(
        sa.select(Subscription).where(Subscription.id == subscription_id, *sight.conditions(Subscription))
    )
    if row is None:
        raise Rejected("not_found", "there is no such subscription")
    return row


def _page(after: str | None, limit: int, sight: Sight) -> tuple[list[Subscription], str | None]:
    """→ the rows, and the cursor of those that follow."""
    statement = (
        sa.select(Subscription).where(*sight.conditions(Subscription)).order_by(Subscription.id.desc()).limit(limit + 1)
    )
    before = Subscription.id < parse(SUBSCRIPTION, after) if after else sa.true()
    rows = list(db.session.scalars(statement.where(before)))
    return rows[:limit], show(SUBSCRIPTION, rows[limit - 1].id) if len(rows) > limit else None


def _lines(rows: Sequence[Subscription]) -> list[Line]:
    """Two queries, whatever their number."""
    theirs = sa.select(Producer).where(Producer.id.in_({row.producer_id for row in rows}))
    producers = {producer.id: producer for producer in db.session.scalars(theirs)}
    return [
        Line(
            row.id,
            shown,
            serving.mask(WEBHOOK.name, row.url),
            kinds_of(row.kinds),
            row.sees_people or row.sees_all,
            producers[row.producer_id],
        )
        for row, shown in zip(rows, _shown(rows), strict=True)
    ]


def _shown(rows: Sequence[Subscription]) -> list[dict[str, Any]]:
    """One query, whatever their number."""
    waiting, at = _waiting([row.id for row in rows]), now()
    return [
        {
            "id": show(SUBSCRIPTION, row.id),
            "url": row.url,
            "events": row.kinds,
            "types": row.types,
            "description": row.description,
            "all_producers": row.sees_all,
            "test": row.is_test,
            "disabled": row.disabled_at is not None,
            "disabled_at": timestamp(row.disabled_at),
            "disabled_reason": row.disabled_reason,
            "left_out_by": webhook_targets.left_out_by(WEBHOOK.name, row.url, row.producer_id),
            "failing_since": timestamp(row.failing_since),
            "waiting": waiting.get(row.id, 0),
            "replay": None
            if row.replay_since is None
            else {"since": timestamp(row.replay_since), "until": timestamp(row.replay_until)},
            "previous_secret_until": _still(row.previous_until, at),
            "created_at": timestamp(row.created_at),
        }
        for row in rows
    ]


def _still(until: datetime | None, at: datetime) -> str | None:
    return None if until is None or until <= at else timestamp(until)


def _waiting(ids: Sequence[UUID]) -> dict[UUID, int]:
    counts = (
        sa.select(SubscriptionRetry.subscription_id, sa.func.count())
        .where(SubscriptionRetry.subscription_id.in_(ids))
        .group_by(SubscriptionRetry.subscription_id)
    )
    return {row[0]: row[1] for row in db.session.execute(counts)} if ids else {}


def _attempt(row: SubscriptionAttempt) -> dict[str, Any]:
    return {
        "id": show(ATTEMPT, row.id),
        "event": row.webhook_id,
        "type": row.kind,
        "number": row.number,
        "at": timestamp(row.at),
        "duration_ms": row.duration_ms,
        "outcome": row.outcome,
        "code": row.code,
        "message": row.message,
        "next_at": timestamp(row.next_at),
    }
