"""From a provider's call to the delivery's row: over the wire, on both databases."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.channels.addresses import digest_of
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import (
    Address,
    Attempt,
    ChannelScore,
    ConsentEvent,
    Delivery,
    Preference,
    Receipt,
    Suppression,
    Tally,
)
from notifier.pipeline.delivery import kept_receipts, receipts
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import lapsed
from notifier.signals.queueing import failed_registry, queue_name
from tests.acme import Acme, AcmeSms, AcmeWhatsapp, Server, event, read, tell
from tests.stored import deliveries, rows, sent_statements

Submit = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("cast")


def sent(submit: Submit, *people: Any, channel: str = "email", **fields: Any) -> list[Delivery]:
    """New deliveries on that channel, sent."""
    known = {row.id for row in deliveries()}
    submit(*(people or ("alice",)), channels=(channel,), **fields)
    deliver([row.id for row in deliveries(status="queued") if row.id not in known])
    return [row for row in deliveries() if row.id not in known]


def of(delivery: Delivery) -> dict[str, str]:
    return {"delivery_id": show("dlv", delivery.id)}


def suppressed() -> list[tuple[str, str, str, str | None]]:
    return sorted((row.channel, row.scope, row.reason, row.provider) for row in rows(Suppression))


# ---- matching


def test_one_that_cannot_be_applied_keeps_no_other_back(
    submit: Submit, acme: Server, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the reason: here, a delivery in a status that is none."""
    first, second = (
        event("delivered", "e1", provider_message_id="x1"),
        event("delivered", "e2", provider_message_id="x2"),
    )
    tell(client, first, second)
    broken, fine = sent(submit), sent(submit)
    with transaction() as session:
        session.execute(
            sa.update(Delivery).where(Delivery.id == broken[0].id).values(status="?", provider_message_id="x1")
        )
        session.execute(sa.update(Delivery).where(Delivery.id == fine[0].id).values(provider_message_id="x2"))
    with time_machine.travel(now() + timedelta(seconds=10), tick=False):
        kept_receipts.apply_due()
        assert {r.event_id: r.applied_at is not None for r in rows(Receipt)} == {"e1": False, "e2": True}
        assert [d.status for d in rows(Delivery, id=fine[0].id)] == ["delivered"]
        assert [r.wake_at > now() for r in rows(Receipt, event_id="e1")] == [True]


@pytest.mark.parametrize(
    ("word", "kinds", "status", "held"),
    [
        ("late", ["delivered"], "delivered", []),
        ("twice", ["delivered", "delivered"], "delivered", []),
        ("unordered", ["opened", "delivered"], "opened", []),
        ("bounced", ["bounced"], "bounced", ["*"]),
        ("undelivered", ["failed"], "failed", []),
        ("opened", ["delivered", "opened"], "opened", []),
        ("scanned", ["delivered", "opened"], "delivered", []),
        ("complained", ["delivered", "complained"], "delivered", ["marketing", "social"]),
        ("stopped", ["delivered", "stopped"], "delivered", ["channel:email"]),
    ],
)
def test_the_sandbox_plays_receipts(submit: Submit, word: str, kinds: list[str], status: str, held: list[str]) -> None:
    submit(InlineRecipient("sam", {"email": f"{word}@sandbox.test"}), channels=("email",))
    deliver([row.id for row in deliveries(status="queued")])
    assert kept_receipts.apply_due() == 0
    assert [row.status for row in deliveries()] == ["sent"]
    played = []
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(40):
            clock.shift(1)
            kept_receipts.apply_due()
            played += [r.status for r in rows(Receipt) if r.applied_at == now()]
    assert (played, [row.status for row in deliveries()]) == (kinds, [status])
    assert [scope for _, scope, _, _ in suppressed()] == held


