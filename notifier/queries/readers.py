"""For whom something is put into words: a person's language and time zone, and the choices that stand beside them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.ground.zones import zone_of
from notifier.models import Preference, User


@dataclass(frozen=True, slots=True)
class Known:
    """None: the person, or who tells us of them, has not said. `choices`: what was chosen, as it is stored."""

    locale: str | None
    time_zone: str | None
    choices: Mapping[str, Any]

    @property
    def zone(self) -> ZoneInfo | None:
        return zone_of(self.time_zone) if self.time_zone else None


def find(user_id: str, conditions: Iterable[sa.ColumnElement[bool]] = ()) -> Known | None:
    """None for somebody who is not there, or for whom the conditions do not hold (`valid_tokens.conditions_of`)."""
    row = db.session.execute(
        sa.select(User.locale, User.time_zone, Preference.document)
        .outerjoin(Preference, Preference.user_id == User.id)
        .where(User.id == user_id, *conditions)
    ).first()
    if row is None:
        return None
    choices = row.document or {}
    return Known(row.locale, choices.get("time_zone") or row.time_zone, choices)
