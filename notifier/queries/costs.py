"""What messages cost, from what is counted by month (`pipeline.upkeep.trends`) and the prices in the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core import costs
from notifier.core.costs import Line, Prices, Used
from notifier.core.lifecycle import BOUNCED, SUCCEEDED
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ledgers.tallies import SEGMENT
from notifier.models import SpendDay, Tally, UsageMonth

MONTHS = 13
# What goes nowhere costs nothing
_FREE = ("sandbox", "inapp")
_TAKEN = (*SUCCEEDED, BOUNCED)


@dataclass(frozen=True, slots=True)
class Month:
    """Lines by event type, channel and account, and the same by type and channel, and by channel and account; dearest
    first. `reserved`: what the ledger of SMS and calls holds, at the prices of each day; in millionths. `segments`: of
    an SMS, on average.
    """

    begin: date
    lines: list[Line]
    types: list[Line]
    accounts: list[Line]
    total: Decimal
    segments: Decimal
    reserved: int


def currency() -> str | None:
    """That of the prices; None: no price is set."""
    settings = current_settings()
    every = [*settings.prices.values(), *settings.message_prices.values()]
    return every[0].currency if every else None


def months() -> list[date]:
    """The last ones, newest first."""
    begin = now().date().replace(day=1)
    found = [begin]
    while len(found) < MONTHS:
        begin = (begin - timedelta(days=1)).replace(day=1)
        found.append(begin)
    return found


def month(begin: date) -> Month:
    """Four queries, each of a month's counts."""
    columns = (UsageMonth.type, UsageMonth.channel, UsageMonth.provider, UsageMonth.count)
    of_month = sa.select(*columns).where(UsageMonth.month == begin, UsageMonth.provider.not_in(_FREE))
    used = [Used(*row) for row in db.session.execute(of_month)]
    prices = _prices([begin])[begin]
    lines = prices.lines(used)
    types, accounts = prices.lines(costs.without_accounts(used)), prices.lines(costs.without_types(used))
    spent = sa.select(sa.func.sum(SpendDay.amount)).where(SpendDay.day >= begin, SpendDay.day < _next(begin))
    reserved = int(db.session.scalar(spent) or 0)
    return Month(begin, lines, types, accounts, costs.total(lines), prices.segments, reserved)


def totals() -> list[tuple[date, Decimal]]:
    """Of each of the last months, newest first, at today's prices: as `month` has it."""
    chosen = months()
    used = (
        sa.select(UsageMonth.month, UsageMonth.channel, sa.func.sum(UsageMonth.count))
        .where(UsageMonth.month >= chosen[-1], UsageMonth.provider.not_in(_FREE))
        .group_by(UsageMonth.month, UsageMonth.channel)
    )
    prices = _prices(chosen)
    lines: dict[date, list[Line]] = {}
    for begin, channel, count in db.session.execute(used):
        lines.setdefault(begin, []).append(prices[begin].line(Used("", channel, "", int(count))))
    return [(begin, costs.total(lines.get(begin, []))) for begin in chosen]


def of_broadcast(counts: Mapping[str, Any], begun_at: str | None) -> list[Line]:
    """By channel. `counts`: channel → status → deliveries, also of those that the sandbox took. `begun_at`: as it is
    shown.
    """
    begin = (date.fromisoformat(begun_at[:10]) if begun_at else now().date()).replace(day=1)
    prices = _prices([begin])[begin]
    found = []
    for channel, statuses in counts.items():
        taken = sum(number for status, number in statuses.items() if status in _TAKEN)
        if taken and channel not in _FREE:
            found.append(prices.line(Used("", channel, "", taken)))
    return found


def _prices(begins: Sequence[date]) -> dict[date, Prices]:
    """Today's, with the segments of each month."""
    settings = current_settings()
    by_unit = {unit: price.amount for unit, price in settings.prices.items()}
    by_channel = {name: price.amount for name, price in settings.message_prices.items()}
    for name, channel in CHANNELS.items():
        if channel.charged_by in by_unit:
            by_channel[name] = by_unit[channel.charged_by]
    by_segment = frozenset(name for name, channel in CHANNELS.items() if channel.charged_by == costs.SEGMENT)
    segments, messages = _segments(begins, by_segment), _messages(begins, by_segment)
    return {
        begin: Prices(by_channel, by_segment, costs.average(segments.get(begin, 0), messages.get(begin, 0)))
        for begin in begins
    }


def _segments(begins: Sequence[date], channels: frozenset[str]) -> dict[date, int]:
    """Of all SMS of each of these months. One query."""
    counted = sa.union_all(
        *(
            sa.select(sa.literal(place).label("place"), sa.func.sum(Tally.count).label("number")).where(
                *_within(begin), Tally.channel.in_(channels), Tally.event == SEGMENT
            )
            for place, begin in enumerate(begins)
        )
    )
    return {begins[row.place]: int(row.number or 0) for row in db.session.execute(counted)}


def _within(begin: date) -> "tuple[sa.ColumnElement[bool], ...]":
    since, until = (datetime(day.year, day.month, 1, tzinfo=UTC) for day in (begin, _next(begin)))
    return Tally.at >= since, Tally.at < until


def _messages(begins: Sequence[date], channels: frozenset[str]) -> dict[date, int]:
    """The same of the messages themselves. One query."""
    taken = UsageMonth.month.in_(begins), UsageMonth.channel.in_(channels), UsageMonth.provider.not_in(_FREE)
    counted = sa.select(UsageMonth.month, sa.func.sum(UsageMonth.count)).where(*taken).group_by(UsageMonth.month)
    return {row[0]: int(row[1]) for row in db.session.execute(counted)}


def _next(begin: date) -> date:
    return (begin + timedelta(days=32)).replace(day=1)