def test_what_the_sandbox_says_to_a_test_key_holds_nobody_back(submit: Submit, caller: Caller) -> None:
    bounced = InlineRecipient("~sam", {"email": "bounced@sandbox.test"})
    submit(bounced, caller=replace(caller, is_test=True), channels=("email",))
    deliver([row.id for row in deliveries(status="queued")])
    with time_machine.travel(now() + timedelta(seconds=5), tick=False):
        kept_receipts.apply_due()
    assert ([row.status for row in deliveries()], suppressed()) == (["bounced"], [])


@pytest.mark.parametrize("by", ["delivery_id", "provider_message_id"])
def test_an_event_is_matched_by_our_id_or_by_what_the_provider_called_the_message(
    submit: Submit, acme: Server, client: FlaskClient, by: str
) -> None:
    [row] = sent(submit)
    meant = of(row) if by == "delivery_id" else {"provider_message_id": "acme-1"}
    told = event("delivered", ago=3, **meant)
    assert tell(client, told).status_code == 200
    [after], [kept] = deliveries(), rows(Receipt)
    assert (after.status, after.delivered_at.isoformat()) == ("delivered", told["at"])
    assert (kept.delivery_id, kept.provider, kept.channel, kept.status) == (row.id, "acme", "email", "delivered")
    assert kept.applied_at is not None
    assert kept.wake_at is None


def test_an_event_is_applied_once_however_often_it_comes(submit: Submit, acme: Server, client: FlaskClient) -> None:
    [row] = sent(submit)
    opened = event("opened", "evt-1", **of(row))
    for _ in range(3):
        assert tell(client, opened, opened).status_code == 200
    assert len(rows(Receipt)) == 1
    assert [(t.event, t.count) for t in rows(Tally, event="opened")] == [("opened", 1)]


