"""An outage costs nothing: what waits for its end stays in the database, is let out when it is over, and `first` goes
another way meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.channels import serving
from notifier.core.explain import story, told, unpacked
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery, Notification, Provider
from notifier.people import addresses
from notifier.pipeline.delivery import admit, outages
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.upkeep import due
from notifier.providers import accounts as providers
from notifier.providers import health, pausing
from notifier.signals.queueing import all_queues, queue
from tests.pipeline.delivery.test_failing import to
from tests.pipeline.upkeep.test_due import wake
from tests.providers.test_health import pass_time
from tests.running import free_port
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements
from tests.submitting import Mailbox

Submit = Callable[..., Any]
Configure = Callable[..., None]
SMS = "+15550100000"  # the sandbox takes it
DOWN, REFUSES, SLOWS_DOWN = {"bad": 10}, {"is_misconfigured": 1}, {"blocked_ms": 60_000}


def fail(scope: str = "main", **tally: int) -> None:
    health.report({scope: health.Tally(**(tally or DOWN))})  # type: ignore[arg-type]


def take() -> int:
    """As workers do: all that has been rung. → how many jobs that was."""
    rung = [job_id for name in all_queues() for job_id in queue(name).job_ids]
    redis_store.client.delete(*(queue(name).key for name in all_queues()))
    deliver([row.id for row in deliveries() if row.shown_id in rung])
    return len(rung)


def a_round() -> int:
    """What scheduler and workers do in half a second. → how many jobs were taken."""
    waiting.let_out()
    due.ring_due()
    return take()


waiting = outages.Outages()


def fates(*columns: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, column) for column in ("channel", "status", "reason", *columns)) for row in deliveries()]


@pytest.fixture(autouse=True)
def _read_from_the_beginning() -> None:
    waiting._after = ""


# ---- what an outage costs


def test_a_breaker_costs_one_job_for_each_probe_however_many_wait(
    submit: Submit, configure: Configure, nobody: str
) -> None:
    configure(main=nobody)
    for word in ("a", "b"):
        submit(*to(100, word), channels=("email",))
    fail()
    assert take() == 200
    assert {(row.status, row.reason, row.tries, row.held_for) for row in deliveries()} == {
        ("waiting", "provider_down", 0, "main")
    }
    pass_time("main", -health.LONGEST_OPEN_MS)  # a slow machine takes longer for ten rounds than it is open at first
    assert sum(a_round() for _ in range(10)) == 0
    pass_time("main", health.LONGEST_OPEN_MS)
    taken = []
    for _ in range(4):
        pass_time("main", health.LONGEST_OPEN_MS)
        taken += [a_round() for _ in range(10)]
    assert 4 <= sum(taken) <= 8  # each probe, and perhaps its retry, which is refused


def test_what_cannot_be_held_is_held_up_and_tried_again(
    submit: Submit, configure: Configure, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been claimed, and has surely not gone out: it does not become unknown."""

    def move_each(_moves: Any) -> None:
        raise sa.exc.OperationalError("UPDATE", {}, Exception("away"))

    configure(main=nobody)
    submit(*to(2), channels=("email",))
    fail()
    with monkeypatch.context() as away:
        away.setattr(admit, "move_each", move_each)
        take()
    assert fates("code", "tries") == [("email", "waiting", "retry", "internal_error", 1)] * 2
    wake_retries()
    a_round()
    assert fates("held_for") == [("email", "waiting", "provider_down", "main")] * 2


def test_each_has_its_turn_to_be_the_probe(submit: Submit, configure: Configure, nobody: str) -> None:
    configure(main=nobody)
    submit(*to(3), channels=("email",))
    fail()
    take()
    for _ in range(3):
        pass_time("main", health.LONGEST_OPEN_MS)
        assert a_round() == 1
        wake_retries()
        a_round()  # and is refused
    assert [(row.reason, row.failures) for row in deliveries()] == [("provider_down", 1)] * 3


