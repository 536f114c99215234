"""How those who count read the event stream: a window at a time, each event once, by any number of schedulers.

Used by `broadcast_hours`, `experiment_counts` and `trends`. The transactions that make the events do nothing for it.
"""

from collections.abc import Callable
from typing import TypeVar

from notifier.ground.database import look_again, transaction
from notifier.ground.extensions import db
from notifier.ledgers import event_readers
from notifier.queries.events import WINDOW, end, next_after

T = TypeVar("T")


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
