"""The ledger of what SMS and calls cost, by producer and day: reserved before a send, given back if nothing went out.

In the database, so that it holds without Redis. A day's row is locked for the short transaction that reserves, so two
workers never both use the last of a ceiling. Every try counts once: its entry is stored with the day's amount, and
deleted with what became of it. A worker that dies in between leaves both: the message may have gone out, and a ceiling
must hold for the worst.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.models import SpendDay, SpendEntry

KEPT = timedelta(days=400)
ENTRIES_KEPT = timedelta(days=7)

_day: sa.Table = SpendDay.__table__
_entry: sa.Table = SpendEntry.__table__


@dataclass(frozen=True, slots=True)
class Charge:
    """A try that is about to be made. `micros` None: nobody knows what it costs."""

    delivery_id: UUID
    number: int
    producer_id: UUID
    micros: int | None


def today(now: datetime) -> date:
    return now.date()


def reserve(charges: Sequence[Charge], ceilings: Mapping[UUID, int | None], now: datetime) -> set[int]:
    """Counts what its producer can still afford, in order; → the indices of the others. `ceilings` in millionths, None:
    no limit. Inside the caller's transaction; four statements at most.

    Where a producer has a ceiling, what nobody knows the price of is not afforded: it would pass the ceiling unseen.
    """
    day = today(now)
    producers = sorted({charge.producer_id for charge in charges})
    added = insert(_day).values([{"producer_id": key, "day": day, "amount": 0, "raised": 0} for key in producers])
    db.session.execute(added.on_conflict_do_nothing())
    locked = sa.select(_day.c.producer_id, _day.c.amount, _day.c.raised).where(
        _day.c.day == day, _day.c.producer_id.in_(producers)
    )
    rows = db.session.execute(locked.order_by(_day.c.producer_id).with_for_update()).all()
    left = {
        row.producer_id: None if (most := ceilings[row.producer_id]) is None else most + row.raised - row.amount
        for row in rows
    }
    refused, spent, entries = set[int](), Counter[UUID](), []
    for index, charge in enumerate(charges):
        room = left[charge.producer_id]
        if room is not None and (charge.micros is None or charge.micros > room):
            refused.add(index)
            continue
        cost = charge.micros or 0
        if room is not None:
            left[charge.producer_id] = room - cost
        spent[charge.producer_id] += cost
        entries.append(
            {
                "delivery_id": charge.delivery_id,
                "number": charge.number,
                "producer_id": charge.producer_id,
                "day": day,
                "amount": cost,
            }
        )
    _add({(key, day): amount for key, amount in spent.items() if amount})
    if entries:
        db.session.execute(sa.insert(_entry), entries)
    return refused


def settle(tries: Mapping[tuple[UUID, int], bool]) -> None:
    """What became of reserved tries, by delivery and number: False where nothing can have gone out, which is given
    back to the day it was counted for. Inside the caller's transaction; two statements at most, none without tries.
    """
    if not tries:
        return
    of_tries = sa.tuple_(_entry.c.delivery_id, _entry.c.number).in_(sorted(tries))
    gone = db.session.execute(sa.delete(_entry).where(of_tries).returning(*_entry.c)).all()
    back: Counter[tuple[UUID, date]] = Counter()
    for row in gone:
        if not tries[row.delivery_id, row.number]:
            back[row.producer_id, row.day] -= row.amount
    _add({place: amount for place, amount in back.items() if amount})


def _add(amounts: Mapping[tuple[UUID, date], int]) -> None:
    if not amounts:
        return
    place = _day.c.producer_id == sa.bindparam("of_producer"), _day.c.day == sa.bindparam("of_day")
    db.session.connection().execute(
        sa.update(_day).where(*place).values(amount=_day.c.amount + sa.bindparam("more", type_=_day.c.amount.type)),
        [{"of_producer": key, "of_day": day, "more": more} for (key, day), more in sorted(amounts.items())],
    )


def raise_today(producer_id: UUID, micros: int, now: datetime) -> None:
    """Raises the ceiling for the rest of the day. Inside the caller's transaction."""
    row = {"producer_id": producer_id, "day": today(now), "amount": 0, "raised": micros}
    added = insert(_day).values(row)
    more = {"raised": _day.c.raised + added.excluded.raised}
    db.session.execute(added.on_conflict_do_update(index_elements=["producer_id", "day"], set_=more))


def prune() -> int:
    """Deletes old days, and entries that dying workers have left behind; → how many."""
    at = clock_now()
    entries = database.prune(_entry, _entry.c.day < today(at - ENTRIES_KEPT))
    return entries + database.prune(_day, _day.c.day < today(at - KEPT))
