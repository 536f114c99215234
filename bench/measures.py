"""The measurements, by name. Each takes a `Stage` and returns what it found as a flat dict of numbers."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bench import deciding, rows, tell
from bench.broadcast import beside, expansion
from bench.bus import from_kafka
from bench.emptying import emptied
from bench.events import events
from bench.linear import linear
from bench.load import percentiles
from bench.pages import pages
from bench.processes import Program, cpu_s, peak_mb, running, wait_until
from bench.sample import CROWD, KEY, PEOPLE, TWILIO_ACCOUNT
from bench.sizes import stored
from bench.stage import LOCAL_CLIENTS, Found, Stage, all_cpu_us, loaded, micros, token
from bench.status_webhooks import status_webhooks
from notifier.access import accounts
from notifier.core.message import ANDROID, IOS
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.models import BulkAction, Delivery
from notifier.operations import bulk_actions
from notifier.pipeline.upkeep import due
from notifier.queries.dead_letters import Filter
from notifier.queries.failed import PAGE_SIZE

TURNS = 5
_SETTLED_S = 5.0
_OPERATOR = "operator@bench.example"


# ---- delivering -----------------------------------------------------------------------------------------------------


def sms(stage: Stage) -> Found:
    return emptied(stage, "ours", "sms", stage.some(10_000))


def email(stage: Stage) -> Found:
    """Mails that are composed, text and HTML, and sent by SMTP."""
    found = emptied(stage, "real", "email", stage.some(5_000))
    mail = stage.installation.ready_mail.read_bytes()
    if not all(part in mail for part in (b"text/plain", b"text/html")):
        raise RuntimeError("the mail was not composed")
    return found


def backlog(stage: Stage) -> Found:
    """What a worker holds after 100,000 deliveries."""
    return emptied(stage, "ours", "sms", stage.some(100_000))


def webhook(stage: Stage) -> Found:
    return emptied(stage, "ours", "webhook", stage.some(4_000), "quick", 100)


def slow_webhook(stage: Stage) -> Found:
    return emptied(stage, "ours", "webhook", stage.some(4_000), "slow", 100)


def apns(stage: Stage) -> Found:
    """Pushes over HTTP/2 to hypercorn, which is slower than the worker."""
    here = stage.installation
    with running(here.start("bench.apple", here.place)) as apple:
        told = apple.read_json()
        account = {
            "APNS_URL": f"https://127.0.0.1:{told['port']}",
            "APNS_KEY": told["key"],
            "APNS_KEY_ID": "ABC123DEFG",
            "APNS_TEAM_ID": "DEF123GHIJ",
            "APNS_TOPIC": "com.example.shop",
            "SSL_CERT_FILE": told["certificate"],
        }
        rows.add_phones("phone", 100, platform=IOS)
        return emptied(_signed_in(stage, account), "ours", "push", stage.some(2_000), "phone", 100)


def fcm(stage: Stage) -> Found:
    """Pushes to Android phones by JSON, and the token that they need."""
    here = stage.installation
    with running(here.start("bench.providers")) as google:
        told = google.read_json()
        account = {"FCM_URL": f"http://127.0.0.1:{told['port']}", "FCM_SERVICE_ACCOUNT": told["service_account"]}
        rows.add_phones("android", 100, platform=ANDROID)
        return emptied(_signed_in(stage, account), "real", "push", stage.some(4_000), "android", 100)


def twilio(stage: Stage) -> Found:
    """SMS by form posts, as fast as they go: Twilio itself takes a hundred a second."""
    here = stage.installation
    with running(here.start("bench.providers")) as provider:
        account = {
            "TWILIO_URL": f"http://127.0.0.1:{provider.read_json()['port']}",
            "TWILIO_ACCOUNT_SID": TWILIO_ACCOUNT,
            "TWILIO_AUTH_TOKEN": "0" * 32,
            "TWILIO_FROM": "+15005550006",
        }
        return emptied(_signed_in(stage, account), "real", "sms", stage.some(4_000))


def _signed_in(stage: Stage, account: dict[str, str]) -> Stage:
    """The same installation with an account at a provider."""
    here = stage.installation
    return replace(stage, installation=replace(here, environment={**here.environment, **account}))


def beside_hanging(stage: Stage) -> Found:
    """SMS by a worker that serves all queues: alone, and while every webhook hangs."""
    count = stage.some(6_000)
    alone = _served(stage, count)
    stuck = rows.queue_up("webhook", "medium", 400, prefix="stuck", users=100)
    rows.ring(stuck, "webhook", "medium")
    beside = _served(stage, count)
    stage.installation.clear_queues()
    return {"deliveries/s": beside, "alone/s": alone, "of_alone": round(beside / alone, 2)}


def _served(stage: Stage, count: int) -> float:
    ids = rows.queue_up("sms", "medium", count, prefix=PEOPLE, users=CROWD)
    with running(stage.installation.start("bench.worker", "serve")):
        _wait_for_worker(stage)
        time.sleep(1)  # by now it holds what hangs
        begun = time.time()
        rows.ring(ids, "sms", "medium")
        wait_until(lambda: _left(ids, ("queued", "sending")) == 0, "all is sent", within_s=120, pause_s=0.2)
        last = db.session.scalar(sa.select(sa.func.max(Delivery.sent_at)).where(Delivery.id.between(ids[0], ids[-1])))
        db.session.rollback()
    assert last is not None
    return round(count / (last.timestamp() - begun), 1)


def _left(ids: list[UUID], statuses: tuple[str, ...]) -> int:
    left = db.session.scalar(
        sa.select(sa.func.count()).where(Delivery.id.between(ids[0], ids[-1]), Delivery.status.in_(statuses))
    )
    db.session.rollback()
    return left or 0


def _wait_for_worker(stage: Stage) -> None:
    wait_until(lambda: stage.installation.redis.scard("rq:workers"), "the worker is there")


# ---- deciding -------------------------------------------------------------------------------------------------------


def rules(stage: Stage) -> Found:
    """The decisions for a thousand people on four channels: nothing but the rules."""
    return deciding.rules()


def dozen(stage: Stage) -> Found:
    """What has to be known of a dozen people to decide, from Redis and from the database."""
    return deciding.knowledge(deciding.BATCH)


def thousand(stage: Stage) -> Found:
    """The same of a thousand people at once."""
    return deciding.knowledge(deciding.USERS)


# ---- ingest ---------------------------------------------------------------------------------------------------------


def singles(stage: Stage) -> Found:
    """One request for one person on two channels, from 48 clients at once."""
    return answers(stage)[1]


def answers(stage: Stage) -> tuple[Found, Found]:
    """`bare_answer` and `singles` in short turns, both processes running: other work on the machine hits both alike."""
    load = ("singles", "--channels", "inapp,email", "--clients", LOCAL_CLIENTS, "--requests")
    with stage.installation.web() as web, running(stage.installation.start("bench.bare_web")) as bare:
        ports = {bare: bare.read_json()["port"], web: stage.installation.port}
        for program, port in ports.items():
            loaded(stage, program, port, *load, 10 * LOCAL_CLIENTS)  # warms up
        took: dict[Program, list[Found]] = {bare: [], web: []}
        for _ in range(TURNS):
            for program, port in ports.items():
                took[program].append(loaded(stage, program, port, *load, stage.some(10_000) // TURNS))
    stage.installation.clear_queues()
    return _together(took[bare], "operations/s"), _together(took[web], "requests/s")


def _together(turns: list[Found], rate: str) -> Found:
    """Turns of equally many operations as one."""
    figures = {figure: round(statistics.mean(turn[figure] for turn in turns), 2) for figure in turns[0]}
    del figures["rate"]
    return {rate: round(statistics.harmonic_mean([turn["rate"] for turn in turns]), 1), **figures}


def bulks(stage: Stage) -> Found:
    """Calls of a thousand notifications for one person each, on two channels."""
    return _recipients(stage, "bulks", 1_000)


def broadcast(stage: Stage) -> Found:
    """People of a whole audience, expanded by one worker: as a multiple of `bulks` in the same run, and its peak memory
    as a multiple of that with a tenth of the people.
    """
    few, many = expansion(stage, stage.some(5_000)), expansion(stage, stage.some(50_000))
    growth = round(many["peak_mb"] / few["peak_mb"], 2)
    return {**many, "of_bulks": round(many["people/s"] / bulks(stage)["recipients/s"], 2), "peak_growth": growth}


def consume(stage: Stage) -> Found:
    """Messages of Kafka for one person each, taken by one process: also as a multiple of `bulks` in the same run."""
    found = from_kafka(stage, stage.some(25_000))
    return {**found, "of_bulks": round(found["people/s"] / bulks(stage)["recipients/s"], 2)}


def beside_broadcast(stage: Stage) -> Found:
    """What urgent messages and readers of the inbox notice of a broadcast, and how soon its first mail goes out."""
    return beside(stage)


def hundreds(stage: Stage) -> Found:
    """One notification for a hundred people, on two channels."""
    return _recipients(stage, "many", 100)


def receipts(stage: Stage) -> Found:
    """What providers tell, from 48 clients at once: one event a call, and a hundred. Each is applied."""
    key = tell.new_key()
    with stage.installation.web(**tell.settings(key)) as web:
        one = _told(stage, web, "one", rows.sent("sms", tell.SMS, stage.some(30_000), prefix=PEOPLE, users=CROWD))
        mails = rows.sent("email", tell.MAIL, stage.some(60_000), prefix=PEOPLE, users=CROWD)
        many = _told(stage, web, "many", mails, key=key, per_request=100)
    stage.installation.clear_queues()
    return {
        "requests/s": one["rate"],
        "events/s": many["rate"],
        **{name: value for name, value in one.items() if name != "rate"},
        "event_cpu_us": all_cpu_us(many),
    }


def _told(stage: Stage, web: Program, kind: str, ids: Sequence[UUID], *, key: str = "", per_request: int = 1) -> Found:
    told = {"ids": [show("dlv", one) for one in ids], "key": key, "size": per_request}
    options = ("--port", stage.installation.port, "--seconds", max(2, 6 * stage.scale))
    found: Found = {}
    events = 0
    before = cpu_s([web.process.pid])
    with stage.costs(found, lambda: events):
        answer = stage.installation.start("bench.tell", kind, *options, told=told).answer()
        events = answer["requests"] * per_request
    if answer["refused"]:
        raise RuntimeError(f"the web process refused: {answer['refused']}")
    cpu_us = micros(cpu_s([web.process.pid]) - before, events)
    _expect_delivered(ids, events)
    return {
        "rate": round(events / answer["seconds"], 1),
        **{name: answer[name] for name in ("p50_ms", "p99_ms")},
        "cpu_us": cpu_us,
        **found,
    }


def _expect_delivered(ids: Sequence[UUID], events: int) -> None:
    delivered = db.session.scalar(
        sa.select(sa.func.count()).where(Delivery.id.between(ids[0], ids[-1]), Delivery.status == "delivered")
    )
    db.session.rollback()
    if delivered != min(len(ids), events):
        raise RuntimeError(f"{events} were told of, and {delivered} are delivered")


def _recipients(stage: Stage, kind: str, size: int) -> Found:
    with stage.installation.web() as web:
        load = ("--channels", "inapp,email", "--clients", 4, "--size", size)
        calls = max(4, stage.some(25_000) // size)
        found = loaded(stage, web, stage.installation.port, kind, *load, "--requests", calls, per_request=size)
    stage.installation.clear_queues()
    return {"recipients/s": found.pop("rate"), **found}


# ---- latency --------------------------------------------------------------------------------------------------------


def socket(stage: Stage) -> Found:
    """From POST to the browser's event, at a hundred a second to forty people."""
    tokens = {f"{PEOPLE}{n}": token(f"{PEOPLE}{n}") for n in range(40)}
    with stage.installation.web():
        program = stage.installation.start(
            "bench.listen", "--port", stage.installation.port, "--seconds", max(2, 8 * stage.scale), told=tokens
        )
        answer = program.answer()
    if answer["heard"] < answer["posted"]:
        raise RuntimeError(f"of {answer['posted']} only {answer['heard']} were heard: {answer['refused']}")
    return {name: answer[name] for name in ("p50_ms", "p99_ms", "heard")}


