"""How far behind a reader is that is sent the event stream: for `doctor` and metrics."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from notifier.ground.clock import now
from notifier.ground.database import look_again
from notifier.ground.extensions import db
from notifier.models import Event, EventReader


@dataclass(frozen=True, slots=True)
class Standing:
    """`unsent_since`: when the oldest event happened that it has not had (None: it has had all). The rest as in
    `models.EventReader`.
    """

    has_sender: bool = False
    unsent_since: datetime | None = None
    trouble: str | None = None
    set_aside: int = 0
    refused: str | None = None
    missed: int = 0


def standing(name: str) -> Standing:
    """Two queries."""
    look_again()
    reader = db.session.execute(sa.select(EventReader.__table__).where(EventReader.name == name)).one_or_none()
    position = 0 if reader is None else reader.position
    unsent = sa.select(Event.at).where(Event.id > position).order_by(Event.id).limit(1)
    unsent_since: datetime | None = db.session.scalar(unsent)
    if reader is None:
        return Standing(unsent_since=unsent_since)
    return Standing(
        has_sender=reader.lease is not None and reader.leased_until > now(),
        unsent_since=unsent_since,
        trouble=reader.trouble,
        set_aside=reader.set_aside,
        refused=reader.refused,
        missed=reader.missed,
    )
