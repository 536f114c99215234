"""Status webhooks: what one subscription takes in, and what it costs the deliveries that it hears of."""

import contextlib
import statistics
from collections.abc import Iterator
from uuid import UUID

import sqlalchemy as sa

from bench.emptying import emptied
from bench.processes import running, wait_until
from bench.stage import Found, Stage
from notifier.access import keys
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Event, SubscriptionAttempt
from notifier.models.producer import SCOPES
from notifier.pipeline.intake.item import Caller
from notifier.signals import queueing
from notifier.subscriptions import registered
from notifier.subscriptions.registered import Rights

_ROUNDS = 3


def status_webhooks(stage: Stage) -> Found:
    """Events through one subscription to a receiver that answers at once; and the CPU of a delivery without a
    subscription and with one, in turn: another worker process tells it meanwhile.
    """
    url = f"http://127.0.0.1:{stage.quick_port}/events"
    found = _told(stage, url, stage.some(4_000))
    alone, beside = [], []
    for _ in range(_ROUNDS):
        alone.append(emptied(stage, "ours", "sms", stage.some(3_000))["cpu_us"])
        with _subscribed(url), _telling(stage):
            beside.append(emptied(stage, "ours", "sms", stage.some(3_000))["cpu_us"])
    stage.installation.clear_queues()
    without, with_one = statistics.median(alone), statistics.median(beside)
    return {**found, "alone_cpu_us": without, "beside_cpu_us": with_one, "of_alone": round(with_one / without, 2)}


def _told(stage: Stage, url: str, count: int) -> Found:
    with _subscribed(url) as key:
        event = {"kind": "delivery.sent", "at": now(), "is_test": False, "channel": "email", "user_id": "bench"}
        with transaction() as session:
            session.execute(sa.insert(Event), [{**event, "delivery_id": new_id()} for _ in range(count)])
        queueing.ring_subscriptions([key])
        answer = stage.installation.start("bench.worker", "ours", queueing.EVENTS_QUEUE).answer()
        told = _sent_to(key)
    if told == 0:
        raise RuntimeError("the subscription was told nothing")
    return {
        "events/s": round(told / answer["seconds"], 1),
        "cpu_us": round(answer["cpu_s"] / told * 1e6, 1),
        "peak_mb": answer["peak_mb"],
    }


def _sent_to(key: UUID) -> int:
    mine = sa.and_(SubscriptionAttempt.subscription_id == key, SubscriptionAttempt.outcome == "sent")
    sent = db.session.scalar(sa.select(sa.func.count()).select_from(SubscriptionAttempt).where(mine))
    db.session.rollback()
    return sent or 0


@contextlib.contextmanager
def _subscribed(url: str) -> Iterator[UUID]:
    """To everybody's deliveries."""
    producer = keys.create_producer("bench subscriber")
    key, _ = keys.create_key(producer.id, scopes=SCOPES)
    caller = Caller.of_key(producer.id, SCOPES, None, is_test=False, request_id="bench", label="bench")
    rights = Rights(key.id, sees_people=True, sees_all=True)
    wanted = {"url": url, "events": ["delivery.*"], "all_producers": True}
    made = registered.create(caller, rights, wanted)
    yield made.subscription_id
    registered.remove(made.subscription_id)


@contextlib.contextmanager
def _telling(stage: Stage) -> Iterator[None]:
    """A worker for events, and a scheduler that rings."""
    with (
        running(stage.installation.start("bench.worker", "serve", queueing.EVENTS_QUEUE)),
        running(stage.installation.start("notifier", "scheduler")),
    ):
        wait_until(lambda: bool(stage.installation.redis.smembers("rq:workers")), "a worker is there")
        yield