def inbox(stage: Stage) -> Found:
    """Each action of a person with 50,000 items, 5,000 of them unread, one after the other; `p50_ms` is the first
    paint.
    """
    items, unread = stage.some(50_000), stage.some(5_000)
    rows.add_inbox(items, unread, prefix="reader")
    with stage.installation.web():
        answer = _person(stage, "reader", "actions", "--unread", unread)
    return {**answer["list"], **{f"{kind}_ms": took["p50_ms"] for kind, took in answer.items()}}


def tabs(stage: Stage) -> Found:
    """From reading an item in one tab to the other tab's event, at fifty a second."""
    rows.add_inbox(1_000, 100, prefix="follower")
    times = stage.some(500)
    with stage.installation.web():
        answer = _person(stage, "follower", "follow", "--times", times)
    if answer["heard"] < times:
        raise RuntimeError(f"of {times} only {answer['heard']} were heard")
    return {name: answer[name] for name in ("p50_ms", "p99_ms", "heard")}


def _person(stage: Stage, prefix: str, *options: object) -> Any:
    told = token(f"{prefix}0")
    return stage.installation.start("bench.person", *options, "--port", stage.installation.port, told=told).answer()


def urgent(stage: Stage) -> Found:
    """From POST to sent, for urgent ones at twenty a second, while a worker is busy with 100,000 low ones."""
    backlog = rows.queue_up("email", "low", stage.some(100_000), prefix=PEOPLE, users=CROWD)
    rows.ring(backlog, "email", "low")
    mark = new_id()
    with stage.installation.web() as web, running(stage.installation.start("bench.worker", "serve")) as worker:
        _wait_for_worker(stage)
        load = ("--channels", "email", "--priority", "urgent", "--clients", 8, "--per-second", 20)
        loaded(stage, web, stage.installation.port, "singles", *load, "--seconds", max(3, 10 * stage.scale))
        wait_until(lambda: _unsent_since(mark) == 0, "the urgent ones are sent")
        left = _left(backlog, ("queued",))
        peak = peak_mb(worker.process.pid)
    if not left:
        raise RuntimeError("the backlog was gone before the last urgent one: nothing was measured")
    times = (
        db.session.execute(
            sa.select(Delivery.created_at, Delivery.sent_at).where(Delivery.id > mark, Delivery.priority == "urgent")
        )
        .tuples()
        .all()
    )
    db.session.rollback()
    rows.forget_unsent()
    stage.installation.clear_queues()
    latencies = [(sent_at - created_at).total_seconds() for created_at, sent_at in times if sent_at]
    return {**percentiles(latencies), "still_behind": left, **({"peak_mb": peak} if peak else {})}


