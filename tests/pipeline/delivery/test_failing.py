"""Failing well, with real servers that fail: the next provider, the breaker, the pace, the next channel, the admins."""

import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import accounts
from notifier.channels import serving
from notifier.channels.adapters.whatsapp_cloud import WhatsAppCloud
from notifier.channels.wire.http import Http
from notifier.core.errors import RateLimited
from notifier.core.message import Recipient
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, Attempt, Delivery, InboxItem, Notification, Suppression
from notifier.people import addresses, profiles
from notifier.pipeline.delivery import record as recording
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.delivery.task import Try
from notifier.pipeline.upkeep import due
from notifier.providers import health
from notifier.providers.health import Tally
from notifier.signals.queueing import queue
from tests.pipeline.upkeep.test_due import wake
from tests.running import free_port
from tests.stored import deliveries, rows
from tests.submitting import Mailbox

Submit = Callable[..., Any]


def to(n: int = 1, word: str = "p") -> list[InlineRecipient]:
    return [InlineRecipient(f"{word}{i}", {"email": f"{word}{i}@x.test"}) for i in range(n)]


def deliver_queued() -> list[str]:
    return [outcome.status for outcome in deliver([row.id for row in deliveries(status="queued", channel="email")])]


# ---- the next provider


def test_the_next_provider_is_tried_at_once(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, nobody: str
) -> None:
    configure(main=nobody, spare=mailbox.url)
    submit(*to(), channels=("email",))
    assert deliver_queued() == ["sent"]
    assert [(a.number, a.provider, a.outcome) for a in rows(Attempt)] == [
        (1, "main", "retryable"),
        (2, "spare", "sent"),
    ]
    [row] = deliveries()
    assert (row.provider, row.tries, row.failures) == ("spare", 2, 0)
    assert mailbox.received == ["p0@x.test"]


def test_a_refusal_is_no_reason_to_ask_another_provider(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, nobody: str
) -> None:
    mailbox.refusal = "554 5.3.0 no"
    configure(main=mailbox.url, spare=nobody)
    submit(*to(), channels=("email",))
    assert deliver_queued() == ["failed"]
    assert [(a.provider, a.outcome) for a in rows(Attempt)] == [("main", "permanent")]


def test_when_all_are_out_of_order_it_is_one_attempt_and_a_retry(
    submit: Submit, configure: Callable[..., None], nobody: str
) -> None:
    configure(main=nobody, spare=nobody)
    submit(*to(), channels=("email",))
    assert deliver_queued() == ["waiting"]
    [row] = deliveries()
    assert (row.reason, row.tries, row.failures) == ("retry", 2, 1)


# ---- the breaker


def test_an_open_breaker_lets_deliveries_wait_and_uses_up_no_attempt(
    submit: Submit, configure: Callable[..., None], nobody: str
) -> None:
    configure(main=nobody)
    submit(*to(health.LEAST_CALLS), channels=("email",))
    deliver_queued()
    assert health.states() == {"main": "open"}
    submit(*to(1, "late"), channels=("email",))
    assert deliver_queued() == ["waiting"]
    late = deliveries()[-1]
    assert (late.reason, late.tries, late.failures) == ("provider_down", 0, 0)
    assert late.due_at is not None
    assert len(rows(Attempt)) == health.LEAST_CALLS


def test_with_its_breaker_open_a_provider_is_passed_over(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, nobody: str
) -> None:
    configure(main=nobody, spare=mailbox.url)
    submit(*to(health.LEAST_CALLS), channels=("email",))
    deliver_queued()
    submit(*to(1, "late"), channels=("email",))
    assert deliver_queued() == ["sent"]
    assert [a.provider for a in rows(Attempt, delivery_id=deliveries()[-1].id)] == ["spare"]


