"""What people add is theirs once they have entered its code; a browser as soon as it has switched push on."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import address_codes
from notifier.access.address_codes import MOST_TRIES
from notifier.channels import serving
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Address, AddressCode, ConsentEvent, Delivery, Notification, Suppression
from notifier.people import addresses, profiles
from notifier.people.addresses import MOST_ADDRESSES
from notifier.people.suppressions import UNSUBSCRIBED
from notifier.pipeline.delivery.deliver import deliver
from notifier.queries import preferences, users
from tests.channels.conftest import Authority, Sink
from tests.channels.pushing import Browser
from tests.conftest import Api
from tests.stored import deliveries, rows

NEW = "alice@home.test"


@pytest.fixture(autouse=True)
def _people(cast: dict[str, str]) -> None:
    pass


def codes() -> list[str]:
    """All that were sent, oldest first: what their receivers read."""
    db.session.close()
    data = db.session.scalars(
        sa.select(Notification.data).where(Notification.type == address_codes.CODE_TYPE).order_by(Notification.id)
    ).all()
    return [entry["code"] for entry in data]


def add(user_id: str = "alice", channel: str = "email", value: str = NEW, label: str | None = None) -> UUID:
    return address_codes.add_own(user_id, channel, value, label=label).id


def add_confirmed(user_id: str = "alice", channel: str = "email", value: str = NEW) -> UUID:
    key = add(user_id, channel, value)
    address_codes.confirm(user_id, key, codes()[-1])
    return key


def read(key: UUID) -> Address:
    [found] = rows(Address, id=key)
    return found


def refused(call: Any, *arguments: Any, **named: Any) -> list[tuple[str, str]]:
    """What it is refused with: pointer and code of each fault, or the code of the whole."""
    with pytest.raises(Rejected) as caught:
        call(*arguments, **named)
    return [(fault.pointer, fault.code) for fault in caught.value.faults] or [("", caught.value.code)]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06}"


# ---- codes ----------------------------------------------------------------------------------------------------------


def test_a_new_address_gets_its_code_and_nothing_else(submit: Any) -> None:
    key = add("dave")
    submit("dave", channels=("email",))
    [code, order] = deliveries()
    assert (code.channel, code.address_id, code.status, code.priority) == ("email", key, "queued", "urgent")
    assert (order.status, order.reason) == ("skipped", "no_address")
    assert read(key).verified_at is None


def test_the_code_is_read_in_the_message_and_in_no_row_of_its_own() -> None:
    key = add()
    [delivery] = deliveries()
    [outcome] = deliver([delivery.id])
    assert outcome.status == "delivered"
    [code] = codes()
    assert re.fullmatch(r"[0-9]{6}", code)
    [row] = rows(AddressCode)
    assert code.encode() not in bytes(row.digest)
    assert (row.address_id, row.tries, row.expires_at - row.created_at) == (key, 0, timedelta(minutes=10))


def test_a_code_passes_what_the_person_has_switched_off_and_the_hours_they_keep_quiet() -> None:
    address_codes.add_own("carol", "email", NEW, label=None)  # carol has switched e-mail off
    assert [delivery.status for delivery in deliveries()] == ["queued"]


@pytest.mark.parametrize(
    ("channel", "value"),
    [
        ("email", NEW),
        ("sms", "+4915112345611"),
        ("webhook", "https://hooks.home.test/alice"),
        ("slack", "https://hooks.slack.test/services/T0/B0/x"),
    ],
)
def test_a_code_confirms_an_address_of_every_kind_a_person_can_type(channel: str, value: str, submit: Any) -> None:
    key = add_confirmed("dave", channel, value)
    addresses_used = {delivery.address_id for delivery in deliveries() if delivery.channel == channel}
    assert addresses_used == {key}
    assert None not in (read(key).verified_at, read(key).confirmed_at)
    assert rows(AddressCode) == []


def test_a_confirmed_address_is_written_to(submit: Any) -> None:
    key = add_confirmed("dave")
    submit("dave", channels=("email",))
    assert [(delivery.address_id, delivery.status) for delivery in deliveries()] == [(key, "queued")] * 2


def test_a_code_is_for_the_address_it_was_sent_to_and_not_for_what_a_producer_makes_of_it() -> None:
    [primary] = rows(Address, user_id="alice", channel="email")
    with transaction() as session:
        session.execute(
            sa.update(Address).where(Address.id == primary.id).values(disabled_at=now(), disabled_reason="bounced")
        )
    address_codes.send_code("alice", primary.id)
    [code] = codes()
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"email": "evil@example.test"})])
    assert refused(address_codes.confirm, "alice", primary.id, code) == [("/code", "code_expired")]
    assert read(primary.id).confirmed_at is None


def test_the_code_may_be_typed_with_spaces() -> None:
    key = add()
    [code] = codes()
    address_codes.confirm("alice", key, f" {code[:3]} {code[3:]} ")
    assert read(key).verified_at is not None


@pytest.mark.parametrize("given", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "\x00", "0" * 10_000])
def test_what_is_not_the_code_is_refused(given: str) -> None:
    key = add()
    assert refused(address_codes.confirm, "alice", key, given) == [("/code", "wrong_code")]
    assert read(key).verified_at is None


def test_the_sixth_try_is_refused_though_it_is_right() -> None:
    key = add()
    [code] = codes()
    for _ in range(MOST_TRIES):
        assert refused(address_codes.confirm, "alice", key, wrong(code)) == [("/code", "wrong_code")]
    assert refused(address_codes.confirm, "alice", key, code) == [("/code", "code_expired")]
    assert read(key).verified_at is None


def test_guessing_at_once_gives_no_more_tries(app: APIFlask) -> None:
    key = add()
    [code] = codes()

    def guess(_: int) -> list[tuple[str, str]]:
        with app.app_context():
            return refused(address_codes.confirm, "alice", key, wrong(code))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(16)))
    assert sorted(answers) == [[("/code", "code_expired")]] * 11 + [[("/code", "wrong_code")]] * 5


def test_a_new_code_gives_new_tries_and_ends_the_old_one() -> None:
    key = add()
    for _ in range(MOST_TRIES):
        refused(address_codes.confirm, "alice", key, wrong(codes()[0]))
    address_codes.send_code("alice", key)
    first, second = codes()
    assert refused(address_codes.confirm, "alice", key, first) == [("/code", "wrong_code")]
    address_codes.confirm("alice", key, second)
    assert read(key).verified_at is not None


def test_a_code_counts_for_ten_minutes(time_machine: Any) -> None:
    key = add()
    time_machine.move_to(now() + timedelta(minutes=10), tick=False)
    assert refused(address_codes.confirm, "alice", key, codes()[0]) == [("/code", "code_expired")]


def test_the_code_of_another_address_is_none() -> None:
    one, other = add(), add(value="alice@work.test")
    _, its = codes()
    assert refused(address_codes.confirm, "alice", one, its) == [("/code", "wrong_code")]
    assert read(one).verified_at is read(other).verified_at is None


@pytest.mark.parametrize(
    "act",
    [
        lambda key: address_codes.confirm("bob", key, codes()[0]),
        lambda key: address_codes.send_code("bob", key),
        lambda key: addresses.make_primary("bob", key),
        lambda key: addresses.remove_own("bob", key),
    ],
    ids=["confirm", "send_code", "make_primary", "remove_own"],
)
def test_an_address_of_somebody_else_is_not_there(act: Any) -> None:
    key = add()
    assert refused(act, key) == [("", "not_found")]
    assert (read(key).verified_at, len(codes())) == (None, 1)


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_one_address_is_sent_five_codes_an_hour_even_if_it_is_removed_and_added_again() -> None:
    for _ in range(5):
        addresses.remove_own("alice", add())
    assert refused(add) == [("", "rate_limited")]
    assert len(codes()) == 5


def test_one_person_is_sent_ten_codes_an_hour() -> None:
    for number in range(10):
        add(value=f"alice{number}@home.test")
    assert refused(add) == [("", "rate_limited")]
    assert len(codes()) == 10


def test_many_people_cannot_flood_one_address_and_do_not_learn_of_each_other() -> None:
    with transaction():
        profiles.upsert([InlineRecipient(f"p{number}") for number in range(12)])
    answers = [address_codes.add_own(f"p{number}", "email", NEW, label=None).verified_at for number in range(12)]
    assert (answers, len(codes()), len(rows(AddressCode))) == ([None] * 12, 10, 12)


def test_no_codes_are_sent_while_nothing_counts_them(redis_away: None) -> None:
    assert refused(add) == [("", "unavailable")]
    assert codes() == []


def test_a_person_has_so_many_addresses() -> None:
    for number in range(MOST_ADDRESSES - 2):  # there are an e-mail and a phone
        addresses.add_given("alice", "email", f"alice{number}@home.test", label=None)
    assert refused(add) == [("/value", "too_many_addresses")]
    assert refused(addresses.add_browser, "alice", Browser("https://push.test/x").subscription, label="Firefox") == [
        ("/value", "too_many_addresses")
    ]
    assert len(rows(Address, user_id="alice")) == MOST_ADDRESSES


def test_producers_give_somebody_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to all of them is planned in one transaction, and an app may register another device at each start."""
    monkeypatch.setattr(addresses, "MOST_GIVEN", 4)

    def give(number: int) -> Address:
        return addresses.add_given("alice", "push", f"a-token-of-a-device-{number}", label=None)[0]

    first = give(1)  # there are an e-mail and a phone
    give(2)
    assert refused(give, 3) == [("/value", "too_many_addresses")]
    assert give(1).id == first.id
    addresses.remove_given("alice", first.id)
    give(3)
    assert len(rows(Address, user_id="alice")) == 4