def release(stage: Stage) -> Found:
    """How fast one scheduler lets out 100,000 that have come due at once, if workers take whatever is in line."""
    ids = rows.fall_due("email", "low", stage.some(100_000), prefix=PEOPLE, users=CROWD)
    released = 0
    found: Found = {}
    begun, cpu = time.monotonic(), time.process_time()
    with stage.costs(found, lambda: released):
        while released < len(ids):
            done = due.ring_due()
            released += done
            if done < due.BATCH:
                stage.installation.clear_queues()
    seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
    rows.forget_unsent()
    stage.installation.clear_queues()
    return {"deliveries/s": round(released / seconds, 1), "cpu_us": micros(cpu, released), **found}


def idle_scheduler(stage: Stage) -> Found:
    """What a scheduler takes of a core while nothing is due."""
    rows.forget_unsent()
    with running(stage.installation.start("notifier", "scheduler")) as scheduler:
        wait_until(rows.are_counted, "it has counted what happened before", within_s=300)
        time.sleep(_SETTLED_S)
        before, seconds = cpu_s([scheduler.process.pid]), max(10.0, 30 * stage.scale)
        time.sleep(seconds)
        return {"core_percent": round((cpu_s([scheduler.process.pid]) - before) / seconds * 100, 2)}


def failed(stage: Stage) -> Found:
    """Every page of the failed jobs, with every filter, while 200,000 have failed; `worst_ms` is the slowest of all."""
    count = stage.some(200_000)
    halves = rows.add_dead_letters(count, prefix=PEOPLE, users=CROWD)
    accounts.create_account(_OPERATOR, KEY, "operator", "operator")
    with stage.installation.web():
        options = ("--port", stage.installation.port, "--registry-pages", count // 2 // PAGE_SIZE)
        answer = stage.installation.start("bench.console", *options, told=[_OPERATOR, KEY]).answer()
    for half in halves:
        _forget(half)
    stage.installation.clear_queues()
    worst = max(answer, key=lambda kind: answer[kind]["p99_ms"])
    print(f"(worst: {worst})", end=" ", flush=True)
    return {
        "worst_ms": answer[worst]["p99_ms"],
        **answer["groups_all"],
        **{f"{kind}_ms": took["p50_ms"] for kind, took in answer.items()},
    }


def bulk_retry(stage: Stage) -> Found:
    """How fast one scheduler retries failed jobs, no rate being set: 5,000 (`few_s`), then 200,000 (`many_s`)."""
    found: Found = {}
    for name, count in (("few_s", stage.some(5_000)), ("many_s", stage.some(200_000))):
        halves = rows.add_dead_letters(count, prefix=PEOPLE, users=CROWD)
        begun, cpu = time.monotonic(), time.process_time()
        key = bulk_actions.start(bulk_actions.RETRY, Filter())
        with stage.costs(found, lambda: count):  # noqa: B023 (called before the next count)
            while bulk_actions.work():
                pass
        seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
        done = db.session.scalar(sa.select(BulkAction.done).where(BulkAction.id == key))
        db.session.rollback()
        if done != count:
            raise RuntimeError(f"of {count} failed jobs {done} were retried")
        found |= {"deliveries/s": round(count / seconds, 1), "cpu_us": micros(cpu, count), name: round(seconds, 2)}
        for half in halves:
            _forget(half)
        stage.installation.clear_queues()
    return found


def _unsent_since(mark: UUID) -> int:
    unsent = db.session.scalar(
        sa.select(sa.func.count()).where(Delivery.id > mark, Delivery.priority == "urgent", Delivery.sent_at.is_(None))
    )
    db.session.rollback()
    return unsent or 0


def _forget(ids: Sequence[UUID]) -> None:
    with transaction() as session:
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id.between(ids[0], ids[-1]), Delivery.sent_at.is_(None))
            .values(status="cancelled", wake_at=None)
            .execution_options(synchronize_session=False)
        )


MEASURES: dict[str, Callable[[Stage], Found]] = {
    measure.__name__: measure
    for measure in (
        sms,
        email,
        backlog,
        webhook,
        slow_webhook,
        apns,
        fcm,
        twilio,
        beside_hanging,
        rules,
        dozen,
        thousand,
        singles,
        bulks,
        hundreds,
        consume,
        broadcast,
        beside_broadcast,
        receipts,
        status_webhooks,
        socket,
        inbox,
        tabs,
        pages,
        urgent,
        release,
        idle_scheduler,
        failed,
        bulk_retry,
        events,
        stored,
        linear,
    )
}
