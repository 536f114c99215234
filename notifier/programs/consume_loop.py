"""The loop of `consume`: take, store and commit, bury what cannot be accepted, acknowledge.

Whatever is away, the batch in hand waits: it is kept from other consumers, and tried again. It is let go of only when
the bus has given it to somebody else, or when the process is told to stop; then it is given again.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from flask import Flask

from notifier.access.keys import KeyIdentity
from notifier.api import messages
from notifier.api.field_map import FieldMap
from notifier.bus.source import Away, Source
from notifier.cells import sharing
from notifier.cells.sharing import Shared
from notifier.core.bus_messages import DeadLetter, Message
from notifier.core.errors import Rejected
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.config import NotReady
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.pipeline.intake import accept
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.pipeline.intake.item import Accepted, Item

MOST = 1_000  # messages of a batch; as many people are stored in one transaction
IDLE_S, MORE_S = 1.0, 0.05  # how long the first message is waited for, and then others
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
_KEEP_S = 0.5
_MEASURED_S = 2.0
_MOST_PEOPLE = 2_000
_TRIES = 3  # of what fails for a reason of our own
_LATER = {"unavailable", IN_PROGRESS}

log = structlog.get_logger()


class Stopped(Exception):
    """We are to end; the batch in hand is given again."""


@dataclass(slots=True)
class _Pending:
    message: Message
    item: Item
    tries: int = 0
    has_another_key: bool = False


class Consumer:
    """`key`: the plain key of the producer in whose name messages are taken."""

    def __init__(
        self,
        app: Flask,
        source: Source,
        name: str,
        key: str,
        names: FieldMap | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._app, self._source, self._name, self._key, self._names = app, source, name, key, names
        self._is_stopping = is_stopping
        self._letters: list[DeadLetter] = []
        self._oldest_at: float | None = None
        self._measure_at = 0.0
        self._failures = 0
        metrics.bus_age.labels(name).set_function(self._age_s)
        metrics.bus_lag.labels(name)

    def work(self) -> None:
        """Until told to stop."""
        while not self._is_stopping():
            self._measure()
            try:
                batch = self._take()
                if batch:  # from here on nothing but its acknowledgement may let go of it
                    self.handle(batch)
            except Stopped:
                return

    def _take(self) -> list[Message]:
        """Raises Stopped."""
        try:
            batch = self._source.take(MOST, IDLE_S, MORE_S)
        except (Away, NotReady) as error:
            self._tell_away(error)
            self._pause(self._pause_s())
            return []
        if batch:
            self._works_again()
        return batch

    def handle(self, batch: Sequence[Message]) -> None:
        """Until all of it is acknowledged, or somebody else's. Raises Stopped."""
        self._oldest_at = min((one.at.timestamp() for one in batch if one.at), default=now().timestamp())
        self._letters = []
        metrics.batch_items.labels("bus").observe(len(batch))
        try:
            with self._app.app_context():
                self._store(batch)
            ours = self._source.still_ours(batch)
            place = {id(message): number for number, message in enumerate(batch)}
            self._letters.sort(key=lambda letter: place[id(letter.message)])
            if self._letters:
                self._confirmed(lambda: self._source.bury(self._letters))
                self._tell_buried()
            if ours:
                self._confirmed(lambda: self._source.acknowledge(self._source.still_ours(batch)))
        finally:
            self._oldest_at = None

    # ---- storing

    def _store(self, batch: Sequence[Message]) -> None:
        key = self._identity()
        waiting: list[_Pending] = []
        for message, one in zip(batch, messages.read(key, batch, self._names), strict=True):
            refused = one if isinstance(one, Rejected) else messages.cannot_ever_pass(one)
            if refused is not None:
                self._refuse(message, refused)
            else:
                assert isinstance(one, Item)
                waiting.append(_Pending(message, one))
        while waiting:
            paid, wait_s = self._charge(key, waiting)
            for part in _parts(waiting[:paid]):
                self._accept(part)
            waiting = waiting[paid:]
            if waiting:
                log.warning("consume.rate_limited", bus=self._name, messages=len(waiting), again_in_s=wait_s)
                waiting = self._wait(waiting, wait_s)
                key = self._identity()

    def _identity(self) -> KeyIdentity:
        """Waits while the key is refused: whoever set it up wrongly shall lose nothing."""
        while True:
            try:
                found = messages.identity(self._key)
                db.session.close()
                return found
            except messages.KeyRefused as error:
                log.error("consume.key_refused", bus=self._name, reason=str(error))
                self._pause(LONGEST_PAUSE_S)
            except UNAVAILABLE as error:
                self._tell_database_away(error)
                self._pause(self._pause_s())

    def _charge(self, key: KeyIdentity, waiting: Sequence[_Pending]) -> tuple[int, float]:
        """→ how many of the first may pass, and in how many seconds the others may."""
        for number, one in enumerate(waiting):
            try:
                messages.charge(key, one.item)
            except Rejected as refused:
                return number, refused.retry_after or 1.0
        return len(waiting), 0.0

    def _accept(self, waiting: list[_Pending]) -> None:
        while waiting:
            at_once: list[_Pending] = []
            later: list[_Pending] = []
            done: list[Shared] = []
            for one, (part, answer) in zip(waiting, self._answers([one.item for one in waiting]), strict=True):
                if isinstance(answer, Rejected):
                    if self._is_for_later(one, answer):
                        later.append(one)
                elif answer.replayed and one.message.is_first and not one.has_another_key:
                    one.item, one.has_another_key = messages.another_key(one.item), True
                    at_once.append(one)
                else:
                    done += [part] if part is not None else []
                    self._count("repeated" if answer.replayed else "accepted")
            self._pass_on(done)
            if len(later) < len(waiting):
                self._works_again()
            waiting = at_once + (self._wait(later, self._pause_s()) if later else [])

    def _answers(self, items: Sequence[Item]) -> Sequence[tuple[Shared | None, Accepted | Rejected]]:
        """With what other cells are to be told of each, if it is accepted."""
        try:
            shared = sharing.share_out(items)
            parts = [one if isinstance(one, Shared) else None for one in shared]
            return list(zip(parts, sharing.accepted(shared, accept.accept), strict=True))
        except UNAVAILABLE as error:
            self._tell_database_away(error)
            return [(None, Rejected("unavailable", ""))] * len(items)
        except Exception:
            log.exception("consume.failed", bus=self._name, messages=len(items))
            refused = Rejected("internal_error", "it could not be stored; the log has the details")
            return [(None, refused)] * len(items)
        finally:
            db.session.remove()

    def _pass_on(self, done: Sequence[Shared]) -> None:
        """Until the other cells' parts are stored. Raises Stopped."""
        while True:
            try:
                sharing.pass_on(done)
                return
            except UNAVAILABLE as error:
                self._tell_database_away(error)
            finally:
                db.session.remove()
            self._pause(self._pause_s())

    def _is_for_later(self, one: _Pending, refused: Rejected) -> bool:
        """Whether it may be accepted at another time. If not, it is to be buried."""
        one.tries += refused.code == "internal_error"
        if refused.code in _LATER or 0 < one.tries < _TRIES:
            return True
        self._refuse(one.message, refused)
        return False

    def _refuse(self, message: Message, refused: Rejected) -> None:
        self._letters.append(DeadLetter(message, refused.code, refused.detail))

    # ---- waiting

    def _wait(self, waiting: list[_Pending], seconds: float) -> list[_Pending]:
        """→ those that are still ours. Raises Stopped."""
        self._pause(seconds)
        ours = {id(one) for one in self._source.still_ours([one.message for one in waiting])}
        return [one for one in waiting if id(one.message) in ours]

    def _pause(self, seconds: float) -> None:
        """Keeps what is in hand meanwhile. Raises Stopped."""
        ends_at = time.monotonic() + seconds
        while True:
            if self._is_stopping():
                raise Stopped
            if self._oldest_at is not None:
                try:
                    self._source.keep()
                except (Away, NotReady) as error:
                    self._tell_away(error)
                self._measure()
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _KEEP_S))

    def _confirmed(self, call: Callable[[], None]) -> None:
        """Until the bus has confirmed it. Raises Stopped."""
        while True:
            try:
                call()
                self._works_again()
                return
            except (Away, NotReady) as error:
                self._tell_away(error)
                self._pause(self._pause_s())

    def _pause_s(self) -> float:
        grown = FIRST_PAUSE_S * 2.0 ** min(max(self._failures - 1, 0), 16)
        return min(grown, LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)

    # ---- telling

    def _tell_away(self, error: Away | NotReady) -> None:
        self._failures += 1
        code = error.code if isinstance(error, Away) else str(error)
        log.warning("consume.bus_is_away", bus=self._name, code=code, failures=self._failures)

    def _tell_database_away(self, error: Exception) -> None:
        self._failures += 1
        log.warning("consume.database_is_away", bus=self._name, error=type(error).__name__, failures=self._failures)

    def _works_again(self) -> None:
        if self._failures:
            log.info("consume.works_again", bus=self._name, failures=self._failures)
        self._failures = 0

    def _tell_buried(self) -> None:
        for letter in self._letters:
            self._count("dead")
            message = letter.message
            place = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            log.warning("consume.dead_letter", bus=self._name, code=letter.code, **place)

    def _count(self, outcome: str) -> None:
        metrics.series(metrics.bus_messages, self._name, outcome).inc()

    def _age_s(self) -> float:
        oldest_at = self._oldest_at
        return 0.0 if oldest_at is None else max(0.0, now().timestamp() - oldest_at)

    def _measure(self) -> None:
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + _MEASURED_S
        try:
            lag = self._source.lag()
        except (Away, NotReady):
            return  # whoever takes or keeps will say so
        if lag is not None:
            metrics.bus_lag.labels(self._name).set(lag)


def _parts(waiting: Sequence[_Pending]) -> list[list[_Pending]]:
    """What is stored in one transaction, so that nobody waits long for a lock."""
    parts: list[list[_Pending]] = []
    people = 0
    for one in waiting:
        cost = len(one.item.submission.recipients)
        if not parts or people + cost > _MOST_PEOPLE:
            parts.append([])
            people = 0
        parts[-1].append(one)
        people += cost
    return parts
