"""Runs checks in parallel, each on a thread of its own, so that one that fails or hangs is reported and the others
finish.
"""

import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import redis

from notifier.ground.config import PACKAGE, BadSettings
from notifier.ground.database import UNAVAILABLE
from notifier.programs.doctor.findings import Finding, fault

Work = Callable[[], Iterable[Finding]]


class Task:
    """Begun at once. The thread is a daemon: what never answers does not keep the process."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._findings: list[Finding] = []
        self._has_ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for finding in self._work():
                self._findings.append(finding)
        except Exception as error:
            self._findings.append(_broken(error))
        finally:
            self._has_ended.set()

    def findings(self, until: float) -> list[Finding]:
        """The findings until then (of `time.monotonic`); at least one in any case."""
        if self._has_ended.wait(max(0.0, until - time.monotonic())):
            return self._findings
        return [
            *self._findings,
            fault(
                "no answer in time: this check was abandoned",
                "See whether what it asks is overloaded or blocked by a firewall.",
            ),
        ]


def _broken(error: Exception) -> Finding:
    """Never with the error's own words, which may quote a secret, unless they are ours."""
    if isinstance(error, BadSettings):
        return fault("; ".join(error.faults), "Correct it in the environment.")
    if isinstance(error, (*UNAVAILABLE, redis.RedisError)):
        name = type(getattr(error, "orig", error)).__name__
        return fault(
            f"what this check asks broke off, or took too long: {name}",
            "Run it again; if this persists, check the log of the database or of Redis.",
        )
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(PACKAGE)
    ]
    return fault(f"this check broke: {type(error).__name__} ({places[-1]})", "Run it again; report it if it persists.")
