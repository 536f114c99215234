"""The loop of `consume`: take, store and commit, bury what cannot be accepted, acknowledge.

Whatever is away, the batch in hand waits: it is kept from other consumers, and tried again. It is let go of only when
the bus has given it to somebody else, or when the process is told to stop; then it is given again.
"""

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from flask import Flask

from notifier.access.keys import KeyIdentity
from notifier.api import messages
from notifier.api.field_map import FieldMap
from notifier.bus.source import Away, Source
from notifier.cells import sharing
from notifier.cells.sharing import Shared
from notifier.core.bus_messages import Message
from notifier.core.errors import Rejected
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.ground.config import NotReady, current_settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.pipeline.intake import accept
from notifier.pipeline.intake.accept import Committed
from notifier.pipeline.intake.ahead import Prepared, prepare
from notifier.pipeline.intake.item import Accepted, Item
from notifier.programs.consume_batch import OURS, Batch, Pending
from notifier.programs.consume_telling import Telling

MOST = 1_000  # messages of a batch; as many people are stored in one transaction
MANY = 100  # messages: there are more behind so many, and the next are taken while they are being stored
IDLE_S, MORE_S = 1.0, 0.05  # how long the first message is waited for, and then others
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
_KEEP_S = 0.5
_MEASURED_S = 2.0


