"""The loop of `consume`: take, store and commit, bury what cannot be accepted, acknowledge.

Whatever is away, the batch in hand waits: it is kept from other consumers, and tried again. It is let go of only when
the bus has given it to somebody else, or when the process is told to stop; then it is given again.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from flask import Flask

from notifier.access.keys import KeyIdentity
from notifier.api import messages
from notifier.api.field_map import FieldMap
from notifier.bus.source import Source
from notifier.cells import sharing
from notifier.cells.sharing import Shared
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.pipeline.intake import accept
from notifier.pipeline.intake.accept import Committed
from notifier.pipeline.intake.ahead import Prepared, prepare
from notifier.pipeline.intake.item import Accepted, Item
from notifier.programs import consume_hold
from notifier.programs.consume_batch import OURS, Batch, Pending
from notifier.programs.consume_hold import IDLE_S, Hold, Stopped
from notifier.programs.consume_telling import Telling

MANY = 100  # messages: there are more behind so many, and the next are taken while they are being stored


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
        self._app, self._key, self._names, self._is_stopping = app, key, names, is_stopping
        self._telling = Telling(name)
        self._hold = Hold(source, name, self._telling, is_stopping)

    def work(self) -> None:
        """Until told to stop."""
        before: Batch | None = None
        with ThreadPoolExecutor(1, "storing") as thread, contextlib.suppress(Stopped):
            while not self._is_stopping():
                self._hold.measure()
                with self._app.app_context():
                    before = self._take_turn(before, thread)
            with self._app.app_context():
                self._finish(before)

    def _take_turn(self, before: Batch | None, thread: Executor) -> Batch | None:
        """Takes a batch and stores it; of a large one only begins to, and finishes it in the next turn. `before`: that
        of the last turn. → that of this one. Raises Stopped.

        A transaction begins when all of the batch before has been committed: so what that has changed is known, and the
        order is kept. What was found out earlier is looked at again inside (`accept.commit`).
        """
        batch = self._hold.take(IDLE_S if before is None else 0.0)
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
                batch.waiting = self._hold.ours(batch.waiting)
        if batch is not None and batch.prepared is not None:
            batch.storing = thread.submit(self._commit, batch.prepared)
        self._finish(before)
        if batch is not None and batch.storing is not None:
            return batch
        self._finish(batch)
        return None

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
            self._hold.settle(batch)
        finally:
            self._hold.let_go(batch)

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
                self._hold.pause(batch.wait_s)
                batch.waiting = self._hold.ours(batch.waiting)
                batch.key = self._identity()

    def _identity(self) -> KeyIdentity:
        """Waits while the key is refused: whoever set it up wrongly shall lose nothing."""
        while True:
            try:
                return self._key_now()
            except messages.KeyRefused as error:
                self._telling.key_refused(error)
                self._hold.pause(consume_hold.LONGEST_PAUSE_S)
            except UNAVAILABLE as error:
                self._telling.database_away(error)
                self._hold.pause()

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
            if later:
                self._hold.pause()
            waiting = at_once + self._hold.ours(later)

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
            self._hold.pause()


def _is_stored(batch: Batch | None) -> bool:
    """Whether nothing of it is left to be stored. Waits for its transaction."""
    if batch is None or batch.storing is None:
        return batch is None
    return batch.storing.exception() is None and batch.is_settled_by(batch.storing.result().answers)
