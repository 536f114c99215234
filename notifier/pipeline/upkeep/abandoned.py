"""Takes over a dead worker's deliveries and subscriptions at once, long before their leases lapse.

Called by the scheduler, again and again. Only a worker without its lock has died (`ground.lifeline`); a slow or
suspended one keeps it. For a while after the database server was started or replaced no worker counts as dead, since
all locks went with it; then the leases decide.
"""

import time
from collections.abc import Collection

import sqlalchemy as sa
import structlog

from notifier.core import lifecycle
from notifier.ground import lifeline
from notifier.ground.extensions import db
from notifier.models import Delivery
from notifier.pipeline.delivery.lease import LEASE, database_time
from notifier.pipeline.upkeep import ghosts, lapsed
from notifier.subscriptions import lease

log = structlog.get_logger()


class Abandoned:
    """Remembers which workers were alive, and since when one has been missing."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._missing: dict[int, float] = {}  # number → monotonic seconds
        self._server: str | None = None  # None: it is the first look
        self._believe_at = float("-inf")

    def free(self) -> int:
        """→ how many deliveries and subscriptions were freed. Raises redis.RedisError, DBAPIError, OSError: unfinished
        work is done the next time.
        """
        seen, at = lifeline.look(), time.monotonic()
        if self._server is None:
            self._known = _holders()
        elif self._server != seen.server:
            self._believe_at = at + lifeline.YOUNG_S
        self._server = seen.server
        self._known |= seen.living
        gone = (self._known | lifeline.left_behind()) - seen.living
        self._missing = {number: self._missing.get(number, at) for number in gone}
        if seen.is_young or at < self._believe_at:
            return 0
        dead = {number for number, since in self._missing.items() if at - since >= seen.sure_after_s}
        return self._bury(dead) if dead else 0

    def _bury(self, dead: Collection[int]) -> int:
        freed = lease.free_held_by(dead)
        freed += ghosts.lay_started_by(dead)  # before the deliveries: what is freed is rung anyway
        freed += lapsed.free_held_by(dead)
        lifeline.clear(dead)
        self._known -= set(dead)
        if freed:
            log.warning("worker.died", workers=len(dead), jobs=freed)
        return freed


def _holders() -> set[int]:
    """The workers that have claimed deliveries now being sent. By the index on wake_at, as in `upkeep.lapsed`."""
    leased = Delivery.wake_at.between(database_time(), database_time(LEASE))
    found = lease.holders() | set(
        db.session.scalars(
            sa.select(Delivery.holder)
            .where(leased, Delivery.status == lifecycle.SENDING, Delivery.holder.is_not(None))
            .distinct()
        )
    )
    db.session.close()
    return {number for number in found if number is not None}
