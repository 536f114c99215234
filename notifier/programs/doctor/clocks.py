"""Clocks: the database's decides what is due, Redis' the signs of life, and the host's is in the logs.

They should agree.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import sqlalchemy as sa

from notifier.ground.clock import of_this_host
from notifier.ground.extensions import db, redis_store
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.signals import liveness

NOTICEABLE_S, HARMFUL_S = 2.0, 30.0
_REMEDY = "Let NTP set the clocks (chrony, systemd-timesyncd): logs, sessions and certificates depend on them."


def clocks(patient: Patient) -> Iterator[Finding]:
    """Each host's against Redis'."""
    client = redis_store.client
    ahead = {"this machine": _here_s()}
    if patient.answers("database") and db.engine.dialect.name == "postgresql":
        ahead["the database"] = _ahead_s(_database_time) + ahead["this machine"]
    for sign in (*liveness.worker_signs(client), *liveness.scheduler_signs(client)):
        if sign.ahead_s is not None and sign.is_recent:
            ahead[sign.host] = max(ahead.get(sign.host, 0.0), sign.ahead_s, key=abs)
    yield from compare(ahead)


def _here_s() -> float:
    return -_ahead_s(_redis_time)


def _redis_time() -> float:
    seconds, micros = redis_store.client.time()
    return float(seconds + micros / 1_000_000)


def _database_time() -> float:
    return float(db.session.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def _ahead_s(ask: Callable[[], float]) -> float:
    """The seconds by which another clock is ahead of this machine's: the quickest of three answers is the
    most exact.
    """
    answers = []
    for _ in range(3):
        begun = time.monotonic()
        there = ask()
        took_s = time.monotonic() - begun
        answers.append((took_s, there - (of_this_host().timestamp() - took_s / 2)))
    return min(answers)[1]


def compare(ahead: Mapping[str, float]) -> Iterator[Finding]:
    """`ahead`: by how many seconds a host's clock is ahead of Redis'."""
    wrong = {host: seconds for host, seconds in ahead.items() if abs(seconds) >= NOTICEABLE_S}
    if not wrong:
        yield ok(f"the clocks agree: {', '.join(sorted(ahead))}, Redis")
        return
    if len(wrong) == len(ahead) > 1 and max(wrong.values()) - min(wrong.values()) < NOTICEABLE_S:
        wrong = {"Redis' machine": -min(wrong.values(), key=abs)}  # all others agree
    for host, seconds in sorted(wrong.items()):
        direction = "ahead" if seconds > 0 else "behind"
        than = "all the others" if host not in ahead else "Redis'"
        complain = fault if abs(seconds) >= HARMFUL_S else warning
        yield complain(
            f"the clock of {host} is {abs(seconds):,.1f} s {direction} of {than}".replace("behind of", "behind"),
            _REMEDY,
        )
