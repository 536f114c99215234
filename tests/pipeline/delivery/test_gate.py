"""The last gate before what costs money: a producer's daily spend, first-time numbers, and countries."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, keys, producer_limits
from notifier.channels import serving
from notifier.channels.serving import Account
from notifier.core.segments import Price
from notifier.core.spend import MOST, Ceiling
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import kept
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Delivery, EventType, LimitStop, Notification, SpendDay, SpendEntry, User
from notifier.people import preferences, profiles
from notifier.pipeline.delivery import deliver as delivering
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake import own
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import due, lapsed, limit_alarms
from tests.stored import deliveries, missing, rows, sent_statements

Submit = Callable[..., Any]
CENTS = 10_000  # millionths
SMS: dict[str, Any] = {"type": "order_shipped", "data": {"order_id": "A1"}, "channels": ("sms",)}


class Twilio:
    """Takes messages, or answers with `status`. `taken`: the numbers that were called or texted."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.status = 201
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                if outer.status == 201:
                    outer.taken.append(form["To"])
                body = b'{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}'
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def twilio(app: APIFlask) -> Iterator[Twilio]:
    server = Twilio()
    options = {
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "TWILIO_FROM": "+15005550006",
        "TWILIO_WHATSAPP_FROM": "+15005550006",
        "TWILIO_URL": f"http://127.0.0.1:{server.http.server_port}",
    }
    adapters = {"texts": "twilio", "calls": "twilio_voice", "chats": "twilio_whatsapp"}
    serving.registry().configure([Account(name, adapter, options) for name, adapter in adapters.items()])
    yield server
    serving.registry().configure(())
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def allow(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`allow(spend_limit=…)`: other settings, and both prices: 10 cents."""

    def change(**settings: Any) -> None:
        price = Price(Decimal("0.10"), "EUR")
        known = {"sms_segment_price": price, "voice_call_price": price, **settings}
        monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], **known))

    return change


def text(submit: Submit, *numbers: str, order: str = "A1", **fields: Any) -> list[tuple[str, str | None]]:
    """One SMS to each; → what became of them."""
    before = len(deliveries())
    for number in numbers:
        submit(met(number), **{**SMS, "data": {"order_id": order}, **fields})
    send()
    return [(row.status, row.reason) for row in deliveries()[before:]]


def met(number: str, **changes: str) -> str:
    """Somebody with this phone, who wants everything."""
    person = f"p{number[1:]}"
    if not rows(User, id=person):
        with transaction():
            profiles.upsert([InlineRecipient(person, {"phone": number, **changes})])
        wanted = {"channels": dict.fromkeys(("sms", "voice", "whatsapp", "email"), True)}
        preferences.change(person, wanted, replace=True, source="test")
    return person


def send() -> None:
    delivering.deliver([row.id for row in deliveries() if row.status == "queued"])


def spent() -> list[int]:
    return [row.amount for row in rows(SpendDay)]


GONE, STOPPED, NEW = ("sent", None), ("skipped", "spend_limit"), ("skipped", "new_phones")
ONE, TWO, THREE = "+4915112345601", "+4915212345602", "+4915312345603"


def test_what_a_producer_may_spend_in_a_day_is_not_passed(
    app: APIFlask, submit: Submit, caller: Caller, twilio: Twilio, allow: Callable[..., None]
) -> None:
    """By segments; a raise lets it go on, a new day begins anew, and another producer has its own."""
    assert caller.producer_id is not None
    allow(spend_limit=Ceiling(35 * CENTS, "EUR"))
    assert text(submit, ONE, TWO) == [GONE, GONE]
    assert text(submit, THREE, order="Ж" * 60) == [STOPPED]  # two segments, and room for one
    assert text(submit, THREE) == [GONE]
    assert text(submit, ONE, channels=("voice",)) == [STOPPED]
    assert (spent(), rows(SpendEntry), len(twilio.taken)) == ([30 * CENTS], [], 3)
    [stop] = rows(LimitStop)
    assert (stop.policy, stop.producer_id, stop.subject) == ("spend", caller.producer_id, "")

    producer_limits.raise_for_today(caller.producer_id, "0.05")
    assert sorted(text(submit, ONE, ONE)) == [GONE, STOPPED]  # a batch has no order
    producer_limits.change(caller.producer_id, {"daily_spend": "0.50"})  # its own, and what was raised
    assert sorted(text(submit, ONE, ONE)) == [GONE, STOPPED]
    producer_limits.change(caller.producer_id, {"daily_spend": None})
    other = replace(caller, producer_id=keys.create_producer("Other").id)
    assert text(submit, ONE, caller=other) == [GONE]
    with time_machine.travel(now() + timedelta(days=1), tick=False):
        assert text(submit, ONE) == [GONE]
    assert sorted(spent()) == [10 * CENTS, 10 * CENTS, 50 * CENTS]


@pytest.mark.parametrize(
    ("prices", "fates", "amounts"),
    [({}, [GONE, GONE], []), ({"whatsapp": Price(Decimal("0.07"), "EUR")}, [GONE, STOPPED], [7 * CENTS])],
)
def test_whatsapp_counts_where_its_price_is_known(
    app: APIFlask,
    submit: Submit,
    twilio: Twilio,
    allow: Callable[..., None],
    prices: dict[str, Price],
    fates: list[Any],
    amounts: list[int],
) -> None:
    """New numbers are those that are texted or called."""
    allow(spend_limit=Ceiling(10 * CENTS, "EUR"), message_prices=prices, new_phones_limit="0/hour")
    assert [text(submit, phone, channels=("whatsapp",))[0] for phone in (ONE, TWO)] == fates
    assert [amount for amount in spent() if amount] == amounts


def test_what_is_stopped_goes_to_the_next_channel(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(0, "EUR"))
    submit(met(ONE, email="eve@sandbox.test"), **{**SMS, "channels": ("sms", "email")}, routing="first")
    send()
    send()
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("sms", *STOPPED),
        ("email", "delivered", None),
    ]


def test_only_what_may_have_gone_out_is_spent(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    """A refusal is given back; a try whose worker died is counted, since it may have gone out, and its repeat too."""
    allow(spend_limit=Ceiling(100 * CENTS, "EUR"))
    twilio.status = 400
    assert text(submit, ONE) == [("failed", None)]
    twilio.status = 504  # nobody knows
    text(submit, TWO)
    assert (spent(), rows(SpendEntry)) == ([10 * CENTS], [])
    twilio.status = 201

    submit(met(THREE), **SMS)
    key = next(row.id for row in deliveries() if row.status == "queued")
    [task], _ = delivering.begin([key])
    assert (spent(), len(rows(SpendEntry))) == ([20 * CENTS], 1)
    delivering.send(task)
    record([task])
    record([task])  # whoever comes late changes nothing
    assert (spent(), rows(SpendEntry)) == ([20 * CENTS], [])


def test_a_worker_that_dies_leaves_its_try_counted_once(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(100 * CENTS, "EUR"))
    submit(met(ONE), **SMS)
    [key] = [row.id for row in deliveries()]
    delivering.begin([key])  # and dies: the type is sent again
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now() - timedelta(minutes=2)))
    lapsed.free_lapsed()
    assert [row.status for row in deliveries()] == ["queued"]
    send()
    assert [row.status for row in deliveries()] == ["sent"]
    assert (spent(), len(rows(SpendEntry)), len(twilio.taken)) == ([20 * CENTS], 1, 1)


def test_what_cannot_be_counted_is_held_up_and_tried_again(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    """It has been claimed, and has surely not gone out; a neighbour that costs nothing does go out."""
    allow(spend_limit=Ceiling(100 * CENTS, "EUR"))
    submit(met(ONE, email="eve@sandbox.test"), **{**SMS, "channels": ("sms", "email")})
    with missing("spend_entry"):
        send()
    found = {row.channel: (row.status, row.reason, row.code) for row in deliveries()}
    assert found == {"sms": ("waiting", "retry", "internal_error"), "email": ("delivered", None, None)}
    assert (twilio.taken, spent()) == ([], [])
    with time_machine.travel(now() + timedelta(minutes=5), tick=False):
        due.ring_due()
        send()
    assert (twilio.taken, spent(), rows(SpendEntry)) == ([ONE], [10 * CENTS], [])


def test_two_workers_never_both_use_the_last_of_a_ceiling(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(50 * CENTS, "EUR"))
    for number in range(10):
        submit(met(f"+49151123456{number:02}"), **SMS)
    ids = [row.id for row in deliveries()]

    def work(some: list[UUID]) -> None:
        with app.app_context():
            delivering.deliver(some)

    threads = [threading.Thread(target=work, args=(ids[start::2],)) for start in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.status for row in deliveries()) == ["sent"] * 5 + ["skipped"] * 5
    assert (spent(), len(twilio.taken)) == ([50 * CENTS], 5)


def test_a_producers_alerts_to_admins_cost_it_and_the_products_own_pass(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(0, "EUR"))
    accounts.create_account("root@x.test", None, role="admin", user_id=met(ONE))
    submit(met(ONE), type="fraud_alert", data={"order_id": "A1", "reason": "velocity"}, channels=("sms",))
    send()
    assert [(row.status, row.reason) for row in deliveries()] == [STOPPED]
    told = {"summary": "No worker runs", "state": "firing"}
    own.submit(Submission("monitoring_alert", (InlineRecipient("admins"),), told, channels=("sms",)))
    send()
    assert twilio.taken == [ONE]


def test_without_a_known_price_a_ceiling_lets_nothing_pass(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(MOST, "EUR"), sms_segment_price=None)
    assert text(submit, ONE) == [STOPPED]
    allow(spend_limit=None, sms_segment_price=None, voice_call_price=None)
    assert text(submit, ONE) == [GONE]


def test_a_batch_costs_the_same_statements_whatever_its_size(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None]
) -> None:
    allow(spend_limit=Ceiling(15 * CENTS, "EUR"))
    counts = []
    text(submit, ONE)
    for many in ((ONE, TWO), tuple(f"+49151{number}2345678" for number in range(6))):
        for number in many:
            submit(met(number), **SMS)
        with transaction() as session:
            session.query(SpendDay).delete()
        ids = [row.id for row in deliveries() if row.status == "queued"]
        with sent_statements() as statements:
            delivering.deliver(ids)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_no_transaction_is_open_while_sending(app: APIFlask, submit: Submit, twilio: Twilio) -> None:
    submit(met(ONE), **SMS)
    ids = [row.id for row in deliveries() if row.status == "queued"]
    claimed, _ = delivering.claim(ids)
    app.extensions.pop("producer_limits")  # they are read anew
    assert delivering.gate.pay(claimed) == (claimed, [])
    assert not db.session().in_transaction()


def test_many_new_numbers_of_one_block_are_stopped(
    app: APIFlask, submit: Submit, caller: Caller, twilio: Twilio, allow: Callable[..., None]
) -> None:
    """By producer, block and window; numbers that are known longer, broadcasts and repeats are none of them."""
    allow(new_phones_limit="2/hour")
    block = [f"+4915112340{number:03}" for number in range(5)]
    assert text(submit, *block[:2]) == [GONE, GONE]
    assert text(submit, block[2]) == [NEW]
    assert text(submit, block[0], block[2], "+4915198760001") == [GONE, NEW, GONE]
    assert text(submit, block[2], block[2]) == [NEW, NEW]  # at once, which makes it no repeat
    other = replace(caller, producer_id=keys.create_producer("Other").id)
    assert text(submit, block[3], caller=other) == [GONE]
    [stop] = rows(LimitStop)
    assert (stop.policy, stop.producer_id, stop.subject) == ("new_phones", caller.producer_id, "+491511234")
    with time_machine.travel(now() + timedelta(hours=1), tick=False):
        assert text(submit, block[2]) == [GONE]
    with time_machine.travel(now() + timedelta(hours=25), tick=False):  # on record for a day
        assert text(submit, block[0], block[1], block[2], block[3]) == [GONE] * 4


def test_without_redis_each_process_guards_by_itself(
    app: APIFlask, submit: Submit, twilio: Twilio, allow: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError

    allow(new_phones_limit="2/hour")
    monkeypatch.setattr(redis_store.client, "eval", away)
    block = [f"+4915112340{number:03}" for number in range(4)]
    assert text(submit, *block[:2]) == [GONE, GONE]
    assert text(submit, *block[2:], block[3]) == [NEW, NEW, NEW]
    assert text(submit, block[0], block[3]) == [GONE, NEW]


def test_only_phones_of_the_countries_on_all_lists_are_reached(
    app: APIFlask, submit: Submit, caller: Caller, twilio: Twilio, allow: Callable[..., None]
) -> None:
    assert caller.producer_id is not None
    german, austrian, american, satellite = ONE, "+436641234567", "+14155552671", "+881612345678"
    refused = ("skipped", "country_not_allowed")
    assert text(submit, german, austrian, american, satellite) == [GONE] * 4
    allow(phone_countries=frozenset({"DE", "AT"}))
    assert text(submit, german, austrian, american, satellite) == [GONE, GONE, refused, refused]
    assert deliveries()[-2].detail == {"because": "installation", "country": "US"}
    producer_limits.change(caller.producer_id, {"phone_countries": ["de", "us"]})
    assert text(submit, german, austrian, american) == [GONE, refused, refused]
    assert [row.detail["because"] for row in deliveries()[-2:]] == ["producer", "installation"]
    assert text(submit, austrian, channels=("voice",)) == [refused]
    assert text(submit, "+15550100000") == [("delivered", None)]  # simulated


def test_admins_are_told_once_of_what_was_stopped(
    app: APIFlask, submit: Submit, caller: Caller, twilio: Twilio, allow: Callable[..., None]
) -> None:
    accounts.create_account("root@x.test", "a long password", role="admin", user_id="root")
    allow(spend_limit=Ceiling(0, "EUR"), new_phones_limit="0/hour")
    text(submit, ONE, TWO)
    allow(new_phones_limit="100/hour")
    text(submit, ONE, TWO)
    assert [limit_alarms.tell() for _ in range(2)] == [3, 0]
    told = [row for row in rows(Notification, type="limit_reached") if row.user_id == "root"]
    assert sorted((row.data["limit"], row.data["producer"], row.data.get("block")) for row in told) == [
        ("new_phones", "Shop", "+491511234"),
        ("new_phones", "Shop", "+491521234"),
        ("spend", "Shop", None),
    ]
    text(submit, THREE)
    assert limit_alarms.tell() == 0
    with time_machine.travel(now() + timedelta(days=1), tick=False):
        text(submit, THREE)
        assert limit_alarms.tell() == 1


def test_what_admins_cannot_be_told_of_is_not_tried_for_ever(
    app: APIFlask, submit: Submit, caller: Caller, twilio: Twilio, allow: Callable[..., None]
) -> None:
    """By a schema of the type that somebody has changed: the next limits are told of."""
    allow(spend_limit=Ceiling(0, "EUR"))
    text(submit, ONE)
    [type_] = rows(EventType, key="limit_reached")
    with transaction() as session:
        schema = {**type_.schema, "required": ["a name that nobody knows"]}
        session.execute(sa.update(EventType).where(EventType.key == type_.key).values(schema=schema))
    kept.forget()
    assert [limit_alarms.tell() for _ in range(2)] == [1, 0]
    with transaction() as session:
        session.execute(sa.update(EventType).where(EventType.key == type_.key).values(schema=type_.schema))
    kept.forget()
