"""The threads on which jobs run and are recorded. Ordinary threads: the work is waiting for other machines."""

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar

import structlog

from notifier.ground import vital

T = TypeVar("T")

log = structlog.get_logger()


class Lanes(Generic[T]):
    """Runs jobs on up to `count` threads, started when needed, and passes finished ones to `done`."""

    def __init__(self, name: str, count: int, run: Callable[[T], None], done: Callable[[T], None]) -> None:
        self.name, self.count = name, count
        self._run, self._done = run, done
        self._waiting: SimpleQueue[T | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._in_flight = 0
        self._is_stopping = False

    def submit(self, things: Iterable[T]) -> None:
        """Raises RuntimeError where not even one thread can be had."""
        may_have_more = True
        for thing in things:
            self._in_flight += 1
            if may_have_more and self._in_flight > len(self._threads) < self.count:
                may_have_more = self._start_one()
            self._waiting.put(thing)

    def collected(self, count: int) -> None:
        """Called by the one thread that submits, for what has been passed to `done`."""
        self._in_flight -= count

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def stop(self) -> None:
        """Lets the threads end once they have nothing to do. Does not wait for those that hang."""
        self._is_stopping = True
        for _ in self._threads:
            self._waiting.put(None)

    def _start_one(self) -> bool:
        """→ whether the machine had a thread. If not, those that there are do the work, and the next submission asks
        again.
        """
        name = f"{self.name}-{len(self._threads)}"
        thread = threading.Thread(
            target=vital.kept(name, self._work, lambda: self._is_stopping), name=name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            log.warning("worker.has_no_more_threads", threads=len(self._threads), wanted=self.count)
            return False
        self._threads.append(thread)
        return True

    def _work(self) -> None:
        while (thing := self._waiting.get()) is not None:
            try:
                self._run(thing)
            finally:
                self._done(thing)
