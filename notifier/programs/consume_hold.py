"""What `consume` has in hand of a bus: taken, kept while something is away, and let go of when that is confirmed."""

import contextlib
import random
import time
from collections.abc import Callable

from notifier.bus.source import Away, Source
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.config import NotReady
from notifier.programs.consume_batch import Batch, Pending
from notifier.programs.consume_telling import Telling

MOST = 1_000  # messages of a batch; as many people are stored in one transaction
IDLE_S, MORE_S = 1.0, 0.05  # how long the first message is waited for, and then others
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
_KEEP_S = 0.5
_MEASURED_S = 2.0


class Stopped(Exception):
    """We are to end; the batch in hand is given again."""


class Hold:
    """From `take` on nothing but its acknowledgement, or our end, lets go of a batch."""

    def __init__(self, source: Source, name: str, telling: Telling, is_stopping: Callable[[], bool]) -> None:
        self._source, self._telling, self._is_stopping = source, telling, is_stopping
        self._in_hand: list[Batch] = []
        self._measure_at = 0.0
        metrics.bus_age.labels(name).set_function(self._age_s)

    def take(self, idle_s: float) -> Batch | None:
        """Raises Stopped."""
        try:
            taken = self._source.take(MOST, idle_s, MORE_S)
        except (Away, NotReady) as error:
            self._telling.bus_away(error)
            if not self._in_hand:
                self.pause()
            return None
        if not taken:
            return None
        self._telling.works_again()
        oldest_at = min((one.at.timestamp() for one in taken if one.at), default=now().timestamp())
        batch = Batch(taken, oldest_at)
        self._in_hand.append(batch)
        metrics.batch_items.labels("bus").observe(len(taken))
        return batch

    def settle(self, batch: Batch) -> None:
        """Buries what of it cannot be accepted, and acknowledges all. Raises Stopped."""
        ours = self._source.still_ours(batch.messages)
        if batch.letters:
            letters = batch.letters_in_order()
            self._confirmed(lambda: self._source.bury(letters))
            self._telling.buried(letters)
        if ours:
            self._confirmed(lambda: self._source.acknowledge(self._source.still_ours(batch.messages)))

    def let_go(self, batch: Batch) -> None:
        """Settled or not."""
        self._in_hand.remove(batch)

    def ours(self, waiting: list[Pending]) -> list[Pending]:
        """→ those that the bus has not given to somebody else."""
        ours = {id(one) for one in self._source.still_ours([one.message for one in waiting])}
        return [one for one in waiting if id(one.message) in ours]

    def pause(self, seconds: float | None = None) -> None:
        """None: the longer, the more often something was away. Keeps what is in hand meanwhile. Raises Stopped."""
        ends_at = time.monotonic() + (self._pause_s() if seconds is None else seconds)
        while True:
            if self._is_stopping():
                raise Stopped
            if self._in_hand:
                try:
                    self._source.keep()
                except (Away, NotReady) as error:
                    self._telling.bus_away(error)
                self.measure()
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _KEEP_S))

    def measure(self) -> None:
        """How far behind we are, now and then."""
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + _MEASURED_S
        with contextlib.suppress(Away, NotReady):  # whoever takes or keeps will say so
            self._telling.lag(self._source.lag())

    def _confirmed(self, call: Callable[[], None]) -> None:
        """Until the bus has confirmed it. Raises Stopped."""
        while True:
            try:
                call()
                self._telling.works_again()
                return
            except (Away, NotReady) as error:
                self._telling.bus_away(error)
                self.pause()

    def _pause_s(self) -> float:
        grown = FIRST_PAUSE_S * 2.0 ** min(max(self._telling.failures - 1, 0), 16)
        return min(grown, LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)

    def _age_s(self) -> float:
        oldest_at = min((batch.oldest_at for batch in list(self._in_hand)), default=None)
        return 0.0 if oldest_at is None else max(0.0, now().timestamp() - oldest_at)
