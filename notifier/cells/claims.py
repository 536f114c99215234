"""Who may create somebody of whom no cell has heard. Two cells that are asked to in the same moment would both do it:
so each first tells one cell, the same for both (`core.cells.keeper_of_claims`), and the second finds the claim of the
first.

A claim lasts for a moment: by then the person has been created, and is found, or the call was refused.
"""

from collections.abc import Mapping
from datetime import timedelta

import sqlalchemy as sa

from notifier.cells import client, neighbours
from notifier.core.cells import keeper_of_claims
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.database import insert, prune, transaction
from notifier.ground.extensions import db
from notifier.models import Claim

LASTS = timedelta(seconds=10)
_READ_S = 5.0
_PAGE = 1_000


def claim(cells: Cells, wanted: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """`wanted`: (stored) ids of people who are to be created → where. → (those whom another region has claimed → which;
    those of whom the cell that keeps their claims says nothing).
    """
    keepers: dict[str, dict[str, str]] = {}
    for user_id, region in wanted.items():
        keeper = keeper_of_claims(user_id, (cells.name, *cells.others))
        keepers.setdefault(keeper, {})[user_id] = region
    taken: dict[str, str] = {}
    unsaid: list[str] = []
    for keeper, theirs in sorted(keepers.items()):
        db.session.rollback()  # no transaction is open while another cell works
        if keeper == cells.name:
            taken |= keep(theirs, cells.name)
            continue
        try:
            neighbours.check(keeper)
            db.session.rollback()
            taken |= client.claim(cells, keeper, theirs, _READ_S)
            neighbours.note_answer(keeper)
        except client.Away as error:
            neighbours.note_silence(keeper, str(error))
            unsaid += theirs
        except neighbours.LeftAlone:
            unsaid += theirs
    return taken, unsaid


def keep(wanted: Mapping[str, str], by: str) -> dict[str, str]:
    """As the cell that keeps these. → those whom another cell has claimed for another region, and which. What a cell
    says anew holds: what it said before was refused.
    """
    at = now()
    ids = sorted(wanted)
    statement = insert(Claim.__table__)
    is_free = sa.or_(Claim.at < at - LASTS, Claim.region == statement.excluded.region, Claim.by == by)
    values = {name: statement.excluded[name] for name in ("region", "by", "at")}
    statement = statement.on_conflict_do_update(index_elements=["user_id"], set_=values, where=is_free)
    found: dict[str, str] = {}
    for start in range(0, len(ids), _PAGE):
        some = ids[start : start + _PAGE]
        with transaction() as session:
            session.execute(statement, [{"user_id": id, "region": wanted[id], "by": by, "at": at} for id in some])
            rows = session.execute(sa.select(Claim.user_id, Claim.region).where(Claim.user_id.in_(some))).all()
        found |= {row.user_id: row.region for row in rows if row.region != wanted[row.user_id]}
    return found


def prune_old() -> int:
    table = Claim.__table__
    return prune(table, table.c.at < now() - LASTS)
