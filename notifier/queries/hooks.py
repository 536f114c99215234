"""The hook of a provider's account for the console: its URL, what is missing, how it fares; and what the provider has
refused lately.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.contract import Adapter
from notifier.channels.receipts import Kind
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.models import Attempt, Provider, Receipt
from notifier.models.notification import REFUSED_ATTEMPT, REFUSED_RECEIPT
from notifier.signals import hook_health
from notifier.signals.hook_health import HookHealth

DAY = timedelta(days=1)
MOST_COUNTED = 10_000  # of attempts, and of receipts: a provider that is down refuses millions
_MOST_CODES = 30


@dataclass(frozen=True, slots=True)
class Hook:
    """`tells`: what the provider can say of a message afterwards. `missing`: the settings without which its calls
    cannot be verified. `health`: None without Redis.
    """

    url: str
    tells: Sequence[Kind]
    missing: Sequence[str]
    health: HookHealth | None


@dataclass(frozen=True, slots=True)
class Refusals:
    """Of one code, in the last day. `is_told`: by a receipt, not in answer to a call. `what`: the attempt's outcome or
    the receipt's kind.
    """

    is_told: bool
    what: str
    code: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Codes:
    """The most frequent first. `are_all`: everything of the last day was counted, and every code is shown."""

    lines: Sequence[Refusals]
    are_all: bool


def lacking(name: str, model: type[Adapter], row: Provider | None) -> list[str]:
    """The settings that the account's receipts need and that are not given. `row` None: the environment gives them."""
    if not model.tells:
        return []
    if row is not None:
        return model.unverifiable(row.settings or {})
    adapter = serving.registry().account(name)
    return adapter.missing_for_receipts if adapter else []


def of(name: str, model: type[Adapter], row: Provider | None) -> Hook | None:
    """None for a provider that tells nothing."""
    if not model.tells:
        return None
    return Hook(
        current_settings().hook_url(name), model.tells, lacking(name, model, row), (health_of([name]) or {}).get(name)
    )


def health_of(accounts: Sequence[str]) -> dict[str, HookHealth] | None:
    """By account; None without Redis."""
    try:
        return hook_health.read(accounts)
    except redis.RedisError:
        return None


def codes(account: str) -> Codes:
    """What the provider refused in the last day, at once or later. One query, by indexes that hold nothing else."""
    since = now() - DAY
    tried = _counted(
        sa.select(Attempt.outcome.label("what"), Attempt.code, Attempt.at).where(
            Attempt.provider == account, Attempt.at >= since, sa.text(REFUSED_ATTEMPT)
        ),
        Attempt.at,
        is_told=False,
    )
    told = _counted(
        sa.select(Receipt.status.label("what"), Receipt.code, Receipt.received_at.label("at")).where(
            Receipt.provider == account, Receipt.received_at >= since, sa.text(REFUSED_RECEIPT)
        ),
        Receipt.received_at,
        is_told=True,
    )
    found = [
        Refusals(bool(row.is_told), row.what, row.code or "", int(row.number), row.last_at)
        for row in db.session.execute(sa.union_all(tried, told))
    ]
    found.sort(key=lambda line: (-line.count, line.what, line.code))
    counted = [sum(line.count for line in found if line.is_told == is_told) for is_told in (False, True)]
    return Codes(found[:_MOST_CODES], len(found) <= _MOST_CODES and max(counted) < MOST_COUNTED)


def _counted(
    statement: "sa.Select[str, str | None, datetime]", at: "sa.ColumnExpressionArgument[datetime]", *, is_told: bool
) -> "sa.Select[bool, str, str | None, int, datetime]":
    latest = statement.order_by(sa.desc(at)).limit(MOST_COUNTED).subquery()
    return sa.select(
        sa.literal(is_told).label("is_told"),
        latest.c.what,
        latest.c.code,
        sa.func.count().label("number"),
        sa.func.max(latest.c.at).label("last_at"),
    ).group_by(latest.c.what, latest.c.code)