@pytest.mark.parametrize(
    ("channel", "value", "fault"),
    [
        ("email", "alice", ("/value", "invalid_address")),
        ("email", "a@x.test\r\nBcc: b@x.test", ("/value", "invalid_address")),
        ("sms", "015112345678", ("/value", "invalid_address")),
        ("webhook", "javascript:alert(1)", ("/value", "invalid_address")),
        ("webhook", "https://169.254.169.254/latest", ("/value", "target_refused")),
        ("webhook", "https://10.0.0.1/", ("/value", "target_refused")),
        ("webhook", "https://[::1]/", ("/value", "target_refused")),
        ("slack", "https://192.168.1.1/services", ("/value", "target_refused")),
        ("push", "fGx0m3Rk7dE:APA91bHPRgkF3", ("/channel", "unknown_channel")),
        ("webpush", Browser("https://push.test/x").subscription, ("/channel", "unknown_channel")),
        ("whatsapp", "+4915112345611", ("/channel", "unknown_channel")),
        ("inapp", "alice", ("/channel", "unknown_channel")),
        ("pigeon", "alice", ("/channel", "unknown_channel")),
        ("", "", ("/channel", "unknown_channel")),
    ],
)
def test_what_cannot_be_added_leaves_nothing(channel: str, value: str, fault: tuple[str, str]) -> None:
    assert refused(add, "dave", channel, value) == [fault]
    assert (rows(Address, user_id="dave"), codes()) == ([], [])


