"""How the other cells answer, and what is held for them."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from notifier.ground.cells import Cells
from notifier.ground.extensions import db
from notifier.models import Forward, Neighbour


@dataclass(frozen=True, slots=True)
class Standing:
    """`held`: calls that it has not been told yet; `refused`: those it will never carry out. `away_since` None: it
    answers, as far as anybody knows.
    """

    region: str
    held: int
    refused: int
    away_since: datetime | None
    error: str | None


def standing(cells: Cells) -> list[Standing]:
    """Of each other cell, in the order of their names."""
    is_refused = Forward.refused.is_not(None)
    counted = sa.select(Forward.region, is_refused.label("is_refused"), sa.func.count().label("calls"))
    counts = {
        (row.region, bool(row.is_refused)): row.calls
        for row in db.session.execute(counted.group_by(Forward.region, is_refused))
    }
    rows = {row.region: row for row in db.session.scalars(sa.select(Neighbour))}
    found = []
    for region in sorted(cells.others):
        row = rows.get(region)
        since, error = (row.away_since, row.error) if row else (None, None)
        held, refused = counts.get((region, False), 0), counts.get((region, True), 0)
        found.append(Standing(region, held, refused, since, error))
    return found