class Stopped(Exception):
    """We are to end; the batch in hand is given again."""


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
        self._app, self._source, self._key, self._names = app, source, key, names
        self._is_stopping = is_stopping
        self._in_hand: list[Batch] = []
        self._measure_at = 0.0
        self._telling = Telling(name)
        metrics.bus_age.labels(name).set_function(self._age_s)

    def work(self) -> None:
        """Until told to stop."""
        before: Batch | None = None
        with ThreadPoolExecutor(1, "storing") as thread, contextlib.suppress(Stopped):
            while not self._is_stopping():
                self._measure()
                with self._app.app_context():
                    before = self._take_turn(before, thread)
            with self._app.app_context():
                self._finish(before)

    def handle(self, taken: Sequence[Message]) -> None:
        """Until all of them are acknowledged, or somebody else's. Raises Stopped."""
        with self._app.app_context():
            batch = self._hold(taken)
            self._read(batch, self._identity())
            self._finish(batch)

    def _take_turn(self, before: Batch | None, thread: Executor) -> Batch | None:
        """Takes a batch and stores it; of a large one only begins to, and finishes it in the next turn. `before`: that
        of the last turn. → that of this one. Raises Stopped.

        A transaction begins when all of the batch before has been committed: so what that has changed is known, and the
        order is kept. What was found out earlier is looked at again inside (`accept.commit`).
        """
        batch = self._take(IDLE_S if before is None else 0.0)
        is_ahead = batch is not None and self._read_ahead(batch)
        if not is_ahead or not _is_stored(before):
            self._finish(before)
            before = None
            if batch is not None:
                key = self._identity()
                if is_ahead:  # but that was long ago, perhaps
                    batch.key, batch.prepared = key, None
                else:
                    self._read(batch, key)
                batch.waiting = self._ours(batch.waiting)
        if batch is not None and batch.prepared is not None:
            batch.storing = thread.submit(self._commit, batch.prepared)
        self._finish(before)
        if batch is not None and batch.storing is not None:
            return batch
        self._finish(batch)
        return None

    def _take(self, idle_s: float) -> Batch | None:
        """Raises Stopped."""
        try:
            taken = self._source.take(MOST, idle_s, MORE_S)
        except (Away, NotReady) as error:
            self._telling.bus_away(error)
            if not self._in_hand:
                self._pause(self._pause_s())
            return None
        if not taken:
            return None
        self._telling.works_again()
        return self._hold(taken)

    def _hold(self, taken: Sequence[Message]) -> Batch:
        """From here on nothing but its acknowledgement may let go of it."""
        oldest_at = min((one.at.timestamp() for one in taken if one.at), default=now().timestamp())
        batch = Batch(taken, oldest_at)
        self._in_hand.append(batch)
        metrics.batch_items.labels("bus").observe(len(taken))
        return batch

    def _read_ahead(self, batch: Batch) -> bool:
        """Does what can be done while the batch before is being stored; → whether anything could.

        With other cells nothing can: where people live may be what that batch says. With SQLite nothing is gained: it
        runs in this process, and its one lock would only be held for longer.
        """
        cells = current_settings().region
        is_alone = db.engine.dialect.name == "sqlite" or (cells is not None and cells.others)
        if len(batch.messages) < MANY or is_alone:
            return False
        try:
            key = self._key_now()
        except (messages.KeyRefused, *UNAVAILABLE):
            return False
        self._read(batch, key)
        batch.paid, batch.wait_s = self._charge(batch)
        if first := batch.parts(batch.paid)[:1]:
            with contextlib.suppress(*UNAVAILABLE):
                batch.prepared = prepare([one.item for one in first[0]])
        return True

    def _commit(self, prepared: Prepared) -> Committed:
        """In a thread of its own."""
        with self._app.app_context():
            return accept.commit(prepared)

    def _read(self, batch: Batch, key: KeyIdentity) -> None:
        batch.key = key
        found = messages.read(key, batch.messages, self._names)
        for message, one in zip(batch.messages, found, strict=True):
            refused = one if isinstance(one, Rejected) else messages.cannot_ever_pass(one)
            if refused is not None:
                batch.refuse(message, refused)
            else:
                assert isinstance(one, Item)
                batch.waiting.append(Pending(message, one))

    def _finish(self, batch: Batch | None) -> None:
        """Raises Stopped."""
        if batch is None:
            return
        try:
            self._store(batch)
            self._end(batch)
        finally:
            self._in_hand.remove(batch)

    def _end(self, batch: Batch) -> None:
        ours = self._source.still_ours(batch.messages)
        if batch.letters:
            letters = batch.letters_in_order()
            self._confirmed(lambda: self._source.bury(letters))
            self._telling.buried(letters)
        if ours:
            self._confirmed(lambda: self._source.acknowledge(self._source.still_ours(batch.messages)))

    # ---- storing

    def _store(self, batch: Batch) -> None:
        while batch.waiting:
            if batch.paid is None:
                batch.paid, batch.wait_s = self._charge(batch)
            paid, batch.paid = batch.paid, None
            for part in batch.parts(paid):
                self._accept(batch, part)
            batch.waiting = batch.waiting[paid:]
            if batch.waiting:
                self._telling.rate_limited(len(batch.waiting), batch.wait_s)
                batch.waiting = self._wait(batch.waiting, batch.wait_s)
                batch.key = self._identity()

    def _identity(self) -> KeyIdentity:
        """Waits while the key is refused: whoever set it up wrongly shall lose nothing."""
        while True:
            try:
                return self._key_now()
            except messages.KeyRefused as error:
                self._telling.key_refused(error)
                self._pause(LONGEST_PAUSE_S)
            except UNAVAILABLE as error:
                self._telling.database_away(error)
                self._pause(self._pause_s())

    def _key_now(self) -> KeyIdentity:
        """Raises KeyRefused, or one of UNAVAILABLE."""
        try:
            return messages.identity(self._key)
        finally:
            db.session.close()

    def _charge(self, batch: Batch) -> tuple[int, float]:
        """→ how many of the first that wait may pass, and in how many seconds the others may."""
        assert batch.key is not None
        for number, one in enumerate(batch.waiting):
            try:
                messages.charge(batch.key, one.item)
            except Rejected as refused:
                return number, refused.retry_after or 1.0
        return len(batch.waiting), 0.0

    def _accept(self, batch: Batch, waiting: list[Pending]) -> None:
        while waiting:
            at_once: list[Pending] = []
            later: list[Pending] = []
            done: list[Shared] = []
            for one, (part, answer) in zip(waiting, self._answers(batch, waiting), strict=True):
                if isinstance(answer, Rejected):
                    if batch.is_for_later(one, answer):
                        later.append(one)
                elif one.is_another(answer):
                    one.item, one.has_another_key = messages.another_key(one.item), True
                    at_once.append(one)
                else:
                    done += [part] if part is not None else []
                    self._telling.count("repeated" if answer.replayed else "accepted")
            self._pass_on(done)
            if len(later) < len(waiting):
                self._telling.works_again()
            waiting = at_once + (self._wait(later, self._pause_s()) if later else [])

    def _answers(self, batch: Batch, waiting: Sequence[Pending]) -> Sequence[tuple[Shared | None, Accepted | Rejected]]:
        """With what other cells are to be told of each, if it is accepted."""
        storing, batch.storing = batch.storing, None
        try:
            if storing is not None:
                committed = storing.result()
                committed.announce()  # while the next one is being stored, perhaps
                return [(None, answer) for answer in committed.answers]
            shared = sharing.share_out([one.item for one in waiting])
            parts = [one if isinstance(one, Shared) else None for one in shared]
            return list(zip(parts, sharing.accepted(shared, accept.accept), strict=True))
        except UNAVAILABLE as error:
            self._telling.database_away(error)
            return [(None, Rejected("unavailable", ""))] * len(waiting)
        except Exception:
            self._telling.failed(len(waiting))
            return [(None, Rejected(OURS, "it could not be stored; the log has the details"))] * len(waiting)
        finally:
            db.session.remove()

    def _pass_on(self, done: Sequence[Shared]) -> None:
        """Until the other cells' parts are stored. Raises Stopped."""
        while True:
            try:
                sharing.pass_on(done)
                return
            except UNAVAILABLE as error:
                self._telling.database_away(error)
            finally:
                db.session.remove()
            self._pause(self._pause_s())

    # ---- waiting

    def _wait(self, waiting: list[Pending], seconds: float) -> list[Pending]:
        """→ those that are still ours. Raises Stopped."""
        self._pause(seconds)
        return self._ours(waiting)

    def _ours(self, waiting: list[Pending]) -> list[Pending]:
        ours = {id(one) for one in self._source.still_ours([one.message for one in waiting])}
        return [one for one in waiting if id(one.message) in ours]

    def _pause(self, seconds: float) -> None:
        """Keeps what is in hand meanwhile. Raises Stopped."""
        ends_at = time.monotonic() + seconds
        while True:
            if self._is_stopping():
                raise Stopped
            if self._in_hand:
                try:
                    self._source.keep()
                except (Away, NotReady) as error:
                    self._telling.bus_away(error)
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
                self._telling.works_again()
                return
            except (Away, NotReady) as error:
                self._telling.bus_away(error)
                self._pause(self._pause_s())

    def _pause_s(self) -> float:
        grown = FIRST_PAUSE_S * 2.0 ** min(max(self._telling.failures - 1, 0), 16)
        return min(grown, LONGEST_PAUSE_S) * random.uniform(0.8, 1.2)

    def _age_s(self) -> float:
        oldest_at = min((batch.oldest_at for batch in list(self._in_hand)), default=None)
        return 0.0 if oldest_at is None else max(0.0, now().timestamp() - oldest_at)

    def _measure(self) -> None:
        if time.monotonic() < self._measure_at:
            return
        self._measure_at = time.monotonic() + _MEASURED_S
        with contextlib.suppress(Away, NotReady):  # whoever takes or keeps will say so
            self._telling.lag(self._source.lag())


def _is_stored(batch: Batch | None) -> bool:
    """Whether nothing of it is left to be stored. Waits for its transaction."""
    if batch is None or batch.storing is None:
        return batch is None
    return batch.storing.exception() is None and batch.is_settled_by(batch.storing.result().answers)