def test_a_name_has_a_length() -> None:
    assert refused(add, label="x" * 101) == [("/label", "too_long")]


# ---- the same again, and by somebody else ----------------------------------------------------------------------------


def test_an_address_that_is_confirmed_already_gets_no_code() -> None:
    key = add_confirmed()
    assert address_codes.add_own("alice", "email", NEW, label="Home").label == "Home"
    assert len(codes()) == 1
    assert refused(address_codes.send_code, "alice", key) == [("", "conflict")]


def test_what_somebody_else_gave_stays_in_use_while_its_owner_confirms_it(submit: Any) -> None:
    [address] = rows(Address, user_id="alice", channel="email")
    with transaction() as session:
        session.add(Suppression(digest=address.digest, scope="marketing", channel="email", reason=UNSUBSCRIBED))
    assert address_codes.add_own("alice", "email", "alice@example.test", label=None).id == address.id
    submit("alice", channels=("email",))
    assert deliveries()[-1].status == "queued"
    assert read(address.id).confirmed_at is None
    address_codes.confirm("alice", address.id, codes()[0])
    assert read(address.id).confirmed_at is not None
    assert [row.scope for row in rows(Suppression)] == ["marketing"]  # to own it is not to want it


def test_an_address_that_somebody_else_has_may_be_added_and_tells_nothing() -> None:
    theirs = read(rows(Address, user_id="bob", channel="email")[0].id)
    key = add(value="bob@example.test")
    assert (read(key).verified_at, read(theirs.id).verified_at) == (None, theirs.verified_at)
    address_codes.confirm("alice", key, codes()[0])
    assert [row.verified_at is not None for row in rows(Address, digest=theirs.digest)] == [True, True]


