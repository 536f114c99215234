"""Expands a submission with more recipients than fit a request, in the same way as `accept` does the small ones.

Run by workers (`notifier.jobs.expand`), a chunk of recipients at a time (`intake.chunks`). Run twice, or killed
half-way, it stores each notification once, and continues where it stopped.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from flask import current_app

from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Submission
from notifier.pipeline.intake.chunks import Chunk, next_chunk, store_and_announce
from notifier.pipeline.intake.turns import Turn
from notifier.signals.pressing import give_way, has_pressing

_TURN_S = 60.0  # of one submission, in a worker that has others to expand; a job may take three minutes
_AT_ONCE = 2  # chunks of a broadcast
_LONGEST_PACE = timedelta(seconds=2)  # between two turns of a broadcast


def expand(submission_id: UUID) -> int:
    """Returns the number of notifications stored by this call: 0 when it was done already, or is being done. After a
    while the others have their turn, and the scheduler rings for the rest.

    While PostgreSQL stores a chunk of a broadcast, the next one is made ready and stored beside it: the two wait for
    different things. They are committed one after the other.
    """
    made, until = 0, time.monotonic() + _TURN_S
    behind: Turn | None = None
    storing: deque[Future[int | None]] = deque()
    try:
        while True:
            gives_way, begun = has_pressing(), time.monotonic()
            chunk = next_chunk(submission_id, gives_way=gives_way, behind=behind)
            db.session.close()  # the next look shall see what the threads commit
            if chunk is not None:
                storing.append(_begin_to_store(replace(chunk, before=storing[-1] if storing else None)))
            is_over = chunk is None or time.monotonic() > until
            behind = None if chunk is None or is_over or gives_way else _to_follow(chunk)
            while len(storing) > (0 if behind is None else _AT_ONCE - 1):
                number = storing.popleft().result()
                if number is None:  # another worker has done this one, and goes on
                    return made
                made += number
            if chunk is None:
                return made
            if is_over:
                _leave(submission_id)
                return made
            if gives_way:
                give_way(begun)
    finally:
        wait(storing)


def _begin_to_store(chunk: Chunk) -> Future[int | None]:
    """In a thread of its own. → how many notifications; None: another worker has stored it."""
    future: Future[int | None] = Future()
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def run() -> None:
        try:
            with app.app_context():
                future.set_result(store_and_announce(chunk))
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="storing", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the machine has no thread left: then here, and nothing is done beside it
        run()
    return future


def _to_follow(chunk: Chunk) -> Turn | None:
    """The turn that another may follow while it is being stored. With SQLite, which has one writer, none does."""
    turn = chunk.turn
    if turn is None or turn.is_last or turn.is_paced or db.engine.dialect.name == "sqlite":
        return None
    return replace(turn, behind=None)


def _leave(submission_id: UUID) -> None:
    """To be rung again at once, unless it is to wait: for its pace, or for somebody to resume it."""
    now = clock_now()
    with transaction() as session:
        at_work = sa.update(Submission).where(Submission.id == submission_id, Submission.wake_at > now + _LONGEST_PACE)
        session.execute(at_work.values(wake_at=now).execution_options(synchronize_session=False))
