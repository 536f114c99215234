"""The log and the metrics of `consume`."""

from collections.abc import Sequence

import structlog

from notifier.bus.source import Away
from notifier.core.bus_messages import DeadLetter
from notifier.ground import metrics
from notifier.ground.config import NotReady

log = structlog.get_logger()


class Telling:
    """`name`: the bus's. `failures`: how often something was away since it worked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.failures = 0
        metrics.bus_lag.labels(name)
        metrics.series(metrics.bus_messages, name, "dead")  # from 0: an alert waits for its first increase

    def bus_away(self, error: Away | NotReady) -> None:
        self.failures += 1
        code = error.code if isinstance(error, Away) else str(error)
        log.warning("consume.bus_is_away", bus=self._name, code=code, failures=self.failures)

    def database_away(self, error: Exception) -> None:
        self.failures += 1
        log.warning("consume.database_is_away", bus=self._name, error=type(error).__name__, failures=self.failures)

    def works_again(self) -> None:
        if self.failures:
            log.info("consume.works_again", bus=self._name, failures=self.failures)
        self.failures = 0

    def failed(self, count: int) -> None:
        """While an exception is being handled."""
        log.exception("consume.failed", bus=self._name, messages=count)

    def key_refused(self, error: Exception) -> None:
        log.error("consume.key_refused", bus=self._name, reason=str(error))

    def rate_limited(self, count: int, again_in_s: float) -> None:
        log.warning("consume.rate_limited", bus=self._name, messages=count, again_in_s=again_in_s)

    def buried(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            self.count("dead")
            message = letter.message
            place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            log.warning("consume.dead_letter", bus=self._name, code=letter.code, **place)

    def count(self, outcome: str) -> None:
        metrics.series(metrics.bus_messages, self._name, outcome).inc()

    def lag(self, messages: int | None) -> None:
        if messages is not None:
            metrics.bus_lag.labels(self._name).set(messages)
