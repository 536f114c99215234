"""Broadcasts: how fast one worker makes the notifications of a whole audience on two channels, how much memory that
takes, and what urgent messages and readers of the inbox notice of it.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from bench import rows
from bench.load import percentiles
from bench.person import Person
from bench.processes import Program, peak_mb, running, wait_until
from bench.sample import DATA, TYPE
from bench.stage import Found, Stage, loaded, token
from notifier.access import keys
from notifier.core.broadcasts import FINISHED
from notifier.core.submission import Submission
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.models import Broadcast, Delivery
from notifier.models import Submission as SubmissionRow
from notifier.models.producer import SCOPES
from notifier.pipeline.intake import broadcasts
from notifier.pipeline.intake.item import Caller
from notifier.signals import queueing
from notifier.signals.queueing import EXPAND_QUEUE

_URGENT_PER_SECOND = 20


def begin(upload_id: UUID) -> UUID:
    """A broadcast to everybody on that list, by e-mail and in the inbox, as the calls of `bulks` make theirs."""
    producer = keys.create_producer(f"bench {upload_id}")
    caller = Caller.of_key(producer.id, SCOPES, None, is_test=False, request_id="bench", label="bench")
    said = Submission(TYPE, (), DATA, channels=("inapp", "email"), dedupe=False)
    draft = broadcasts.Draft("bench", said, {"upload": show("upl", upload_id)})
    return broadcasts.create(caller, draft).broadcast_id


def expanded(broadcast_id: UUID) -> int:
    row = db.session.get_one(SubmissionRow, broadcast_id, populate_existing=True)
    db.session.rollback()
    return row.expanded


def expansion(stage: Stage, count: int) -> Found:
    """To so many people who were made for it, by a worker of its own."""
    upload_id = rows.add_list(f"audience{new_id().hex[-8:]}", count)
    stage.installation.clear_queues()
    key = begin(upload_id)
    turns = []
    found: Found = {}
    with stage.costs(found, lambda: count):
        while expanded(key) < count:  # a worker gives others their turn after a minute
            queueing.ring_expand([key])
            made = expanded(key)
            turns.append(stage.installation.start("bench.worker", "ours", EXPAND_QUEUE).answer())
            if expanded(key) == made:
                raise RuntimeError(f"of {count} people {made} were notified")
    stage.installation.clear_queues()
    seconds, cpu_s = (sum(turn[name] for turn in turns) for name in ("seconds", "cpu_s"))
    return {
        "people/s": round(count / seconds, 1),
        "cpu_us": round(cpu_s / count * 1e6, 1),
        "peak_mb": max(turn["peak_mb"] for turn in turns),
        **found,
    }


def beside(stage: Stage) -> Found:
    """The 99th percentile of urgent messages, from POST to sent, and of the inbox's list: alone, and again while a
    broadcast is expanded and sent by the same processes. `first_ms`: from its start to its first mail.
    """
    count = stage.some(50_000)
    upload_id = rows.add_list(f"beside{new_id().hex[-8:]}", count)
    rows.add_inbox(1_000, 100, prefix="beside")
    stage.installation.clear_queues()
    rows.forget_unsent()
    with ExitStack() as stack:
        web = stack.enter_context(stage.installation.web())
        for module, command in (("bench.worker", "serve"), ("notifier", "scheduler")):
            stack.enter_context(running(stage.installation.start(module, command)))
        wait_until(lambda: stage.installation.redis.scard("rq:workers"), "the worker is there")
        wait_until(rows.are_counted, "what happened before is counted", within_s=300)
        _both(stage, web)  # so that neither is measured with cold caches
        alone = _both(stage, web)
        key = begin(upload_id)
        wait_until(lambda: expanded(key) > 0, "it is expanded")
        meanwhile = _both(stage, web)
        row = db.session.get_one(Broadcast, key, populate_existing=True)
        if row.status == FINISHED:
            raise RuntimeError("the broadcast was over before the last urgent one: nothing was measured")
        begun_at = row.started_at
        first_at = wait_until(lambda: _first_mail_at(key), "its first mail is sent")
        broadcasts.cancel(key)
        ratios = {f"{name}_of_alone": round(meanwhile[name] / alone[name], 2) for name in alone}
        peak = peak_mb(web.process.pid)
    with transaction() as session:  # it is over with its scheduler
        session.execute(sa.update(Broadcast).where(Broadcast.id == key).values(finished_at=sa.func.now()))
    stage.installation.clear_queues()
    assert begun_at is not None
    return {
        "first_ms": round((first_at - begun_at).total_seconds() * 1000, 1),
        **{f"{name}_p99_ms": value for name, value in meanwhile.items()},
        **ratios,
        **({"web_peak_mb": peak} if peak else {}),
    }


def _first_mail_at(broadcast_id: UUID) -> datetime | None:
    mine = (Delivery.broadcast_id == broadcast_id, Delivery.channel == "email", Delivery.sent_at.is_not(None))
    found = db.session.scalar(sa.select(sa.func.min(Delivery.sent_at)).where(*mine))
    db.session.rollback()
    return found


def _both(stage: Stage, web: Program) -> dict[str, float]:
    """For some seconds. → the 99th percentiles in milliseconds."""
    mark, seconds = new_id(), max(3.0, 10 * stage.scale)
    reader = _Reader(stage.installation.port, seconds)
    load = ("--channels", "email", "--priority", "urgent", "--clients", 8, "--per-second", _URGENT_PER_SECOND)
    loaded(stage, web, stage.installation.port, "singles", *load, "--seconds", seconds)
    took_s = reader.wait()
    urgent = (Delivery.id > mark, Delivery.priority == "urgent")
    unsent = sa.select(sa.func.count()).where(*urgent, Delivery.sent_at.is_(None))
    wait_until(_is_none(unsent), "the urgent ones are sent")
    times = db.session.execute(sa.select(Delivery.created_at, Delivery.sent_at).where(*urgent)).tuples().all()
    db.session.rollback()
    sent_s = [(sent_at - created_at).total_seconds() for created_at, sent_at in times if sent_at]
    return {"urgent": percentiles(sent_s)["p99_ms"], "inbox": percentiles(took_s)["p99_ms"]}


def _is_none(counting: "sa.Select[int]") -> Callable[[], bool]:
    def ask() -> bool:
        count = db.session.scalar(counting)
        db.session.rollback()
        return not count

    return ask


class _Reader:
    """Looks at an inbox twenty times a second."""

    def __init__(self, port: int, seconds: float) -> None:
        self._person = Person(port, token("beside0"))
        self._until = time.monotonic() + seconds
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> list[float]:
        self._thread.join()
        return self._person.took_s["list"]

    def _run(self) -> None:
        while time.monotonic() < self._until:
            self._person.ask("GET", "?limit=50", kind="list")
            time.sleep(1 / _URGENT_PER_SECOND)
