"""What the installation and each producer allow: targets of webhooks, countries of phones, money in a day.

The producers' own limits are read all at once and remembered for CACHED_S: few producers have any, and every send asks.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import current_app

from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.phone_countries import country_of
from notifier.ground.target_lists import INSTALLATION, PRODUCER, TargetList
from notifier.models import Producer

CACHED_S = 3


@dataclass(frozen=True, slots=True)
class Own:
    """A producer's own limits; None where it has none. `daily_spend` in millionths of the currency."""

    name: str
    targets: TargetList | None
    countries: frozenset[str] | None
    daily_spend: int | None


@dataclass(slots=True)
class _Known:
    at: float = float("-inf")
    by_producer: Mapping[UUID, Own] = field(default_factory=dict)


def own_limits() -> Mapping[UUID, Own]:
    """Of the producers that have any. At most one query every CACHED_S."""
    known: _Known = current_app.extensions.setdefault("producer_limits", _Known())
    at = time.monotonic()
    if at - known.at >= CACHED_S:
        columns = Producer.webhook_targets, Producer.phone_countries, Producer.daily_spend
        has_any = sa.or_(*(column.is_not(None) for column in columns))
        rows = db.session.execute(sa.select(Producer.id, Producer.name, *columns).where(has_any))
        known.by_producer = {row.id: _own(row) for row in rows}
        known.at = at
    return known.by_producer


def ceiling_of(producer_id: UUID) -> int | None:
    """What it may spend in a day, in millionths of the currency; None: any amount."""
    own, of_all = own_limits().get(producer_id), current_settings().spend_limit
    if own is not None and own.daily_spend is not None:
        return own.daily_spend
    return of_all.micros if of_all else None


def country_refused(number: str, producer_id: UUID | None) -> tuple[str, str] | None:
    """→ whose list leaves out the country of a phone number (`target_lists.INSTALLATION` or PRODUCER), and the country;
    None: none does.
    """
    own = own_limits().get(producer_id) if producer_id is not None else None
    lists = {INSTALLATION: current_settings().phone_countries, PRODUCER: own.countries if own else None}
    if all(one is None for one in lists.values()):
        return None
    country = country_of(number)
    return next(((whose, country) for whose, one in lists.items() if one is not None and country not in one), None)


def forget_cached() -> None:
    current_app.extensions.pop("producer_limits", None)


def _own(row: Any) -> Own:
    return Own(
        row.name,
        None if row.webhook_targets is None else TargetList.parse(PRODUCER, row.webhook_targets),
        None if row.phone_countries is None else frozenset(row.phone_countries),
        row.daily_spend,
    )
