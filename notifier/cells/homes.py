"""Who lives where. A person lives in the cell that has their profile; the others keep no more than their id and region.

A cell asks the others for whoever it does not know, and remembers those who live elsewhere.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from notifier.cells import claims, client, neighbours
from notifier.core.cells import keeper_of_claims
from notifier.core.errors import Fault, Rejected
from notifier.core.people import parse_user_id
from notifier.core.worlds import shown_id
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.models import Forward, Home, User

_READ_S = 5.0
_PAGE = 1_000


class Elsewhere(NamedTuple):
    """(Stored) ids of people who live in other cells → where. `new`: those of whom only the call says so, to be kept
    when it has been taken.
    """

    homes: dict[str, str]
    new: dict[str, str]


def elsewhere(
    cells: Cells, user_ids: Collection[str], named: Mapping[str, str], may_create: Collection[str] = ()
) -> Elsewhere:
    """Who of them lives in another cell. `named`: the `home_region` that came with some. `may_create`: whom the call
    creates if nobody knows them.

    Whoever is known nowhere lives where the call says, or else here; if another cell is creating them at this moment,
    there. Raises Rejected if somebody is known under another region, or if a cell that might know somebody whose region
    was not said gives no answer.
    """
    here, homes = _known(user_ids)
    unknown = [user_id for user_id in user_ids if user_id not in here and user_id not in homes]
    _check(cells, named, here, homes)
    found = _ask_around(cells, unknown, named)
    keep(found)
    _check(cells, named, here, {**homes, **found})
    nobody = [user_id for user_id in unknown if user_id not in found]
    wanted = {user_id: named.get(user_id, cells.name) for user_id in nobody if user_id in may_create}
    taken = _taken(cells, wanted, named)
    found |= taken
    nobody = [user_id for user_id in nobody if user_id not in taken]
    new = {user_id: named[user_id] for user_id in nobody if named.get(user_id, cells.name) != cells.name}
    return Elsewhere({**homes, **found, **new}, new)


def keep(found: Mapping[str, str]) -> None:
    """Remembers where people live."""
    if found:
        with transaction():
            remember(found)


def remember(found: Mapping[str, str]) -> None:
    """As `keep`, inside the caller's transaction."""
    rows = [{"user_id": user_id, "region": region, "created_at": now()} for user_id, region in sorted(found.items())]
    if rows:
        statement = insert(Home.__table__)
        db.session.execute(
            statement.on_conflict_do_update(index_elements=["user_id"], set_={"region": statement.excluded["region"]}),
            rows,
        )


def known_elsewhere(user_id: str) -> tuple[str, str] | None:
    """→ the other cell where somebody lives, as far as this one has heard, and its address."""
    cells = current_settings().region
    try:
        parse_user_id(user_id)
    except ValueError:
        return None
    if cells is None or not cells.others:
        return None
    region = db.session.scalar(sa.select(Home.region).where(Home.user_id == user_id))
    url = cells.others.get(region) if region else None
    return (region, url) if region and url else None


def forget(user_ids: Collection[str]) -> None:
    """They are not known there any more."""
    with transaction() as session:
        session.execute(sa.delete(Home).where(Home.user_id.in_(user_ids)))


def check_some() -> int:
    """Forgets whoever does not live there any more, such as people who were erased; → how many. Called by the
    scheduler.
    """
    cells = current_settings().region
    return sum(_check_those_of(cells, region) for region in cells.others) if cells is not None else 0


def _check_those_of(cells: Cells, region: str) -> int:
    gone, after = 0, ""
    is_held = sa.exists().where(Forward.region == region, Forward.refused.is_(None))
    if db.session.scalar(sa.select(is_held)):
        return 0  # it may not have been told of them yet
    while True:
        page = sa.select(Home.user_id).where(Home.region == region, Home.user_id > after)
        ids = list(db.session.scalars(page.order_by(Home.user_id).limit(_PAGE)))
        db.session.rollback()
        if not ids:
            return gone
        try:
            there = client.who_of(cells, region, ids, _READ_S)
        except (client.Away, neighbours.LeftAlone):
            return gone
        missing = [user_id for user_id in ids if user_id not in there]
        if missing:
            forget(missing)
        gone, after = gone + len(missing), ids[-1]


def living_here(user_ids: Collection[str]) -> list[str]:
    """Those of the (stored) ids who live in this cell."""
    found: list[str] = []
    for some in _pages(user_ids):
        found += db.session.scalars(sa.select(User.id).where(User.id.in_(some)).order_by(User.id))
    return found


def _known(user_ids: Collection[str]) -> tuple[set[str], dict[str, str]]:
    here = set(living_here(user_ids))
    homes: dict[str, str] = {}
    for some in _pages(user_ids):
        rows = db.session.execute(sa.select(Home.user_id, Home.region).where(Home.user_id.in_(some)))
        homes |= {row.user_id: row.region for row in rows if row.user_id not in here}
    return here, homes


def _pages(user_ids: Collection[str]) -> Iterator[list[str]]:
    """A bulk call may name more people than a statement takes."""
    ids = list(user_ids)
    return (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE))


def _check(cells: Cells, named: Mapping[str, str], here: Collection[str], homes: Mapping[str, str]) -> None:
    for user_id, region in named.items():
        if region != cells.name and region not in cells.others:
            known = ", ".join(sorted({cells.name, *cells.others}))
            message = f"nobody serves the region {region!r}; there are {known}"
            raise Rejected("validation_failed", message, (Fault("/home_region", "unknown_region", message),))
        lives_in = cells.name if user_id in here else homes.get(user_id, region)
        if lives_in != region:
            raise Rejected(
                "conflict",
                f"{shown_id(user_id)!r} lives in the region {lives_in!r}; to move, export, erase and create them anew",
            )


def _taken(cells: Cells, wanted: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """Whom another cell is creating at this moment, and which. Raises Rejected."""
    taken, unsaid = claims.claim(cells, wanted)
    if first := next((id for id, region in sorted(taken.items()) if id in named or region not in cells.others), None):
        raise Rejected(
            "unavailable",
            f"{shown_id(first)!r} is being created in the region {taken[first]!r} at this moment",
            retry_after=int(claims.LASTS.total_seconds()),
        )
    if missing := [user_id for user_id in unsaid if user_id not in named]:
        raise _silent(missing[0], keeper_of_claims(missing[0], (cells.name, *cells.others)))
    return taken


def _silent(user_id: str, region: str) -> Rejected:
    return Rejected(
        "unavailable",
        f"{shown_id(user_id)!r} is not known here, and the cell {region} gives no answer; say where new people live by "
        "`home_region`, or try again",
        retry_after=neighbours.RETRY_S,
    )


def _ask_around(cells: Cells, user_ids: Collection[str], named: Mapping[str, str]) -> dict[str, str]:
    """Where those live whom other cells know; the one that was named for somebody is not asked, since it will see."""
    found: dict[str, str] = {}
    silent: str | None = None
    for region in sorted(cells.others):
        left = [user_id for user_id in user_ids if user_id not in found and named.get(user_id) != region]
        if not left:
            continue
        try:
            neighbours.check(region)
            db.session.rollback()  # no transaction is open while another cell works
            found |= dict.fromkeys(client.who_of(cells, region, left, _READ_S), region)
            neighbours.note_answer(region)
        except client.Away as error:
            neighbours.note_silence(region, str(error))
            silent = region
        except neighbours.LeftAlone:
            silent = region
    missing = [user_id for user_id in user_ids if user_id not in found and user_id not in named]
    if missing and silent is not None:
        raise _silent(missing[0], silent)
    return found