def test_a_dead_server_stops_its_own_webhooks_only(app: APIFlask, submit: Submit) -> None:
    submit(InlineRecipient("eve", {"name": "Eve"}), channels=("inapp",))
    dead = free_port()
    addresses.add_given("eve", "webhook", f"http://127.0.0.1:{dead}/", label=None)
    for _ in range(health.LEAST_CALLS):
        submit("eve", channels=("webhook",))
    deliver([row.id for row in deliveries(channel="webhook")])
    assert health.states() == {f"webhook:127.0.0.1:{dead}": "open"}


def test_the_sandbox_opens_no_breaker(app: APIFlask, submit: Submit) -> None:
    for i in range(health.LEAST_CALLS + 5):
        submit(InlineRecipient(f"s{i}", {"email": "soft-fail@sandbox.test"}), channels=("email",))
    deliver_queued()
    assert health.states() == {}


def test_admins_are_told_once_when_a_provider_fails(
    submit: Submit, configure: Callable[..., None], nobody: str
) -> None:
    accounts.create_account("root@x.test", "a long password", role="admin", user_id="root")
    configure(main=nobody)
    for word in ("a", "b", "c"):
        submit(*to(health.LEAST_CALLS, word), channels=("email",))
        deliver_queued()
    [alarm] = rows(Notification, type="delivery_failure")
    assert (alarm.user_id, alarm.data["provider"], alarm.data["channel"]) == ("root", "main", "email")
    assert [item.user_id for item in rows(InboxItem, type="delivery_failure")] == ["root"]


def test_admins_are_told_also_when_another_provider_stands_in(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, nobody: str
) -> None:
    accounts.create_account("root@x.test", "a long password", role="admin", user_id="root")
    configure(main=nobody, spare=mailbox.url)
    submit(*to(health.LEAST_CALLS), channels=("email",))
    assert set(deliver_queued()) == {"sent"}
    [alarm] = rows(Notification, type="delivery_failure")
    assert (alarm.data["provider"], alarm.data["failed"]) == ("main", health.LEAST_CALLS)


def test_a_record_that_is_repeated_after_an_outage_counts_once(
    submit: Submit, configure: Callable[..., None], nobody: str
) -> None:
    configure(main=nobody)
    submit(*to(health.LEAST_CALLS - 1), channels=("email",))
    tasks, _ = begin([row.id for row in deliveries(status="queued")])
    for task in tasks:
        send(task)
    record(tasks)
    record(tasks)  # as the worker does when the first one was not answered
    assert health.states() == {"main": "closed"}


# ---- dead addresses


