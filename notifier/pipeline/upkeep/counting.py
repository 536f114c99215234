"""How those who count read the event stream: a window at a time, each event once, by any number of schedulers.

Used by `broadcast_hours`, `experiment_counts` and `trends`. The transactions that make the events do nothing for it.
"""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from notifier.core import events as names
from notifier.core.lifecycle import CLICKED, DELIVERED, OPENED, SENT
from notifier.ground.database import look_again, transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.models import Delivery, Event, Receipt
from notifier.queries.events import WINDOW, end, next_after

T = TypeVar("T")

_e = Event.__table__.c
_earlier = Event.__table__.alias("earlier").c
# What shows that it has gone out although nobody has told that it was sent, and when that was
SHOWS_SENT = {
    names.OF_STATUS[DELIVERED]: Delivery.delivered_at,
    names.OF_STATUS[OPENED]: Delivery.opened_at,
    names.OF_STATUS[CLICKED]: Delivery.clicked_at,
}


def from_now_on(last: int) -> int:
    """Where a reader begins that has nothing to do with what happened before."""
    return last


def count(
    reader: str,
    read: Callable[[int, int], T],
    store: Callable[[T], object],
    begin: Callable[[int], int] = from_now_on,
) -> int | None:
    """Reads what comes after the reader's position, WINDOW positions at most, and stores what is counted of it in the
    transaction that moves the position on. → how many positions; WINDOW: there is more. None: another process was
    faster, and nothing is stored.

    `read` gets the position before the window, and its last; no transaction is open but its own. `begin` says, by the
    stream's last position, where a reader starts that has never read.
    """
    look_again()
    position, last = event_readers.position_of(reader), end()
    if position is None:
        start = begin(last)
        db.session.close()
        with transaction():
            event_readers.join(reader, start)
        return 0
    if last <= position:
        db.session.close()
        return 0
    begin_at = position
    if last - position > WINDOW:  # positions that nobody has, such as the rest of a partition, are passed over
        begin_at = min((next_after(position) or last + 1) - 1, last)
    upto = min(last, begin_at + WINDOW)
    found = read(position, upto)
    db.session.close()
    with transaction():
        if not event_readers.move_on(reader, position, upto):
            return None
        store(found)
    return min(upto - position, WINDOW)


def shows_sent() -> "sa.ColumnElement[bool]":
    """Whether the event, of a statement that reads deliveries too, is the first that shows its delivery to have gone
    out, and is not that it was sent. Earlier ones are looked up only of those that happened when it was sent, and where
    a provider told: providers tell the second, and may tell sent and delivered of the same one.
    """
    may_be = (sa.and_(_e.kind == kind, Delivery.sent_at == at) for kind, at in SHOWS_SENT.items())
    no_provider_told = sa.or_(Delivery.tries == 0, ~sa.exists().where(Receipt.delivery_id == _e.delivery_id))
    is_shown_by_us = sa.and_(_e.kind == names.OF_STATUS[DELIVERED], no_provider_told)
    was_told = sa.exists().where(
        _earlier.user_id == _e.user_id,  # that has an index
        _earlier.delivery_id == _e.delivery_id,
        _earlier.id < _e.id,
        _earlier.kind.in_((names.OF_STATUS[SENT], *SHOWS_SENT)),
    )
    return sa.and_(sa.or_(*may_be), sa.or_(is_shown_by_us, ~was_told))