def test_an_address_given_by_a_producer_needs_no_code(api: Api) -> None:
    add()
    answer = api.post("/api/v1/users/alice/addresses", {"channel": "email", "value": NEW})
    assert (answer.status_code, answer.json["verified_at"] is not None) == (200, True)


# ---- the main one ---------------------------------------------------------------------------------------------------


def mains(user_id: str = "alice", channel: str = "email") -> list[str]:
    return [row.value for row in rows(Address, user_id=user_id, channel=channel) if row.is_primary]


def test_the_first_confirmed_address_is_the_main_one_and_later_ones_are_not() -> None:
    add_confirmed("dave")
    add_confirmed("dave", value="dave@work.test")
    assert mains("dave") == [NEW]


def test_another_one_can_be_made_the_main_one(submit: Any) -> None:
    key = add_confirmed()
    addresses.make_primary("alice", key)
    assert mains() == [NEW]
    submit("alice", channels=("email",))
    assert deliveries()[-1].address_id == key


def test_one_that_is_not_confirmed_cannot_be_the_main_one() -> None:
    assert refused(addresses.make_primary, "alice", add()) == [("", "conflict")]
    assert mains() == ["alice@example.test"]


def test_one_of_many_that_are_all_used_has_no_main_one() -> None:
    key = add_confirmed("dave", "webhook", "https://hooks.home.test/x")
    assert refused(addresses.make_primary, "dave", key) == [("", "conflict")]


@pytest.mark.parametrize("by_a_producer", [False, True])
def test_a_main_one_that_is_removed_is_replaced_by_the_next_confirmed_one(api: Api, by_a_producer: bool) -> None:
    add(value="alice@unconfirmed.test")
    add_confirmed()
    [main] = [row for row in rows(Address, user_id="alice", channel="email") if row.is_primary]
    if by_a_producer:
        assert api.delete(f"/api/v1/users/alice/addresses/adr_{main.id.hex}").status_code == 204
    else:
        addresses.remove_own("alice", main.id)
    assert mains() == [NEW]
    assert users.profile("alice")["email"] == NEW


def test_a_profile_changed_by_a_producer_goes_before_what_the_person_made_the_main_one(api: Api) -> None:
    addresses.make_primary("alice", add_confirmed())
    assert api.patch("/api/v1/users/alice", {"email": "alice@new.test"}).status_code == 200
    assert mains() == ["alice@new.test"]


# ---- switched off ---------------------------------------------------------------------------------------------------


def test_an_address_that_was_switched_off_is_switched_on_by_confirming_it_anew(submit: Any) -> None:
    [address] = rows(Address, user_id="alice", channel="email")
    with transaction() as session:
        session.execute(
            sa.update(Address).where(Address.id == address.id).values(disabled_at=now(), disabled_reason="smtp_550")
        )
        session.add(Suppression(digest=address.digest, scope="*", channel="email", reason="smtp_550"))
        session.add(Suppression(digest=address.digest, scope="marketing", channel="email", reason="complaint"))
    address_codes.send_code("alice", address.id)
    submit("alice", channels=("email",))
    assert [(d.status, d.reason) for d in deliveries()] == [("queued", None), ("skipped", "no_address")]
    address_codes.confirm("alice", address.id, codes()[0])
    submit("alice", channels=("email",))
    assert deliveries()[-1].status == "queued"
    assert [row.scope for row in rows(Suppression)] == ["marketing"]  # they have complained of that, and it stays