def test_an_event_about_a_delivery_of_another_account_moves_nothing(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    told = event("bounced", **of(row), provider_message_id="acme-1")
    assert tell(client, told, account="acme2").status_code == 200
    assert tell(client, told, account="acme_sms").status_code == 200
    assert [after.status for after in deliveries()] == ["sent"]
    assert suppressed() == []
    assert {(r.delivery_id, r.applied_at is None) for r in rows(Receipt)} == {(None, False)}


def test_an_account_that_was_tried_before_another_took_over_may_speak(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(provider="acme2", provider_message_id="other"))
    tell(client, event("delivered", **of(row)))
    assert [after.status for after in deliveries()] == ["delivered"]


def test_a_failure_of_the_try_before_does_not_end_the_one_that_was_sent_since(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(tries=2))
    tell(client, event("failed", **of(row), provider_message_id="acme-0"))
    assert [after.status for after in deliveries()] == ["sent"]


def test_what_is_about_nothing_we_know_is_kept_and_moves_nothing(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    sent(submit)
    strange = [
        event("bounced", delivery_id="dlv_" + "0" * 32),
        event("bounced", delivery_id="nonsense"),
        event("bounced", provider_message_id="another"),
        event("complained", address="alice@example.test"),
    ]
    assert tell(client, *strange).status_code == 200
    assert [after.status for after in deliveries()] == ["sent"]
    assert suppressed() == []
    assert [r.applied_at for r in rows(Receipt)] == [None] * 4


# ---- moves and what follows


def test_a_failure_is_a_dead_letter_with_the_providers_word_for_it(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    failed = event("failed", **of(row), code="30007")
    tell(client, failed)
    [after] = deliveries()
    assert (after.status, after.reason, after.outcome, after.code) == ("failed", None, "failed", "30007")
    assert (after.failed_at.isoformat(), after.failed_type) == (failed["at"], "order_shipped")
    assert [(t.channel, t.count) for t in rows(Tally, event="failed")] == [("email", 1)]


def test_rqs_own_tools_list_what_failed_later_and_no_longer_what_was_settled(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    failed = failed_registry(queue_name("email", row.priority))
    tell(client, event("failed", **of(row)))
    assert failed.get_job_ids() == [show("dlv", row.id)]
    with transaction() as session:
        session.execute(sa.text("UPDATE delivery SET status = 'unknown'"))
    tell(client, event("delivered", **of(row)))
    assert failed.get_job_ids() == []


@pytest.mark.parametrize("kind", ["sent", "delivered", "opened", "clicked", "bounced", "failed"])
def test_an_unknown_delivery_is_settled_by_what_its_provider_says(
    submit: Submit, acme: Server, client: FlaskClient, kind: str
) -> None:
    [row] = sent(submit)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(sent_at=None))
        session.execute(sa.text("UPDATE delivery SET status = 'unknown', outcome = 'unknown', code = 'timeout'"))
    told = event(kind, **of(row))
    tell(client, told)
    [after] = deliveries()
    is_good = kind not in ("bounced", "failed")
    assert (after.status, after.outcome, after.code) == (kind, None if is_good else kind, None)
    assert (after.sent_at and after.sent_at.isoformat()) == (told["at"] if is_good else None)


@pytest.mark.parametrize("status", ["waiting", "queued"])
def test_a_retry_is_not_made_when_the_try_before_turns_out_to_have_arrived(
    submit: Submit, acme: Server, client: FlaskClient, status: str
) -> None:
    [row] = sent(submit)
    with transaction() as session:
        session.execute(sa.text(f"UPDATE delivery SET status = '{status}', reason = 'retry', held_for = 'acme'"))
    tell(client, event("delivered", **of(row)))
    [after] = deliveries()
    assert (after.status, after.reason, after.wake_at, after.held_for) == ("delivered", None, None, None)
    deliver([row.id])
    assert len(acme.sent) == 1


def test_what_a_machine_opens_counts_for_nothing(submit: Submit, acme: Server, client: FlaskClient) -> None:
    [row] = sent(submit)
    tell(client, event("opened", **of(row), by="machine"))
    assert [(after.status, after.opened_at) for after in deliveries()] == [("sent", None)]
    assert [r.by for r in rows(Receipt)] == ["machine"]


def test_routing_learns_from_what_people_open(submit: Submit, acme: Server, client: FlaskClient) -> None:
    [row] = sent(submit, routing="best")
    tell(client, event("clicked", **of(row), by="person"))
    tell(client, event("opened", **of(row), by="person"))
    assert [(s.user_id, s.channel, s.sent, s.opened) for s in rows(ChannelScore)] == [("alice", "email", 1, 1)]


def test_the_next_channel_follows_at_once_when_the_escalated_one_has_bounced(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    submit("alice", channels=("email", "sms"), routing="escalate")
    deliver([row.id for row in deliveries(status="queued")])
    [mail] = deliveries(channel="email")
    tell(client, event("bounced", **of(mail)))
    assert {row.channel: row.status for row in deliveries()} == {"email": "bounced", "sms": "queued"}


def test_a_read_ends_the_escalation(submit: Submit, acme: Server, client: FlaskClient) -> None:
    submit("alice", channels=("email", "sms"), routing="escalate")
    deliver([row.id for row in deliveries(status="queued")])
    [mail] = deliveries(channel="email")
    tell(client, event("opened", **of(mail), by="person"))
    assert {row.channel: row.status for row in deliveries()} == {"email": "opened", "sms": "skipped"}


def test_every_delivery_counts_once_as_delivered_and_as_opened(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    for kind in ("opened", "delivered", "clicked", "opened"):
        tell(client, event(kind, **of(row)))
    counted = {t.event: t.count for t in rows(Tally) if t.event in ("delivered", "opened", "sent")}
    assert counted == {"sent": 1, "delivered": 1, "opened": 1}


def test_the_number_of_statements_does_not_depend_on_the_number_of_events(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    people = [InlineRecipient(f"p{n}", {"email": f"p{n}@x.test"}) for n in range(21)]
    mails = sent(submit, *people)
    kinds = ("delivered", "bounced", "complained", "unsubscribed")

    def asked(some: list[Delivery]) -> list[str]:
        events = [event(kind, **of(row)) for row in some for kind in kinds]
        with sent_statements() as statements:
            assert tell(client, *events).status_code == 200
        return [statement.split()[0] for statement in statements]

    few, many = asked(mails[:1]), asked(mails[1:])
    assert few == many


def test_no_table_that_grows_is_read_from_end_to_end(
    submit: Submit, acme: Server, client: FlaskClient, database_url: str
) -> None:
    """As SQLite says; PostgreSQL reads small tables as it likes."""
    if not database_url.startswith("sqlite"):
        pytest.skip("asked of SQLite")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            asked.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    submit("alice", channels=("email",), type="newsletter", data={"title": "T", "body": "B"})
    [row] = deliveries()
    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        deliver([row.id])
        tell(client, event("delivered", **of(row)), event("bounced", provider_message_id="acme-1"), event("opened"))
        tell(client, event("unsubscribed", **of(row)), event("stopped", address="+4915112345678"))
        tell(client, event("clicked", **of(row)), account="acme2")
        with time_machine.travel(now() + timedelta(seconds=5), tick=False):
            kept_receipts.apply_due()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    growing = ("receipt", "delivery", "notification", "attempt", "address", "suppression")
    with db.engine.connect() as connection:
        plans = [
            (line[-1], statement)
            for statement, parameters in asked
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert len(plans) > 20
    assert [plan for plan in plans if plan[0].startswith(tuple(f"SCAN {name}" for name in growing))] == []


# ---- races


def at_once(app: APIFlask, *works: Callable[[], Any]) -> list[Any]:
    """What each answers, run on threads that begin together."""
    ready = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        with app.app_context():
            ready.wait()
            return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.parametrize("by", ["delivery_id", "provider_message_id"])
def test_whichever_is_first_the_record_or_the_receipt_the_delivery_has_arrived(
    app: APIFlask, submit: Submit, acme: Server, client: FlaskClient, by: str
) -> None:
    people = [InlineRecipient(f"p{n}", {"email": f"p{n}@x.test"}) for n in range(8)]
    for _ in range(4):
        known = {row.id for row in deliveries()}
        submit(*people, channels=("email",))
        tasks, _ = begin([row.id for row in deliveries() if row.id not in known])
        for task in tasks:
            send(task)
        told = [
            event("delivered", **({by: reference} if by == "delivery_id" else {by: message_id}))
            for _, reference, message_id in acme.sent[-len(people) :]
        ]
        db.session.close()
        _, answer = at_once(app, lambda tasks=tasks: record(tasks), lambda told=told: tell(app.test_client(), *told))
        assert answer.status_code == 200
    with time_machine.travel(now() + timedelta(seconds=5), tick=False):
        kept_receipts.apply_due()
    assert {row.status for row in deliveries()} == {"delivered"}
    assert {r.applied_at is None for r in rows(Receipt)} == {False}


def test_calls_that_repeat_each_other_at_the_same_time_are_applied_once(
    app: APIFlask, submit: Submit, acme: Server
) -> None:
    people = [InlineRecipient(f"p{n}", {"email": f"p{n}@x.test"}) for n in range(8)]
    mails = sent(submit, *people)
    told = [event(kind, **of(row)) for row in mails for kind in ("opened", "bounced", "delivered")]

    def say(events: list[dict[str, Any]]) -> int:
        # Not by the door: its group would make one batch of them
        receipts.take([receipts.Call("acme", "email", tuple(map(read, events)), now())])
        return len(events)

    db.session.close()
    at_once(app, *[lambda turn=turn: say(told[turn:] + told[:turn]) for turn in (0, 7, 15, 20)])
    counted: Counter[str] = Counter()
    for tally in rows(Tally):
        counted[tally.event] += tally.count
    assert len(rows(Receipt)) == len(told)
    assert (counted["delivered"], counted["opened"], counted["failed"]) == (len(mails), len(mails), 0)


# ---- kept


def test_an_event_that_comes_while_its_delivery_is_being_sent_is_applied_when_that_is_recorded(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    answers = []

    def at_once(_to: str, reference: str, message_id: str) -> None:
        told = [event("delivered", delivery_id=reference), event("opened", provider_message_id=message_id)]
        answers.append(tell(client, *told).status_code)

    acme.when_sent = at_once
    [row] = sent(submit)
    assert answers == [200]
    assert row.status == "opened"
    assert {(r.delivery_id, r.applied_at is None) for r in rows(Receipt)} == {(row.id, False)}


def test_recording_asks_once_for_kept_ones_and_not_at_all_where_nothing_is_told(
    submit: Submit, acme: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> int:
        submit("alice", "bob", "carol", channels=("email",), type="order_shipped")
        tasks, _ = begin([row.id for row in deliveries(status="queued")])
        for task in tasks:
            send(task)
        with sent_statements() as statements:
            record(tasks)
        return sum("FROM receipt" in statement for statement in statements)

    assert asked() == 1
    for adapter in (Acme, AcmeSms, AcmeWhatsapp):
        monkeypatch.setattr(adapter, "tells", ())
    assert asked() == 0


@pytest.mark.usefixtures("wakeful_cast")
def test_a_worker_that_is_killed_between_acceptance_and_record_leaves_it_to_the_receipt(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    """Whether that comes before the lease has lapsed, or after."""
    submit("alice", "bob", channels=("email",), type="newsletter", data={"title": "T", "body": "B"})
    tasks, _ = begin([row.id for row in deliveries(status="queued")])
    for task in tasks:
        send(task)
    first, second = deliveries()
    tell(client, event("delivered", **of(first)))
    assert [row.status for row in deliveries()] == ["sending", "sending"]
    with time_machine.travel(now() + timedelta(minutes=1), tick=False), transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now() - timedelta(minutes=2)))
    lapsed.free_lapsed()
    assert {row.id: row.status for row in deliveries()} == {first.id: "delivered", second.id: "unknown"}
    tell(client, event("sent", **of(second)))
    assert {row.id: row.status for row in deliveries()} == {first.id: "delivered", second.id: "sent"}
    assert len(acme.sent) == 2


def test_a_lapsed_delivery_is_no_business_of_another_channels_accounts(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    submit("alice", channels=("email",), type="newsletter", data={"title": "T", "body": "B"})
    begin([row.id for row in deliveries(status="queued")])
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now() - timedelta(minutes=2)))
    lapsed.free_lapsed()
    [row] = deliveries()
    assert row.status == "unknown"
    tell(client, event("delivered", **of(row)), account="acme_sms")
    assert [row.status for row in deliveries()] == ["unknown"]


def test_the_scheduler_looks_again_for_longer_and_longer_and_then_no_more(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    started = now()
    with time_machine.travel(started, tick=False) as clock:
        sent(submit)
        tell(client, event("delivered", "late", provider_message_id="acme-9"), event("opened", "nobodys"))
        assert kept_receipts.apply_due() == 0
        with transaction() as session:
            session.execute(sa.update(Delivery).values(provider_message_id="acme-9"))
        looks = []
        while due := [r.wake_at for r in rows(Receipt) if r.wake_at]:
            clock.move_to(min(due))
            looks.append(kept_receipts.apply_due())
        assert looks[0] == 2
        assert set(looks[1:]) == {1}
        assert len(looks) < 20
        assert [after.status for after in deliveries()] == ["delivered"]
        assert now() - started > timedelta(days=1)
        clock.move_to(started + kept_receipts.KEPT + timedelta(days=1))
        assert kept_receipts.prune() == 1
    assert [r.event_id for r in rows(Receipt)] == ["late"]


# ---- addresses


def test_a_hard_bounce_switches_the_address_off_for_everything(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    tell(client, event("bounced", **of(row), code="550", address="alice@example.test"))
    [address] = rows(Address, user_id="alice", channel="email")
    assert (address.disabled_reason, suppressed()) == ("550", [("email", "*", "550", "acme")])
    assert sent(submit)[0].reason == "no_address"


def test_a_bounce_of_an_address_that_has_been_replaced_leaves_the_new_one_alone(
    submit: Submit, acme: Server, client: FlaskClient, api: Any
) -> None:
    [row] = sent(submit)
    assert api.patch("/api/v1/users/alice", {"email": "alina@example.test"}).status_code == 200
    tell(client, event("bounced", **of(row), address="alice@example.test"))
    assert (deliveries()[0].status, suppressed()) == ("bounced", [])


def test_a_bounce_from_before_an_address_was_confirmed_is_no_news(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit)
    with transaction() as session:
        session.execute(sa.update(Address).values(revived_at=now()))
    tell(client, event("bounced", **of(row), ago=60))
    assert (deliveries()[0].status, suppressed()) == ("bounced", [])


def test_a_complaint_holds_marketing_and_social_and_never_what_somebody_waits_for(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit, type="newsletter", data={"title": "T", "body": "B"})
    tell(client, event("complained", **of(row)))
    assert suppressed() == [
        ("email", "marketing", "complained", "acme"),
        ("email", "social", "complained", "acme"),
    ]
    [newsletter] = sent(submit, type="newsletter", data={"title": "T", "body": "C"})
    [reset] = sent(submit, type="password_reset", data={"url": "https://x.test/r"})
    [order] = sent(submit)
    assert (newsletter.status, newsletter.reason) == ("skipped", "suppressed")
    assert (reset.status, order.status) == ("sent", "sent")


def test_stop_ends_the_channel_for_that_number_and_no_other_that_borrows_it(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    stop = event("stopped", "s1", ago=10, address="+4915112345678")
    assert tell(client, stop, account="acme_sms").status_code == 200
    assert suppressed() == [("sms", "channel:sms", "stopped", "acme_sms")]
    assert [(r.status, r.reason) for r in sent(submit, channel="sms")] == [("skipped", "suppressed")]
    assert [r.status for r in sent(submit, channel="whatsapp")] == ["sent"]
    tell(client, event("started", "s2", ago=5, address="+4915112345678"), account="acme_sms")
    assert suppressed() == []
    assert [r.status for r in sent(submit, channel="sms")] == ["sent"]
    tell(client, event("stopped", "s0", ago=20, address="+4915112345678"), account="acme_sms")
    assert suppressed() == []  # it was said before the START, and only came later


def test_stop_to_whatsapp_ends_whatsapp(submit: Submit, acme: Server, client: FlaskClient) -> None:
    tell(client, event("stopped", address="+49 1511 2345678"), account="acme_whatsapp")
    assert suppressed() == [("sms", "channel:whatsapp", "stopped", "acme_whatsapp")]


def test_an_earlier_stop_to_a_channel_that_is_gone_is_left_as_it_is(acme: Server, client: FlaskClient) -> None:
    tell(client, event("stopped", "s1", address="+4915112345678"), account="acme_whatsapp")
    with transaction() as session:
        session.execute(sa.update(Receipt).values(channel="pigeon"))
    stop = event("stopped", "s2", address="+4915112345678")
    assert tell(client, stop, account="acme_sms").status_code == 200
    assert ("sms", "channel:sms", "stopped", "acme_sms") in suppressed()


def test_stop_of_no_number_stops_nobody(acme: Server, client: FlaskClient) -> None:
    assert tell(client, event("stopped", address="nonsense"), event("started"), account="acme_sms").status_code == 200
    assert suppressed() == []


def test_a_send_that_is_refused_since_they_said_stop_holds_the_channel_and_keeps_the_address(
    submit: Submit, acme: Server
) -> None:
    acme.answer = {"stopped": True}
    [row] = sent(submit, channel="sms")
    assert (row.status, row.outcome, row.code) == ("failed", "opted_out", "21610")
    assert suppressed() == [("sms", "channel:sms", "stopped", "acme_sms")]
    assert [a.disabled_at for a in rows(Address, user_id="alice", channel="sms")] == [None]


def test_a_number_that_is_not_on_whatsapp_takes_sms_all_the_same(
    submit: Submit, acme: Server, client: FlaskClient
) -> None:
    [row] = sent(submit, channel="whatsapp")
    tell(client, event("bounced", **of(row)), account="acme_whatsapp")
    assert suppressed() == [("sms", "channel:whatsapp", "bounced", "acme_whatsapp")]
    assert [a.disabled_at for a in rows(Address, user_id="alice", channel="sms")] == [None]
    assert [(r.status, r.reason) for r in sent(submit, channel="whatsapp")] == [("skipped", "suppressed")]
    assert [r.status for r in sent(submit, channel="sms")] == ["sent"]


def test_a_number_that_whatsapp_refuses_as_dead_takes_sms_all_the_same(submit: Submit, acme: Server) -> None:
    acme.answer = {"dead": True}
    assert [r.status for r in sent(submit, channel="whatsapp")] == ["failed"]
    assert suppressed() == [("sms", "channel:whatsapp", "dead", "acme_whatsapp")]
    acme.answer = {}
    assert [r.status for r in sent(submit, channel="sms")] == ["sent"]


def test_who_unsubscribes_at_the_provider_has_chosen_so(submit: Submit, acme: Server, client: FlaskClient) -> None:
    [row] = sent(submit, type="newsletter", data={"title": "T", "body": "B"})
    tell(client, event("unsubscribed", **of(row)))
    [choice] = rows(Preference, user_id="alice")
    assert choice.document["categories"] == {"marketing": {"email": False}}
    [line] = rows(ConsentEvent, user_id="alice", source="provider")
    assert line.change == {"choice": "categories.marketing.email", "from": None, "to": False}
    assert suppressed() == []


def test_an_address_of_nobodys_that_unsubscribes_is_suppressed_for_that_category(
    submit: Submit, acme: Server, client: FlaskClient, caller: Caller
) -> None:
    given = InlineRecipient("alice", {"email": "a@elsewhere.test"})
    strange = replace(caller, may_change_people=False)
    [row] = sent(submit, given, caller=strange, type="newsletter", data={"title": "T", "body": "B"})
    assert row.address_id is None
    tell(client, event("unsubscribed", **of(row)))
    assert [(s.digest, s.scope, s.reason, s.provider) for s in rows(Suppression)] == [
        (digest_of("email", "a@elsewhere.test"), "marketing", "unsubscribed", "acme")
    ]
    assert rows(ConsentEvent, source="provider") == []


def test_an_address_that_only_came_along_is_known_in_small_letters_too(
    submit: Submit, acme: Server, client: FlaskClient, caller: Caller
) -> None:
    given = InlineRecipient("alice", {"email": "Ann.Lee@elsewhere.test"})
    [row] = sent(submit, given, caller=replace(caller, may_change_people=False))
    assert row.address_id is None
    tell(client, event("bounced", **of(row), address="ann.lee@elsewhere.test"))
    assert [(s.digest, s.scope) for s in rows(Suppression)] == [(digest_of("email", "Ann.Lee@elsewhere.test"), "*")]


def test_nobody_unsubscribes_from_what_they_wait_for(submit: Submit, acme: Server, client: FlaskClient) -> None:
    [row] = sent(submit)
    tell(client, event("unsubscribed", **of(row)))
    assert (suppressed(), rows(ConsentEvent, source="provider")) == ([], [])


def test_test_keys_never_touch_what_holds_for_live_ones(
    submit: Submit, acme: Server, client: FlaskClient, caller: Caller
) -> None:
    zoe = InlineRecipient("~zoe", {"email": "alice@example.test"})
    submit(zoe, channels=("email",), caller=replace(caller, is_test=True))
    deliver([row.id for row in deliveries(status="queued")])
    with transaction() as session:
        session.execute(sa.update(Delivery).values(provider="acme"))
        session.execute(sa.update(Attempt).values(provider="acme"))
    [row] = deliveries()
    tell(client, *[event(kind, **of(row)) for kind in ("bounced", "complained", "unsubscribed", "opened")])
    assert suppressed() == []
    assert rows(Tally) == []
