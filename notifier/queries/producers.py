"""Producers and their keys for the console; never a key itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.spend import shown
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.models import ApiKey, LimitStop, Producer, SpendDay

_STOPS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Line:
    """`keys`: how many may be used now. `last_used_at`: the latest use of any of its keys."""

    producer: Producer
    keys: int
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """`state`: active, ends (at `expires_at`), expired or revoked."""

    id: str
    row: ApiKey
    state: str


def lines(text: str = "") -> list[Line]:
    """Sorted by name; `text` is a part of it."""
    active = sa.select(sa.func.count()).where(
        ApiKey.producer_id == Producer.id,
        ApiKey.revoked_at.is_(None),
        (ApiKey.expires_at.is_(None)) | (ApiKey.expires_at > now()),
    )
    used = sa.select(sa.func.max(ApiKey.last_used_at)).where(ApiKey.producer_id == Producer.id)
    counts = (active.correlate(Producer).scalar_subquery(), used.correlate(Producer).scalar_subquery())
    statement = sa.select(Producer, *counts).order_by(Producer.name, Producer.id)
    if text:
        statement = statement.where(Producer.name.icontains(text, autoescape=True))
    return [Line(*row) for row in db.session.execute(statement)]


def one(shown_id: str) -> tuple[Producer, Sequence[Key]]:
    """Newest key first. Raises Rejected('not_found')."""
    key: UUID = parse("prd", shown_id)
    producer = db.session.scalar(
        sa.select(Producer).where(Producer.id == key).execution_options(populate_existing=True)
    )
    if producer is None:
        raise Rejected("not_found", f"there is no producer {shown_id}")
    rows = db.session.scalars(
        sa.select(ApiKey)
        .where(ApiKey.producer_id == key)
        .order_by(ApiKey.id.desc())
        .execution_options(populate_existing=True)
    )
    return producer, [Key(show("key", row.id), row, _state(row)) for row in rows]


def limits(producer_id: UUID) -> dict[str, Any]:
    """As the API shows them."""
    row = db.session.get_one(Producer, producer_id, populate_existing=True)
    settings = current_settings()
    targets, countries = settings.webhook_targets, settings.phone_countries
    return {
        "id": show("prd", row.id),
        "name": row.name,
        "phone_countries": row.phone_countries,
        "installation_phone_countries": None if countries is None else sorted(countries),
        "daily_spend": None if row.daily_spend is None else shown(row.daily_spend),
        "spend_today": _spend_today(row),
        "webhook_targets": row.webhook_targets,
        "installation_webhook_targets": None if targets is None else targets.entries(),
    }


def _spend_today(row: Producer) -> dict[str, Any]:
    day, settings = now().date(), current_settings()
    spent = db.session.get(SpendDay, (row.id, day), populate_existing=True)
    of_all = settings.spend_limit.micros if settings.spend_limit else None
    most = of_all if row.daily_spend is None else row.daily_spend
    return {
        "day": day.isoformat(),
        "amount": shown(spent.amount if spent else 0),
        "limit": None if most is None else shown(most + (spent.raised if spent else 0)),
        "currency": next((price.currency for price in settings.prices.values()), None),
    }


def stops(producer_id: UUID) -> Sequence[LimitStop]:
    """What limits have stopped lately, latest first."""
    of_it = sa.select(LimitStop).where(LimitStop.producer_id == producer_id)
    return db.session.scalars(of_it.order_by(LimitStop.at.desc(), LimitStop.id).limit(_STOPS_SHOWN)).all()


def is_taken(name: str) -> bool:
    return (
        db.session.scalar(sa.select(Producer.id).where(sa.func.lower(Producer.name) == name.lower()).limit(1))
        is not None
    )


def _state(row: ApiKey) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is None:
        return "active"
    return "expired" if row.expires_at <= now() else "ends"