def test_a_dead_address_is_switched_off_and_remembered(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    mailbox.refusal = "550 5.1.1 unknown"
    configure(main=mailbox.url)
    submit(*to(), channels=("email",))
    assert deliver_queued() == ["failed"]
    [address] = rows(Address, channel="email")
    assert address.disabled_at is not None
    submit(InlineRecipient("other", {"email": "p0@x.test"}), channels=("email",))
    assert (deliveries()[-1].status, deliveries()[-1].reason) == ("skipped", "suppressed")
    assert [(s.scope, s.provider) for s in rows(Suppression)] == [("*", "main")]


def test_an_address_given_again_on_purpose_is_tried_again(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    mailbox.refusal = "550 5.1.1 unknown"
    configure(main=mailbox.url)
    submit(*to(), channels=("email",))
    deliver_queued()
    mailbox.refusal = ""
    addresses.add_given("p0", "email", "p0@x.test", label=None)
    submit("p0", channels=("email",))
    assert deliver_queued() == ["sent"]


def test_giving_the_profile_again_revives_a_dead_address_once_a_day(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, time_machine: Any
) -> None:
    """What is sent next shows whether it works. A profile that is repeated every hour must not bounce as often."""
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    configure(main=mailbox.url)
    mailbox.refusal = "550 5.1.1 unknown"
    submit(*to(), channels=("email",))
    assert deliver_queued() == ["failed"]

    def again(at: str) -> Any:
        """How a message fares after the profile was given again."""
        time_machine.move_to(at, tick=False)
        profiles.upsert(to(), revives=True)
        db.session.commit()
        submit("p0", channels=("email",))
        deliver_queued()
        return deliveries()[-1].status, deliveries()[-1].reason

    assert again("2026-12-01T09:01:00Z") == ("failed", None)
    assert again("2026-12-01T23:00:00Z") == ("skipped", "no_address")
    mailbox.refusal = ""
    assert again("2026-12-02T09:01:00Z") == ("sent", None)
    assert again("2026-12-02T09:02:00Z") == ("sent", None)
    assert rows(Suppression) == []


def test_an_address_along_with_a_message_revives_nothing(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    """Many producers name it each time: then the list of bounces would hold nothing."""
    configure(main=mailbox.url)
    mailbox.refusal = "550 5.1.1 unknown"
    submit(*to(), channels=("email",))
    deliver_queued()
    submit(*to(), channels=("email",))
    assert (deliveries()[-1].status, deliveries()[-1].reason) == ("skipped", "no_address")


@pytest.mark.parametrize(
    ("type_", "data", "after", "status"),
    [
        ("password_reset", {"url": "https://shop.test/r"}, timedelta(hours=23), "skipped"),
        ("password_reset", {"url": "https://shop.test/r"}, timedelta(hours=25), "sent"),
        ("order_shipped", {"order_id": "A1"}, timedelta(hours=25), "skipped"),
    ],
)
@pytest.mark.parametrize("owner", ["p0", "other"])
def test_what_is_mandatory_tries_a_dead_address_once_more_after_a_day(
    submit: Submit,
    configure: Callable[..., None],
    mailbox: Mailbox,
    time_machine: Any,
    type_: str,
    data: Any,
    after: timedelta,
    status: str,
    owner: str,
) -> None:
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    configure(main=mailbox.url)
    mailbox.refusal = "550 5.1.1 unknown"
    submit(*to(), InlineRecipient("other", {"email": "p0@x.test"}), channels=("email",))
    deliver([deliveries()[0].id])
    mailbox.refusal = ""
    time_machine.shift(after)
    submit(owner, type=type_, data=data, channels=("email",))
    deliver_queued()
    assert deliveries()[-1].status == status
    is_revived = status == "sent"
    assert [one.scope for one in rows(Suppression)] == ([] if is_revived else ["*"])
    submit(owner, channels=("email",), data={"order_id": "A2"})
    deliver_queued()
    assert deliveries()[-1].status == ("sent" if is_revived else "skipped")


def test_a_dead_address_that_bounces_again_has_another_day(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, time_machine: Any
) -> None:
    time_machine.move_to("2026-12-01T09:00:00Z", tick=False)
    configure(main=mailbox.url)
    mailbox.refusal = "550 5.1.1 unknown"
    submit(*to(), channels=("email",))
    deliver_queued()
    fates = []
    for hours in (25, 1, 25):
        time_machine.shift(timedelta(hours=hours))
        submit("p0", type="password_reset", data={"url": f"https://shop.test/{hours}"}, channels=("email",))
        deliver_queued()
        fates.append(deliveries()[-1].status)
    assert fates == ["failed", "skipped", "failed"]


def test_many_dead_addresses_at_once_are_our_fault_and_stay_on(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    mailbox.refusal = "550 5.1.1 unknown"
    configure(main=mailbox.url)
    submit(*to(health.MOST_INVALID), channels=("email",))
    deliver_queued()
    assert health.states() == {"main": "open"}
    assert [address.disabled_at for address in rows(Address, channel="email")] == [None] * health.MOST_INVALID


# ---- the pace


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.0 sender rejected",
        "554 5.7.1 relay access denied",
        "530 5.7.0 authenticate first",
        "550 5.1.8 bad sender",
    ],
)
@pytest.mark.parametrize("sends", [1, 12])
def test_an_answer_about_us_switches_no_address_off(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox, reply: str, sends: int
) -> None:
    """However few sends there were."""
    configure(main=mailbox.url)
    mailbox.refusal = reply
    submit(*to(sends), channels=("email",))
    deliver_queued()
    assert [one.outcome for one in deliveries(channel="email")] == ["misconfigured"] * sends
    assert [address.disabled_at for address in rows(Address, channel="email")] == [None] * sends
    assert rows(Suppression) == []


def test_one_refusal_that_may_be_about_us_pauses_nobody_and_many_do(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    """Otherwise one address at a server with a rule of its own would stop everybody's mail."""
    configure(main=mailbox.url)
    mailbox.refusal = "550 5.7.1 this mailbox takes no mail from strangers"
    submit(*to(), channels=("email",))
    deliver_queued()
    assert health.states() == {"main": "closed"}
    submit(*to(health.LEAST_CALLS, "q"), channels=("email",))
    deliver_queued()
    assert health.states() == {"main": "open"}


@pytest.mark.parametrize(
    ("is_of_recipient", "slowed"), [(False, {"whatsapp_cloud": Tally(blocked_ms=6_000)}), (True, {})]
)
def test_a_person_who_gets_too_much_slows_down_nobody_else(is_of_recipient: bool, slowed: dict[str, Tally]) -> None:
    latest = Try(1, WhatsAppCloud({}, Http()), now())
    latest.error = RateLimited("no", retry_after=6.0, is_of_recipient=is_of_recipient)
    task = SimpleNamespace(recipient=Recipient("+4915112345678"), tries=[latest])
    assert recording._tallies([task]) == slowed  # type: ignore[list-item]


def test_more_than_a_provider_takes_a_second_waits(
    submit: Submit, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    configure(main=mailbox.url)
    [adapter] = serving.registry().adapters_for("email", "x@x.test", is_test=False)
    adapter.per_second = 3  # type: ignore[misc]
    submit(*to(5), channels=("email",))
    assert sorted(deliver_queued()) == ["sent", "sent", "sent", "waiting", "waiting"]
    assert [(row.reason, row.tries, row.failures) for row in deliveries(status="waiting")] == [("paced", 0, 0)] * 2


# ---- the next channel


FIRST: list[tuple[str, dict[str, str], list[tuple[str, str, str | None]]]] = [
    ("the first works", {"phone": "+15550100000"}, [("sms", "delivered", None), ("email", "skipped", "not_needed")]),
    ("the first fails", {"phone": "+15550100002"}, [("sms", "failed", None), ("email", "queued", None)]),
    (
        "the first is tried again",
        {"phone": "+15550100001"},
        [("sms", "waiting", "retry"), ("email", "waiting", "fallback")],
    ),
]


@pytest.mark.parametrize(("profile", "fates"), [case[1:] for case in FIRST], ids=[case[0] for case in FIRST])
def test_routing_first(
    app: APIFlask, submit: Submit, profile: dict[str, str], fates: list[tuple[str, str, str | None]]
) -> None:
    submit(
        InlineRecipient("eve", {"email": "eve@x.test", **profile}),
        type="one_time_code",
        data={"code": "1234"},
        routing="first",
    )
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("sms", "queued", None),
        ("email", "waiting", "fallback"),
    ]
    deliver([row.id for row in deliveries(channel="sms")])
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == fates
    assert len(queue("email.urgent").job_ids) == (1 if fates[1][1] == "queued" else 0)


def test_a_step_on_a_channel_that_is_gone_is_passed_over(app: APIFlask, submit: Submit) -> None:
    """Its adapter was removed since: what is sent beside it must be recorded all the same."""
    phone, mail = {"phone": "+15550100002"}, {"email": "eve@x.test"}
    routed = {"type": "one_time_code", "data": {"code": "1234"}, "routing": "first"}
    submit(InlineRecipient("eve", {**phone, **mail}), **routed, channels=("sms", "email", "inapp"))
    submit(InlineRecipient("bob", {"phone": "+15550100000"}), **routed, channels=("sms",))
    with transaction() as session:
        session.execute(sa.update(Delivery).where(Delivery.channel == "email").values(channel="pigeon"))
    deliver([row.id for row in deliveries(channel="sms")])
    assert {(row.channel, row.status, row.reason) for row in deliveries()} == {
        ("sms", "failed", None),
        ("pigeon", "skipped", "channel_off"),
        ("inapp", "waiting", None),
        ("sms", "delivered", None),
    }


def test_a_step_that_is_skipped_at_planning_is_no_step(app: APIFlask, submit: Submit) -> None:
    submit(
        InlineRecipient("eve", {"email": "eve@x.test"}), type="one_time_code", data={"code": "1234"}, routing="first"
    )
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("email", "queued", None),
        ("sms", "skipped", "no_address"),
    ]


def test_an_in_app_item_ends_the_routing_at_once(app: APIFlask, submit: Submit) -> None:
    submit(InlineRecipient("eve", {"email": "eve@x.test"}), channels=("inapp", "email"), routing="first")
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("inapp", "delivered", None),
        ("email", "skipped", "not_needed"),
    ]


def test_an_in_app_item_may_be_the_last_step(app: APIFlask, submit: Submit) -> None:
    submit(
        InlineRecipient("eve", {"phone": "+15550100002"}),
        type="security_alert",
        data={"event": "sign-in"},
        channels=("sms", "inapp"),
        routing="first",
    )
    deliver([row.id for row in deliveries(channel="sms")])
    due.ring_due()
    assert [(row.channel, row.status) for row in deliveries()] == [("sms", "failed"), ("inapp", "delivered")]


def test_held_steps_expire_with_their_notification(app: APIFlask, submit: Submit) -> None:
    submit(
        InlineRecipient("eve", {"email": "eve@x.test", "phone": "+15550100001"}),
        type="one_time_code",
        data={"code": "1"},
        routing="first",
        expires_in=1,
    )
    wake()
    from notifier.ground.clock import now  # noqa: PLC0415
    from notifier.ground.database import transaction  # noqa: PLC0415

    with transaction() as session:
        session.query(Delivery).update({"expires_at": now()})
    due.ring_due()
    assert [(row.channel, row.status) for row in deliveries(channel="email")] == [("email", "expired")]


# ---- the person


def test_nobody_is_flooded_with_one_time_codes(app: APIFlask, submit: Submit) -> None:
    for _ in range(32):
        submit(
            InlineRecipient("eve", {"email": "eve@x.test", "phone": "+15550100000"}),
            type="one_time_code",
            data={"code": "1234"},
        )
    fates = [(row.status, row.reason) for row in deliveries(channel="sms")]
    assert fates == [("queued", None)] * 30 + [("skipped", "recipient_limit")] * 2
    submit(InlineRecipient("adam", {"phone": "+15550100000"}), type="one_time_code", data={"code": "1234"})
    submit("eve", type="order_shipped", data={"order_id": "A1"}, channels=("email",))
    assert [row.status for row in deliveries()[-3:] if row.channel in ("sms", "email") and row.status != "skipped"] == [
        "queued",
        "queued",
    ]


def test_of_several_addresses_the_one_that_accepted_is_never_sent_to_again(app: APIFlask, submit: Submit) -> None:
    received: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.headers["webhook-id"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    submit(InlineRecipient("eve", {"name": "Eve"}), channels=("inapp",))
    for port in (server.server_address[1], free_port()):
        addresses.add_given("eve", "webhook", f"http://127.0.0.1:{port}/", label=None)
    submit("eve", channels=("webhook",))
    for _ in range(3):
        deliver([row.id for row in deliveries(channel="webhook")])
        wake()
        due.ring_due()
    server.shutdown()
    accepted, other = sorted(deliveries(channel="webhook"), key=lambda row: row.status != "sent")
    assert (accepted.status, accepted.tries, received) == ("sent", 1, [show("dlv", accepted.id)])
    assert (other.status, other.tries) == ("queued", 3)