# ---- browsers -------------------------------------------------------------------------------------------------------


def test_a_browser_is_written_to_at_once_and_every_one_of_them(submit: Any) -> None:
    keys = {
        addresses.add_browser("alice", Browser(f"https://push.test/{n}").subscription, label="Firefox").id
        for n in range(2)
    }
    submit("alice", channels=("webpush",))
    assert {(delivery.address_id, delivery.status) for delivery in deliveries()} == {(key, "queued") for key in keys}


def test_the_same_browser_again_is_the_same_and_on_again() -> None:
    subscription = Browser("https://push.test/x").subscription
    key = addresses.add_browser("alice", subscription, label="Firefox").id
    with transaction() as session:
        session.execute(
            sa.update(Address).where(Address.id == key).values(disabled_at=now(), disabled_reason="http_410")
        )
    assert addresses.add_browser("alice", subscription, label="Firefox").id == key
    assert read(key).disabled_at is None


def test_a_browser_tells_one_person() -> None:
    subscription = Browser("https://push.test/x").subscription
    addresses.add_browser("alice", subscription, label="Firefox")
    addresses.add_browser("bob", subscription, label="Firefox")
    assert [row.user_id for row in rows(Address, channel="webpush")] == ["bob"]


@pytest.mark.parametrize(
    ("channel", "value"), [("push", "fGx0m3Rk7dE:APA91bHP"), ("webpush", Browser("https://push.test/x").subscription)]
)
def test_a_device_belongs_to_the_last_one_it_was_registered_for(channel: str, value: str, submit: Any) -> None:
    """Whoever takes over a phone must not read its former owner's messages, those on their way included."""
    addresses.add_given("alice", channel, value, label="phone")
    submit("alice", channels=(channel,))
    addresses.add_given("bob", channel, value, label=None)
    submit("alice", channels=(channel,), data={"order_id": "A2"})
    deliver([row.id for row in rows(Delivery, channel=channel, status="queued")])
    assert [(row.user_id, row.is_device) for row in rows(Address, channel=channel)] == [("bob", True)]
    assert [(row.status, row.reason) for row in rows(Delivery, channel=channel)] == [("skipped", "no_address")] * 2


@pytest.mark.parametrize("channel", ["sms", "email", "webhook"])
def test_what_a_person_can_type_may_be_that_of_several(channel: str) -> None:
    value = {"sms": "+4915112345678", "email": "office@x.test", "webhook": "https://hooks.example.test/x"}[channel]
    for user_id in ("alice", "bob"):
        addresses.add_given(user_id, channel, value, label=None)
    assert {row.user_id for row in rows(Address, channel=channel) if row.masked == serving.mask(channel, value)} == {
        "alice",
        "bob",
    }


def test_a_device_registered_for_two_at_once_belongs_to_one(app: APIFlask) -> None:
    value, both = "fGx0m3Rk7dE:APA91bHP", threading.Barrier(2)

    def register(user_id: str) -> None:
        with app.app_context():
            both.wait(10)
            addresses.add_given(user_id, "push", value, label=None)

    for _ in range(5):
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(register, ["alice", "bob"]))
        assert len(rows(Address, channel="push")) == 1


KEYS = {"p256dh": "BA" + "A" * 85, "auth": "A" * 22}