def test_a_probe_that_gets_lost_is_followed_by_another(submit: Submit, configure: Configure, nobody: str) -> None:
    configure(main=nobody)
    submit(*to(5), channels=("email",))
    fail()
    take()
    pass_time("main", health.LONGEST_OPEN_MS)
    assert [waiting.let_out(), waiting.let_out()] == [1, 0]  # two schedulers, say; and then both die with it
    pass_time("main", health.PROBE_MS)
    assert waiting.let_out() == 1


def test_when_it_is_over_all_go_on_more_and_more_at_a_time(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    for word, number in (("a", 100), ("b", 100), ("c", 30)):
        submit(*to(number, word), channels=("email",))
    fail()
    take()
    pass_time("main", health.LONGEST_OPEN_MS)
    assert [a_round() for _ in range(5)] == [1, health.FIRST_OUT, 2 * health.FIRST_OUT, 79, 0]
    assert {row.status for row in deliveries()} == {"sent"}
    assert len(set(mailbox.received)) == len(mailbox.received) == 230


def test_what_waits_for_its_pace_is_taken_no_faster_than_that(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    [adapter] = serving.registry().adapters_for("email", "x@x.test", is_test=False)
    adapter.per_second = 3  # type: ignore[misc]
    submit(*to(12), channels=("email",))
    assert take() == 12
    assert [row.reason for row in deliveries(status="waiting")] == ["paced"] * 9
    taken = []
    for _ in range(4):
        pass_time("main", 1_000)
        taken.append(a_round())
    assert max(taken) <= 4  # what has passed of the next second while the test ran may let one more out
    assert len(mailbox.received) >= 12


def test_the_most_pressing_goes_first(submit: Submit, configure: Configure, mailbox: Mailbox) -> None:
    configure(main=mailbox.url)
    for priority in ("low", "high", "urgent", "medium"):
        submit(*to(1, priority), channels=("email",), priority=priority)
    fail()
    take()
    received = []
    for _ in range(4):
        pass_time("main", health.LONGEST_OPEN_MS)
        fail_again = waiting.let_out()
        due.ring_due()
        received += [name for name in all_queues() if queue(name).job_ids]
        redis_store.client.delete(*(queue(name).key for name in all_queues()))
        assert fail_again == 1
    assert received == ["email.urgent", "email.high", "email.medium", "email.low"]


def test_it_goes_on_as_soon_as_any_of_its_accounts_works(
    submit: Submit, configure: Configure, mailbox: Mailbox, nobody: str
) -> None:
    configure(main=nobody, spare=mailbox.url)
    submit(*to(3), channels=("email",))
    fail("main")
    fail("spare")
    take()
    assert {row.held_for for row in deliveries()} == {"main spare"}
    assert a_round() == 0
    pass_time("spare", health.LONGEST_OPEN_MS)
    assert [a_round(), a_round()] == [1, 2]
    assert {row.status for row in deliveries()} == {"sent"}


def test_an_account_that_is_removed_holds_nothing(
    submit: Submit, configure: Configure, mailbox: Mailbox, nobody: str
) -> None:
    configure(main=nobody)
    submit(*to(1), channels=("email",))
    fail()
    take()
    providers.add("other", "smtp", {"SMTP_URL": mailbox.url})
    providers.remove("main")
    a_round()
    assert [row.status for row in deliveries()] == ["sent"]
    with transaction() as session:
        session.execute(sa.delete(Provider))


def test_a_redis_that_forgot_the_outage_lets_all_go_on(submit: Submit, configure: Configure, mailbox: Mailbox) -> None:
    configure(main=mailbox.url)
    submit(*to(3), channels=("email",))
    fail()
    take()
    redis_store.client.flushall()
    a_round()
    assert {row.status for row in deliveries()} == {"sent"}


def test_while_redis_is_away_nothing_is_touched(
    app: APIFlask, submit: Submit, configure: Configure, nobody: str, request: pytest.FixtureRequest
) -> None:
    configure(main=nobody)
    submit(*to(1), channels=("email",))
    fail()
    take()
    request.getfixturevalue("redis_away")
    assert waiting.let_out() == 0
    assert [row.held_for for row in deliveries()] == ["main"]


def test_what_is_held_expires_as_it_would_have(submit: Submit, configure: Configure, nobody: str) -> None:
    configure(main=nobody)
    submit(*to(1), channels=("email",), expires_in=60)
    fail()
    take()
    [row] = deliveries()
    assert row.wake_at == row.expires_at
    with transaction() as session:
        session.execute(sa.update(Delivery).values(expires_at=now(), wake_at=now()))
    due.ring_due()
    assert [row.status for row in deliveries()] == ["expired"]


def test_nothing_waits_for_ever_for_a_scope_that_nobody_knows(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    submit(*to(1), channels=("email",), expires_in=86_400)
    fail()
    take()
    [row] = deliveries()
    assert row.wake_at is not None
    assert now() < row.wake_at <= now() + outages.LONGEST_HOLD


def test_looking_costs_the_same_for_many_as_for_one_and_nothing_when_none_waits(
    submit: Submit, configure: Configure, nobody: str
) -> None:
    configure(main=nobody)
    counts = []
    for number in (0, 1, 40):
        if number:
            submit(*to(number, f"n{number}-"), channels=("email",))
            fail()
            take()
        redis_store.client.flushall()
        with statements() as sent:
            waiting.let_out()
        counts.append(len([statement for statement in sent if "BEGIN" not in statement]))
    assert counts[0] == 1
    assert counts[1] == counts[2]


def test_however_many_servers_were_dead_all_go_on(submit: Submit, configure: Configure, mailbox: Mailbox) -> None:
    configure(main=mailbox.url)
    for word in ("a", "b"):
        submit(*to(100, word), channels=("email",))
    with transaction() as session:
        for number, row in enumerate(deliveries()):
            held = {
                "status": "waiting",
                "held_for": f"webhook:host{number}.test:443",
                "wake_at": now() + timedelta(hours=1),
                "due_at": now(),
            }
            session.execute(sa.update(Delivery).where(Delivery.id == row.id).values(**held))
    assert waiting.let_out() == 200


def test_a_release_that_is_not_committed_is_made_again(
    submit: Submit, configure: Configure, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(main=mailbox.url)
    submit(*to(3), channels=("email",))
    fail()
    take()
    redis_store.client.flushall()
    with monkeypatch.context() as dying:
        dying.setattr(db.session, "commit", lambda: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            waiting.let_out()
    assert a_round() == 3


# ---- whose outage it is


class Receivers:
    """A server of many: path → the status it answers with, 204 for others. `asked`: the paths, in order."""

    def __init__(self) -> None:
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.answers.get(self.path, 204)
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "60")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    started = Receivers()
    yield started
    started.server.shutdown()
    started.server.server_close()


def listen(submit: Submit, user_id: str, url: str) -> None:
    submit(InlineRecipient(user_id, {"name": user_id}), channels=("inapp",))
    addresses.add_given(user_id, "webhook", url, label=None)


def test_one_receiver_that_slows_us_down_holds_up_nobody_else_on_its_host(submit: Submit, receivers: Receivers) -> None:
    receivers.answers["/slow"] = 429
    for user_id in ("slow", "fine"):
        listen(submit, user_id, receivers.url(f"/{user_id}"))
    submit("slow", channels=("webhook",))
    take()
    submit("slow", "fine", channels=("webhook",), data={"order_id": "A2"})
    take()
    assert receivers.asked == ["/slow", "/fine"]
    assert [(row.status, row.reason) for row in deliveries(channel="webhook")] == [
        ("waiting", "retry"),
        ("waiting", "provider_down"),
        ("sent", None),
    ]
    [held] = [row.held_for for row in deliveries() if row.held_for]
    assert held.startswith(f"webhook:127.0.0.1:{receivers.port}#")
    assert "slow" not in held  # an address may be a secret
    assert health.states() == {f"webhook:127.0.0.1:{receivers.port}": "closed"}
    pass_time_of_receivers(60_000)
    a_round()
    assert receivers.asked[2:] == ["/slow"]


def pass_time_of_receivers(ms: int) -> None:
    for key in redis_store.client.scan_iter("notifier:receiver:*"):
        redis_store.client.hincrbyfloat(key, "blocked_until", -ms)


def test_a_dead_port_says_nothing_about_its_neighbour(submit: Submit, receivers: Receivers) -> None:
    listen(submit, "dead", f"http://127.0.0.1:{free_port()}/")
    listen(submit, "fine", receivers.url("/fine"))
    for number in range(health.LEAST_CALLS):
        submit("dead", channels=("webhook",), data={"order_id": str(number)})
    take()
    assert list(health.states().values()) == ["open"]
    submit("fine", channels=("webhook",))
    take()
    assert receivers.asked == ["/fine"]


# ---- another way meanwhile


PATIENCE = [("urgent", 0), ("high", 10), ("medium", 60), ("low", 600)]


def routed(
    submit: Submit, routing: str = "first", priority: str = "high", order: tuple[str, ...] = ("email", "sms")
) -> None:
    submit(
        InlineRecipient("eve", {"email": "eve@x.test", "phone": SMS}),
        type="security_alert",
        data={"event": "e"},
        channels=order,
        routing=routing,
        priority=priority,
    )


def let_the_patience_end() -> None:
    with transaction() as session:
        waiting_steps = sa.update(Delivery).where(Delivery.reason == "fallback", Delivery.due_at.is_not(None))
        session.execute(waiting_steps.values(due_at=now() - timedelta(seconds=1), wake_at=now() - timedelta(seconds=1)))


@pytest.mark.parametrize(("priority", "seconds"), PATIENCE)
def test_in_an_outage_the_next_channel_has_its_turn_after_a_patience(
    submit: Submit, configure: Configure, nobody: str, priority: str, seconds: int
) -> None:
    configure(main=nobody)
    fail()
    began = now()
    routed(submit, priority=priority)
    take()
    email, sms = deliveries()
    assert (email.status, email.reason, email.tries) == ("waiting", "provider_down", 0)
    if seconds == 0:
        assert (sms.status, sms.reason) == ("queued", None)
        assert queue("sms.urgent").job_ids == [sms.shown_id]
    else:
        assert (sms.status, sms.reason, sms.detail["because"]) == ("waiting", "fallback", "outage")
        assert sms.due_at is not None
        assert sms.due_at == sms.wake_at
        assert seconds <= (sms.due_at - began).total_seconds() < seconds + 60
        assert a_round() == 0


OUTAGES: list[tuple[str, Callable[[], Any]]] = [
    ("its breaker is open", lambda: fail(**DOWN)),
    ("our account is refused", lambda: fail(**REFUSES)),
    ("we are told to wait", lambda: fail(**SLOWS_DOWN)),
    ("somebody opened its breaker", lambda: health.force("main", "open")),
    ("the channel is paused", lambda: pausing.pause("email")),
]


@pytest.mark.parametrize("routing", ["first", "best"])
@pytest.mark.parametrize("begin_outage", [case[1] for case in OUTAGES], ids=[case[0] for case in OUTAGES])
def test_whatever_the_outage_is_the_other_channel_delivers_and_what_waits_is_not_needed(
    submit: Submit, configure: Configure, nobody: str, begin_outage: Callable[[], Any], routing: str
) -> None:
    configure(main=nobody)
    begin_outage()
    routed(submit, routing)
    if [row.status for row in deliveries(channel="email")] == ["waiting"]:  # drawn second by `best`
        take()
        assert sorted(fates()) == [("email", "skipped", "not_needed"), ("sms", "delivered", None)]
        return
    take()
    let_the_patience_end()
    a_round()
    assert sorted(fates()) == [("email", "skipped", "not_needed"), ("sms", "delivered", None)]


def test_a_channel_that_recovers_within_the_patience_delivers_alone(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    fail()
    routed(submit)
    take()
    pass_time("main", health.LONGEST_OPEN_MS)
    a_round()
    assert fates() == [("email", "sent", None), ("sms", "skipped", "not_needed")]


def test_the_patience_begins_with_the_outage_and_not_anew_with_each_probe(
    submit: Submit, configure: Configure, nobody: str
) -> None:
    configure(main=nobody)
    fail()
    routed(submit)
    take()
    due = deliveries()[1].due_at
    for _ in range(3):
        pass_time("main", health.LONGEST_OPEN_MS)
        wake_retries()
        a_round()
    assert deliveries()[1].due_at == due


def wake_retries() -> None:
    with transaction() as session:
        session.execute(
            sa.update(Delivery).where(Delivery.reason == "retry").values(wake_at=now() - timedelta(seconds=1))
        )


def test_when_the_next_channel_is_down_too_the_one_after_it_has_its_turn_and_the_first_to_recover_delivers(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    fail()
    pausing.pause("sms")
    routed(submit, order=("sms", "email", "inapp"))
    take()
    let_the_patience_end()
    a_round()
    assert fates() == [
        ("sms", "waiting", "paused"),
        ("email", "waiting", "provider_down"),
        ("inapp", "waiting", "fallback"),
    ]
    pass_time("main", health.LONGEST_OPEN_MS)
    a_round()
    assert fates() == [("sms", "skipped", "not_needed"), ("email", "sent", None), ("inapp", "skipped", "not_needed")]


def test_an_in_app_item_that_comes_in_an_outage_ends_the_routing(
    submit: Submit, configure: Configure, nobody: str
) -> None:
    configure(main=nobody)
    fail()
    routed(submit, order=("email", "inapp"), priority="urgent")
    take()
    due.ring_due()
    assert fates() == [("email", "skipped", "not_needed"), ("inapp", "delivered", None)]


@pytest.mark.parametrize("priority", ["urgent", "high"])
def test_where_too_little_is_sent_for_a_breaker_to_open_some_failures_are_an_outage(
    submit: Submit, configure: Configure, nobody: str, priority: str
) -> None:
    configure(main=nobody)
    routed(submit, priority=priority)
    for _ in range(2):
        take_only("email")
        wake_retries()
        due.ring_due()
    assert fates("due_at")[1] == ("sms", "waiting", "fallback", None)
    take_only("email")
    let_the_patience_end()
    a_round()
    assert fates() == [("email", "skipped", "not_needed"), ("sms", "delivered", None)]


def test_what_comes_due_while_its_channel_is_paused_goes_another_way_too(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    pausing.pause("email")
    submit(
        InlineRecipient("eve", {"email": "eve@x.test", "phone": SMS}),
        type="security_alert", data={"event": "e"}, channels=("email", "sms"), routing="first", priority="urgent",
        send_at=now() + timedelta(hours=1),
    )  # fmt: skip
    wake()
    assert a_round() == 1
    assert fates() == [("email", "skipped", "not_needed"), ("sms", "delivered", None)]


def test_of_two_channels_that_have_begun_one_delivers(submit: Submit, configure: Configure, mailbox: Mailbox) -> None:
    configure(main=mailbox.url)
    begin_both(submit)
    email, sms = deliveries()
    assert (email.status, sms.status) == ("queued", "queued")
    tasks, _ = begin([sms.id])
    assert begin([email.id])[0] == []
    assert [(row.status, row.reason, row.detail.get("because")) for row in deliveries()] == [
        ("waiting", "fallback", "being_tried"),
        ("sending", None, None),
    ]
    for task in tasks:
        send(task)
    record(tasks)
    assert fates() == [("email", "skipped", "not_needed"), ("sms", "delivered", None)]
    assert mailbox.received == []


def test_the_other_goes_on_when_the_one_that_was_being_tried_fails(
    submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    mailbox.refusal = "554 5.6.0 no"
    begin_both(submit)
    email, sms = deliveries()
    tasks, _ = begin([email.id])
    begin([sms.id])
    assert fates() == [("email", "sending", None), ("sms", "waiting", "fallback")]
    for task in tasks:
        send(task)
    record(tasks)
    assert fates() == [("email", "failed", None), ("sms", "queued", None)]


def test_both_in_one_batch_are_one_send(submit: Submit, configure: Configure, mailbox: Mailbox) -> None:
    configure(main=mailbox.url)
    begin_both(submit)
    take()
    assert fates() == [("email", "sent", None), ("sms", "skipped", "not_needed")]


def begin_both(submit: Submit) -> None:
    """An outage has let the SMS begin; it is over, and the e-mail is due as well."""
    fail()
    routed(submit, priority="urgent")
    take_only("email")
    redis_store.client.delete("notifier:health:main")
    waiting.let_out()
    due.ring_due()


def take_only(channel: str) -> None:
    deliver([row.id for row in deliveries(status="queued", channel=channel)])


def test_two_workers_that_take_both_at_the_same_time_send_one(
    app: APIFlask, submit: Submit, configure: Configure, mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    fail()
    for number in range(10):
        submit(
            InlineRecipient(f"u{number}", {"email": f"u{number}@x.test", "phone": SMS}),
            type="security_alert", data={"event": "e"}, channels=("email", "sms"), routing="first", priority="urgent",
        )  # fmt: skip
    take_only("email")
    redis_store.client.delete("notifier:health:main")
    waiting.let_out()
    due.ring_due()
    by_channel = {channel: [row.id for row in deliveries(channel=channel)] for channel in ("email", "sms")}
    barrier = threading.Barrier(2)
    claimed: dict[str, int] = {}

    def work(channel: str) -> None:
        with app.app_context():
            barrier.wait(30)
            claimed[channel] = len(claim(by_channel[channel])[0])

    threads = [threading.Thread(target=work, args=[channel]) for channel in by_channel]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(claimed.values()) == 10
    sending = [row.notification_id for row in deliveries(status="sending")]
    assert len(set(sending)) == len(sending) == 10


def test_what_the_other_routings_do_in_an_outage(submit: Submit, configure: Configure, nobody: str) -> None:
    configure(main=nobody)
    fail()
    routed(submit, "all")
    take()
    assert fates() == [("email", "waiting", "provider_down"), ("sms", "delivered", None)]  # each for itself
    with transaction() as session:
        session.execute(sa.delete(Notification))
    routed(submit, "escalate")
    take()
    email, sms = deliveries()
    assert (email.reason, sms.reason) == ("provider_down", "escalation")
    assert sms.due_at is not None
    # At its time, as if there were no outage
    assert timedelta(minutes=14) < sms.due_at - now() <= timedelta(minutes=15)


WORDS: list[tuple[str, str, str]] = [
    (
        "all",
        "email",
        (
            "The provider is not working; the message goes out here as soon as it works again. The other "
            "channels do not wait."
        ),
    ),
    (
        "first",
        "email",
        "The provider is not working; the message goes out when it works again, unless another channel succeeds first.",
    ),
    ("first", "sms", "The channel before it is not working; it goes out on "),
    ("first", "*", "A channel that is not working has 10 seconds to recover; then the next one is tried as well."),
    (
        "escalate",
        "email",
        (
            "The provider is not working; the message goes out when it works again, unless it is read first. The "
            "next channel follows at its own time."
        ),
    ),
    ("escalate", "*", "The channels follow each other until it is read, even while one of them is not working."),
]


@pytest.mark.parametrize(("routing", "channel", "words"), WORDS)
def test_an_outage_is_told_in_words(
    submit: Submit, configure: Configure, nobody: str, routing: str, channel: str, words: str
) -> None:
    from notifier.ground import shapes  # noqa: PLC0415

    configure(main=nobody)
    fail()
    routed(submit, routing)
    take()
    [notification] = rows(Notification)
    steps = story(unpacked(notification.decision), [shapes.delivery(row) for row in deliveries()])
    lines = [line["sentence"] for line in told(steps) if line["channel"] == channel]
    assert [line for line in lines if line.startswith(words)]
    assert all("{" not in line["sentence"] for line in told(steps))
