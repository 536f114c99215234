"""Addresses and browsers on the preferences page, as a browser without JavaScript uses them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from notifier.access import address_codes
from notifier.ground.extensions import db
from notifier.models import Address, Notification
from notifier.web.person.addresses import browser_name
from tests.channels.pushing import Browser
from tests.web.conftest import Visitor

PAGE = "/preferences/addresses"
NEW = "alice@home.test"


@pytest.fixture
def alice(cast: dict[str, str], signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in(user_id="alice")


def stored(**columns: Any) -> list[Address]:
    db.session.close()
    return list(db.session.scalars(sa.select(Address).filter_by(**columns).order_by(Address.id)))


def code() -> str:
    db.session.close()
    newest = (
        sa.select(Notification.data)
        .where(Notification.type == address_codes.CODE_TYPE)
        .order_by(Notification.id.desc())
        .limit(1)
    )
    return str(db.session.scalar(newest)["code"])


def path_of(address: Address, act: str) -> str:
    return f"{PAGE}/adr_{address.id.hex}/{act}"


def add(visitor: Visitor, channel: str = "email", value: str = NEW) -> Address:
    answer = visitor.post(PAGE, {"channel": channel, "value": value, "label": "Home"})
    assert (answer.status_code, answer.location) == (303, PAGE)
    [address] = stored(label="Home")
    return address


def test_an_address_is_added_confirmed_made_the_main_one_and_removed(alice: Visitor) -> None:
    address = add(alice)
    page = alice.get(PAGE).text
    assert "We have sent a code to a…@home.test." in page
    assert NEW in page
    assert "Not confirmed" in page
    assert code() not in page
    assert alice.post(path_of(address, "confirm"), {"code": code()}).location == PAGE
    assert "a…@home.test is confirmed." in alice.get(PAGE).text
    alice.post(path_of(address, "main"))
    assert [row.value for row in stored(user_id="alice", channel="email", is_primary=True)] == [NEW]
    question = alice.get(path_of(address, "remove")).text
    assert f"Remove {NEW}?" not in question  # it has a name
    assert "Remove Home?" in question
    assert stored(label="Home") != []  # asking removes nothing
    alice.post(path_of(address, "remove"))
    assert stored(label="Home") == []


def test_the_section_stands_on_the_preferences_page(alice: Visitor) -> None:
    page = alice.get("/preferences").text
    assert re.search(r'<section[^>]* id="addresses"', page)
    assert "alice@example.test" in page


def test_nobody_sees_the_addresses_of_somebody_else(alice: Visitor) -> None:
    page = alice.get(PAGE).text
    assert "bob@example.test" not in page
    assert "+4915112345679" not in page


@pytest.mark.parametrize("act", ["code", "confirm", "main", "remove"])
def test_an_address_of_somebody_else_is_not_found(alice: Visitor, act: str) -> None:
    [theirs] = stored(user_id="bob", channel="email")
    assert alice.post(path_of(theirs, act), {"code": "123456"}).status_code == 404
    assert [row.verified_at for row in stored(user_id="bob", channel="email")] == [theirs.verified_at]
    assert alice.get(path_of(theirs, "remove")).status_code == 404


@pytest.mark.parametrize(
    "key", ["", "adr_", "adr_zz", "ntf_01930000000070008000000000000001", "../x", "adr_" + "0" * 32]
)
def test_what_is_no_address_is_not_found(alice: Visitor, key: str) -> None:
    assert alice.post(f"{PAGE}/{key}/confirm", {"code": "123456"}).status_code == 404


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}/adr_{'0' * 32}/remove"])
def test_only_the_person_who_is_signed_in_may_look(cast: dict[str, str], visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 302


@pytest.mark.parametrize(
    "path",
    [PAGE, "/preferences/browsers", *(f"{PAGE}/adr_{'0' * 32}/{act}" for act in ("code", "confirm", "main", "remove"))],
)
def test_nothing_is_done_without_the_token_of_the_form(alice: Visitor, path: str) -> None:
    before = len(stored())
    assert alice.post(path, {"channel": "email", "value": NEW}, token=False).status_code == 400
    assert len(stored()) == before


@pytest.mark.parametrize(
    ("channel", "value", "said"),
    [
        ("email", "alice", "An email address must have an @-sign."),
        ("sms", "0151", "A phone number must start with + and its country code"),
        ("webhook", "https://10.0.0.1/x", "This leads into a private network"),
        ("push", "fGx0m3Rk7dE:APA91bHPRgkF3", "Choose one of the kinds in the list."),
        ("email", "<script>alert(1)</script>", "An email address must have an @-sign."),
    ],
)
def test_what_is_wrong_stands_beside_what_was_typed(alice: Visitor, channel: str, value: str, said: str) -> None:
    before = len(stored(user_id="alice"))
    answer = alice.post(PAGE, {"channel": channel, "value": value})
    assert answer.status_code == 422
    assert said in answer.text
    assert "<script>alert" not in answer.text
    assert len(stored(user_id="alice")) == before


def test_a_wrong_code_says_how_many_tries_are_left(alice: Visitor) -> None:
    address = add(alice)
    wrong = f"{(int(code()) + 1) % 10**6:06}"
    said = []
    for _ in range(6):
        answer = alice.post(path_of(address, "confirm"), {"code": wrong})
        assert answer.status_code == 422
        said += re.findall(r'class="field-fault"[^>]*>([^<]+)', answer.text)
    assert said == [
        *(f"That is not the code. You have {left} more attempts." for left in (4, 3, 2)),
        "That is not the code. You have 1 more attempt.",
        "That is not the code. Ask for a new one.",
        "There is no valid code any more. Ask for a new one.",
    ]


def test_too_many_codes_are_refused_in_words(alice: Visitor) -> None:
    address = add(alice)
    answers = [alice.post(path_of(address, "code")) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [303] * 4 + [429]
    assert "You have asked for too many codes." in answers[-1].text


def test_while_redis_is_away_the_page_says_that_no_code_can_be_sent(alice: Visitor, redis_away: None) -> None:
    answer = alice.post(PAGE, {"channel": "email", "value": NEW})
    assert answer.status_code == 503
    assert "No codes can be sent at the moment." in answer.text


def test_the_secret_of_a_webhook_is_shown_until_it_is_confirmed(alice: Visitor) -> None:
    address = add(alice, "webhook", "https://hooks.home.test/s3cret-path")
    assert address.secret
    page = alice.get(PAGE).text
    assert address.secret in page
    assert "s3cret-path" not in page
    alice.post(path_of(address, "confirm"), {"code": code()})
    assert address.secret not in alice.get(PAGE).text


def test_an_address_that_was_switched_off_says_why_and_can_be_confirmed_anew(alice: Visitor, send: Any) -> None:
    send("zoe", email="dead@sandbox.test", channels=("email",))
    [address] = stored(user_id="zoe")
    db.session.execute(sa.update(Address).where(Address.id == address.id).values(user_id="alice", is_primary=False))
    db.session.commit()
    page = alice.get(PAGE).text
    assert "Switched off" in page
    assert "Messages to it bounced" in page
    assert alice.post(path_of(address, "code")).status_code == 303
    assert "Not confirmed" in alice.get(PAGE).text


def test_an_address_that_a_producer_gave_is_confirmed_by_its_owner(alice: Visitor) -> None:
    [address] = stored(user_id="alice", channel="email")
    before = alice.get(PAGE).text
    assert ("In use" in before, "Confirm that it is yours" in before) == (True, True)
    alice.post(path_of(address, "code"))
    assert "The code we sent is valid until" in alice.get(PAGE).text
    alice.post(path_of(address, "confirm"), {"code": code()})
    page = alice.get(PAGE).text
    assert (page.count("In use"), "Confirm that it is yours" in page) == (before.count("In use") - 1, False)


# ---- browsers -------------------------------------------------------------------------------------------------------


def subscribe(visitor: Visitor, subscription: str) -> Any:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    return visitor.post("/preferences/browsers", {"subscription": subscription}, headers={"User-Agent": agent})


def test_a_browser_is_stored_under_its_name_and_removed(alice: Visitor) -> None:
    assert subscribe(alice, Browser("https://push.test/s3cret").subscription).status_code == 201
    page = alice.get(PAGE).text
    assert "Firefox on Linux" in page
    assert "s3cret" not in page
    [device] = stored(channel="webpush")
    assert "Remove Firefox on Linux?" in alice.get(path_of(device, "remove")).text
    alice.post(path_of(device, "remove"))
    assert stored(channel="webpush") == []


@pytest.mark.parametrize(
    "subscription",
    ["", "junk", '{"endpoint":"https://push.test/","keys":{}}', Browser("https://169.254.169.254/x").subscription],
)
def test_a_subscription_that_is_none_is_refused(alice: Visitor, subscription: str) -> None:
    answer = subscribe(alice, subscription)
    assert (answer.status_code, set(answer.json)) == (422, {"error"})
    assert stored(channel="webpush") == []


def renew(visitor: Visitor, before: Browser, after: str, origin: str | None = "http://localhost") -> int:
    form = {"endpoint": before.endpoint, "subscription": after}
    headers = {} if origin is None else {"Origin": origin}
    return int(visitor.post("/preferences/browsers/renewed", form, token=False, headers=headers).status_code)


def test_what_a_browser_has_renewed_takes_the_place_of_what_it_had(alice: Visitor) -> None:
    before, after = Browser("https://push.test/before"), Browser("https://push.test/after")
    subscribe(alice, before.subscription)
    [old] = stored(channel="webpush")
    since = old.created_at
    old.disabled_at, old.disabled_reason = since, "http_410"
    db.session.commit()
    assert renew(alice, before, after.subscription) == 201
    assert renew(alice, before, after.subscription) == 404  # told again: there is nothing to take the place of
    [device] = stored(channel="webpush")
    assert "https://push.test/after" in device.value
    assert (device.label, device.disabled_at, device.confirmed_at is not None) == ("Firefox on Linux", None, True)


@pytest.mark.parametrize(
    ("origin", "after", "status"),
    [
        (None, "https://push.test/after", 400),
        ("https://evil.test", "https://push.test/after", 400),
        ("http://localhost", "https://169.254.169.254/x", 422),
    ],
    ids=["no origin", "another site", "a private network"],
)
def test_a_renewal_is_refused(alice: Visitor, origin: str | None, after: str, status: int) -> None:
    before = Browser("https://push.test/before")
    subscribe(alice, before.subscription)
    assert renew(alice, before, Browser(after).subscription, origin) == status
    [device] = stored(channel="webpush")
    assert "https://push.test/before" in device.value


def test_what_is_somebody_elses_or_was_removed_is_not_renewed(
    alice: Visitor, signed_in: Callable[..., Visitor]
) -> None:
    before, after = Browser("https://push.test/before"), Browser("https://push.test/after")
    subscribe(alice, before.subscription)
    assert renew(signed_in(user_id="bob"), before, after.subscription) == 404
    [device] = stored(channel="webpush")
    assert device.user_id == "alice"
    alice.post(path_of(device, "remove"))
    assert renew(alice, before, after.subscription) == 404
    assert stored(channel="webpush") == []


@pytest.mark.parametrize("path", ["/preferences/browsers", PAGE])
def test_ten_megabytes_are_too_much(alice: Visitor, path: str) -> None:
    before = len(stored(user_id="alice"))
    answer = alice.post(path, {"channel": "email", "value": "x" * 10_000_000, "subscription": "x" * 10_000_000})
    assert answer.status_code == 413
    assert len(stored(user_id="alice")) == before


def test_the_worker_is_served_at_the_root_and_never_from_a_cache(visitor: Visitor) -> None:
    answer = visitor.get("/service-worker.js")
    assert (answer.status_code, answer.mimetype, answer.headers["Cache-Control"]) == (
        200,
        "text/javascript",
        "no-cache",
    )
    assert 'addEventListener("push"' in answer.text


@pytest.mark.parametrize(
    ("asked", "words"),
    [("de-AT", '"Sie haben eine neue Benachrichtigung"'), ("ja", '"You have a new notification"')],
)
def test_the_worker_names_an_empty_push_in_the_readers_language(visitor: Visitor, asked: str, words: str) -> None:
    script = visitor.get("/service-worker.js", headers={"Accept-Language": asked}).text
    assert f"const UNNAMED = {words};" in script


def test_the_policy_lets_our_own_worker_run_and_no_other(alice: Visitor) -> None:
    assert "worker-src 'self';" in alice.get(PAGE).headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/129.0 Safari/537.36 Edg/129.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/129.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 "
                "Mobile/15E148 Safari/604.1"
            ),
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
            "Safari on Mac",
        ),
        ("curl/8", "A browser"),
        ("", "A browser"),
    ],
)
def test_a_browser_is_named_so_that_its_owner_knows_it(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name