@pytest.mark.parametrize(
    ("subscription", "code"),
    [
        ("", "invalid_address"),
        ("{}", "invalid_address"),
        ('{"endpoint":"https://push.test/x","keys":' + str(KEYS).replace("'", '"') + "}", "invalid_address"),
        (Browser("http://push.test/x").subscription, "invalid_address"),
        (Browser("javascript:alert(1)").subscription, "invalid_address"),
        (Browser("https://10.1.2.3/x").subscription, "target_refused"),
        (Browser("https://[fd00::1]/x").subscription, "target_refused"),
        (Browser("https://push.test/" + "x" * 3000).subscription, "invalid_address"),
    ],
    ids=["nothing", "no-keys", "junk-keys", "no-https", "script", "private-v4", "private-v6", "long"],
)
def test_a_subscription_that_is_none_is_refused(subscription: str, code: str) -> None:
    assert refused(addresses.add_browser, "alice", subscription, label="Firefox") == [("/value", code)]
    assert rows(Address, channel="webpush") == []


# ---- history, export, erasure ---------------------------------------------------------------------------------------


def test_what_was_done_to_addresses_stands_in_the_history_and_masked() -> None:
    key = add_confirmed()
    addresses.make_primary("alice", key)
    addresses.remove_own("alice", key)
    addresses.add_browser("alice", Browser("https://push.test/s3cret").subscription, label="Firefox on Linux")
    told = [
        (line["choice"], line["from"], line["to"])
        for line in reversed(preferences.history("alice"))
        if line["source"] == "page"
    ]
    assert told == [
        ("addresses.email", None, "a…@home.test (not confirmed)"),
        ("addresses.email", "a…@home.test (not confirmed)", "a…@home.test"),
        ("addresses.email.primary", "a…@example.test", "a…@home.test"),
        ("addresses.email", "a…@home.test", None),
        ("addresses.webpush", None, "Firefox on Linux"),
    ]


def test_the_export_holds_addresses_with_their_state_and_the_history(api: Api) -> None:
    key = add()
    exported = api.get("/api/v1/users/alice/export").json
    [mine] = [entry for entry in exported["addresses"] if entry["id"] == f"adr_{key.hex}"]
    assert (mine["value"], mine["verified_at"], mine["disabled_at"]) == (NEW, None, None)
    assert "addresses.email" in {line["choice"] for line in exported["consent"]}


def test_erasing_somebody_takes_codes_browsers_and_history_along() -> None:
    add()
    addresses.add_browser("alice", Browser("https://push.test/x").subscription, label="Firefox")
    profiles.erase("alice")
    assert (rows(Address, user_id="alice"), rows(AddressCode), rows(ConsentEvent, user_id="alice")) == ([], [], [])
    assert [notification.data for notification in rows(Notification)] == [None]


# ---- dead subscriptions ---------------------------------------------------------------------------------------------


@dataclass
class PushService:
    """By https, under a certificate that the app trusts. `answers`: path → status; 201 for all others."""

    sink: Sink
    answers: dict[str, int] = field(default_factory=dict)

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.sink.port}/{name}"


@pytest.fixture
def push_service(app: APIFlask, tmp_path: Path) -> Iterator[PushService]:
    authority = Authority(tmp_path)
    serving.registry().http.tls.load_verify_locations(tmp_path / "ca.pem")
    service = PushService(Sink(authority.server()))

    def answer(handler: Any, request: Any) -> None:
        handler.send_response(service.answers.get(request.path, 201))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    service.sink.answer = answer
    yield service
    service.sink.close()


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_is_gone_is_switched_off_and_the_other_browser_is_not(
    push_service: PushService, submit: Any, status: int
) -> None:
    gone = addresses.add_browser("alice", Browser(push_service.url("gone")).subscription, label="Firefox").id
    alive = addresses.add_browser("alice", Browser(push_service.url("alive")).subscription, label="Chrome").id
    push_service.answers = {"/gone": status}
    submit("alice", channels=("webpush",))
    deliver([delivery.id for delivery in deliveries()])
    assert {d.address_id: d.status for d in deliveries()} == {gone: "failed", alive: "sent"}
    assert (read(gone).disabled_reason, read(alive).disabled_reason) == (f"http_{status}", None)
    submit("alice", channels=("webpush",))
    assert [d.address_id for d in deliveries()[2:]] == [alive]
    assert serving.registry().is_on("webpush")
    assert rows(Delivery, address_id=alive)[0].provider == "webpush"
