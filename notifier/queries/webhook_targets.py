"""The lists of webhook targets: the installation's and each producer's (`ground.target_lists`).

All producers' lists are read at once and remembered for CACHED_S: few producers have one, and every send asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import current_app

from notifier.channels import CHANNELS, serving
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.target_lists import PRODUCER, Lists, TargetList
from notifier.models import Producer

CACHED_S = 3


@dataclass(slots=True)
class _Known:
    read_at: datetime | None = None
    by_producer: Mapping[UUID, tuple[str, TargetList]] = field(default_factory=dict)  # with its name


def lists_of(producer_id: UUID | None) -> Lists:
    """The lists that hold for what a producer has called: a target has to be on each. None: only the installation's,
    for what is nobody's. At most one query every CACHED_S.
    """
    of_all = current_settings().target_lists
    own = _producers().get(producer_id) if producer_id is not None else None
    return of_all if own is None else (*of_all, own[1])


def left_out_by(channel: str, value: str, producer_id: UUID | None) -> str | None:
    """Whose list leaves an address out for certain, so that nothing is sent there: `target_lists.INSTALLATION` or
    PRODUCER.
    """
    return _whose(channel, value, lists_of(producer_id))


def leaving_out(channel: str, value: str) -> list[str]:
    """The same for the console, of all lists: the names of the producers whose lists leave the address out, after "all
    producers" where the installation's does.
    """
    found = ["all producers"] if _whose(channel, value, current_settings().target_lists) else []
    return found + sorted(name for name, one in _producers().values() if _whose(channel, value, (one,)))


def _whose(channel: str, value: str, lists: Lists) -> str | None:
    barred = serving.registry().why_not(channel, value, lists) if lists and channel in CHANNELS else None
    return barred.whose if barred else None


def forget_cached() -> None:
    current_app.extensions.pop("webhook_targets", None)


def _producers() -> Mapping[UUID, tuple[str, TargetList]]:
    known: _Known = current_app.extensions.setdefault("webhook_targets", _Known())
    at = now()
    if known.read_at is None or abs(at - known.read_at) >= timedelta(seconds=CACHED_S):
        limited = sa.select(Producer.id, Producer.name, Producer.webhook_targets).where(
            Producer.webhook_targets.is_not(None)
        )
        rows = db.session.execute(limited)
        known.by_producer = {row.id: (row.name, TargetList.parse(PRODUCER, row.webhook_targets)) for row in rows}
        known.read_at = at
    return known.by_producer
