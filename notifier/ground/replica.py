"""Lists and figures of the console from a replica of the database (DATABASE_REPLICA_URL), and never a decision.

A page says that it may be a little late (`permit`), a query that it is one of those (`may_lag`); all else reads the
primary. So does everything while the replica lags, is away, or is none.
"""

import functools
import math
import time
from collections import deque
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import sqlalchemy as sa
import structlog
from flask import Flask, current_app, g
from sqlalchemy.exc import DBAPIError

from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, sqlstate
from notifier.ground.engines import replica_engine
from notifier.ground.extensions import REPLICA, db

MOST_LAG_S = 5.0
READ_OWN_S = 20  # for so long, who has changed something reads the primary; longer than a replica in use may lag
_LOOK_EVERY_S = 1.0
_AWAY_S = 10.0
_MOST_SEEN = 600
_EXTENSION, _PERMITTED, _AGE = "replica", "may_lag", "replica_lag_s"
_CONFLICT = "40001"  # SQLSTATE: the replica ended a query that was in the way of what it had to replay

_OF_PRIMARY = sa.text("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
_OF_REPLICA = sa.text("SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::bigint")

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")


class Replica:
    """One per process. How far it is behind is told by where the primary stood at which time: no clock of another
    machine is believed, and nothing is written for it.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.fault: str | None = None  # why it is not used
        self.lag_s = math.inf  # at most
        self._seen: deque[tuple[float, int]] = deque()  # when the primary stood where it has not come to, oldest first
        self._had_all_of = -math.inf  # the newest such time that it has come to
        self._looked_at = -math.inf
        self._ask_again_at = -math.inf

    def is_fit(self) -> bool:
        """Asks both at most once a second. Raises DBAPIError when the primary is away."""
        at = time.monotonic()
        if at >= max(self._looked_at + _LOOK_EVERY_S, self._ask_again_at):
            self._looked_at = at
            self._tell(self._look(at))
        return self.fault is None and self.lag_s <= MOST_LAG_S

    def age_s(self) -> float:
        """How old what it says may be by now."""
        return time.monotonic() - self._had_all_of

    def at_least_s(self) -> float:
        """How far behind it is for certain, when it was last asked."""
        return self._looked_at - self._seen[0][0] if self._seen else 0.0

    def note_away(self) -> None:
        self._ask_again_at = time.monotonic() + _AWAY_S
        self._tell("away")

    def _look(self, at: float) -> str | None:
        with db.engine.connect() as connection:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.pop()
            self._seen.append((at, connection.execute(_OF_PRIMARY).scalar_one()))
        try:
            with self.engine.connect() as connection:
                is_replica, replayed = connection.execute(_OF_REPLICA).one()
        except (DBAPIError, *UNAVAILABLE):
            self._ask_again_at = time.monotonic() + _AWAY_S
            return "away"
        if not is_replica or replayed is None:
            return "is_no_replica"
        while self._seen and self._seen[0][1] <= replayed:
            self._had_all_of, _ = self._seen.popleft()
        self.lag_s = at - self._had_all_of
        return "lags" if self.at_least_s() > MOST_LAG_S else None

    def _tell(self, fault: str | None) -> None:
        if fault != self.fault:
            self.fault = fault
            if fault:
                log.warning("replica.not_used", reason=fault)
            else:
                log.info("replica.used_again")


def init_app(app: Flask) -> None:
    """Inside its context."""
    url = current_settings().database_replica_url
    app.extensions[_EXTENSION] = Replica(replica_engine(url)) if url else None


def standing() -> Replica | None:
    """None: there is none."""
    found: Replica | None = current_app.extensions.get(_EXTENSION)
    return found


def permit() -> None:
    """For this request, from here on."""
    setattr(g, _PERMITTED, True)


def lag_shown_s() -> int | None:
    """How old what this request has read may be, in whole seconds; None: no older than one, or the replica was not
    asked.
    """
    age_s: float = g.get(_AGE, 0.0)
    return math.ceil(age_s) if age_s > 1 else None


def may_lag(question: Callable[P, T]) -> Callable[P, T]:
    """For a function that only reads, and whose answer is shown and used for nothing else."""

    @functools.wraps(question)
    def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        replica = standing() if g.get(_PERMITTED) and REPLICA not in g else None
        if replica is None or not replica.is_fit():
            return question(*args, **kwargs)
        setattr(g, REPLICA, replica.engine)
        try:
            answer = question(*args, **kwargs)
        except (DBAPIError, *UNAVAILABLE) as error:
            db.session.rollback()
            if isinstance(error, UNAVAILABLE) and sqlstate(error) != _CONFLICT:
                replica.note_away()
        else:
            setattr(g, _AGE, max(replica.age_s(), g.get(_AGE, 0.0)))
            return answer
        finally:
            g.pop(REPLICA, None)
        return question(*args, **kwargs)

    return ask
