"""Mobile push through FCM: Google is played on this machine, and judged by its own description of the API."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask

from notifier import channels
from notifier.channels import serving
from notifier.channels.adapters.push_fcm import Fcm
from notifier.core.errors import InvalidRecipient
from notifier.core.message import IOS
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.inbox import marks
from notifier.models import Address, Suppression
from notifier.people import addresses
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.delivery.task import Try
from notifier.pipeline.upkeep import due
from notifier.providers import accounts as providers
from notifier.providers import health
from tests.channels.conftest import Sink
from tests.channels.keys import service_account
from tests.channels.pushing import Google
from tests.conftest import Api, Statements
from tests.pipeline.upkeep.test_due import wake
from tests.stored import deliveries, rows

Submit = Callable[..., Any]
PUSH = ("push",)
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@pytest.fixture
def google(app: APIFlask) -> Iterator[Google]:
    """FCM is the provider of push, and Google answers on this machine."""
    sink = Sink(None)
    google = Google(sink, "http")
    account = service_account(token_uri=f"{google.url}/token")
    providers.add("fcm", "fcm", {"FCM_SERVICE_ACCOUNT": account, "FCM_URL": google.url})
    providers.refresh_now()
    yield google
    serving.registry().configure(())
    app.extensions.pop("providers", None)
    sink.close()


def phone(user: str, token: str = "device-token-0001", **said: Any) -> Address:
    return addresses.add_given(user, "push", token, label=None, **said)[0]


def push_queued() -> list[str]:
    return [outcome.status for outcome in deliver([row.id for row in deliveries(status="queued", channel="push")])]


@pytest.fixture
def alice(submit: Submit) -> str:
    submit(InlineRecipient("alice", {"name": "Alice"}), channels=("inapp",))
    phone("alice")
    return "alice"


# ---- what producers say of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "priority", "sound", "wakes"),
    [
        (None, "high", "default", False),
        (None, "low", None, False),
        ({"sound": "bell.caf"}, "low", "bell.caf", False),
        ({"sound": None}, "high", None, False),
        ({"content_available": True}, "medium", "default", True),
    ],
)
def test_a_producer_says_how_it_sounds_and_whether_the_app_wakes(
    api: Api, google: Google, alice: str, said: Any, priority: str, sound: str | None, wakes: bool
) -> None:
    body = {"type": "order_shipped", "recipients": [alice], "data": {"order_id": "A1"}, "channels": ["push"]}
    answer = api.post("/api/v1/notifications", {**body, "priority": priority, **({"push": said} if said else {})})
    assert answer.status_code == 202
    assert push_queued() == ["sent"]
    aps = google.bodies[0]["message"]["apns"]["payload"]["aps"]
    assert (aps.get("sound"), aps.get("content-available")) == (sound, 1 if wakes else None)


def test_a_silent_one_shows_nothing(submit: Submit, google: Google, alice: str) -> None:
    submit(alice, channels=PUSH, push={"silent": True})
    push_queued()
    message = google.bodies[0]["message"]
    assert message.keys() == {"token", "data", "android", "apns"}
    assert message["data"]["order_id"] == "A1"


@pytest.mark.parametrize("push", [{"sound": ""}, {"sound": "../x"}, {"volume": 3}, {"silent": "yes"}, 3, []])
def test_nonsense_about_it_is_refused_with_its_place(api: Api, push: Any) -> None:
    body = {"type": "order_shipped", "recipients": ["x"], "data": {"order_id": "A1"}, "push": push}
    answer = api.post("/api/v1/notifications", body)
    assert answer.status_code == 422
    assert all(fault["pointer"].startswith("/push") for fault in answer.json["errors"])


# ---- the badge ------------------------------------------------------------------------------------------------------


def test_the_badge_is_the_number_of_unread_items(submit: Submit, google: Google, alice: str) -> None:
    submit(alice, channels=("inapp", "push"))
    push_queued()
    marks.read(alice, marks.Chosen())
    submit(alice, channels=PUSH)
    push_queued()
    badges = [body["message"]["apns"]["payload"]["aps"]["badge"] for body in google.bodies]
    assert badges == [2, 0]


def test_whom_nothing_has_ever_reached_in_the_inbox_has_no_badge(submit: Submit, google: Google) -> None:
    submit(InlineRecipient("bob", {"name": "Bob"}), channels=("email",))
    phone("bob")
    submit("bob", channels=PUSH)
    push_queued()
    assert "badge" not in google.bodies[0]["message"]["apns"]["payload"]["aps"]


def test_the_badges_of_a_batch_are_read_at_once(submit: Submit, google: Google, statements: Statements) -> None:
    for n in range(5):
        submit(InlineRecipient(f"p{n}", {"name": "P"}), channels=("inapp",))
        phone(f"p{n}", f"device-token-000{n}")
        submit(f"p{n}", channels=PUSH)
    ids = [row.id for row in deliveries(status="queued", channel="push")]
    with statements() as asked:
        deliver(ids)
    assert len([text for text in asked if "FROM inbox_state" in text]) == 1
    assert len(google.sent) == 5
    db.session.close()


# ---- which phone ----------------------------------------------------------------------------------------------------


def test_a_phone_gets_what_its_platform_reads(submit: Submit, google: Google, alice: str) -> None:
    phone(alice, "device-token-0002", platform="ios", app="com.example.shop")
    phone(alice, "device-token-0003", platform="android")
    submit(alice, channels=PUSH)
    assert push_queued() == ["sent", "sent", "sent"]
    parts = {body["message"]["token"]: body["message"].keys() & {"android", "apns"} for body in google.bodies}
    assert parts == {
        "device-token-0001": {"android", "apns"},
        "device-token-0002": {"apns"},
        "device-token-0003": {"android"},
    }


class _Apple(Fcm):
    """Sends to iPhones alone."""

    provider = "apple"

    @classmethod
    def serves(cls, platform: str | None) -> bool:
        return platform == IOS


def test_a_phone_that_nobody_sends_to_is_recorded_with_the_reason(
    app: APIFlask, submit: Submit, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (channels, providers):
        monkeypatch.setattr(room, "ADAPTERS", (*channels.ADAPTERS, _Apple))
    phone(alice, "device-token-0002", platform="ios")
    submit(alice, channels=PUSH)
    providers.add("apple", "apple", {"FCM_SERVICE_ACCOUNT": service_account()})
    providers.refresh_now()
    try:
        submit(alice, channels=PUSH)
        deliver([deliveries(status="queued", address_masked="…0001")[0].id])  # planned before
    finally:
        monkeypatch.undo()
        serving.registry().configure(())
        app.extensions.pop("providers", None)
    planned = [(row.address_masked, row.status, row.reason) for row in deliveries(channel="push")]
    assert sorted(planned, key=lambda row: row[0]) == [
        ("…0001", "skipped", "no_provider"),
        ("…0001", "skipped", "no_provider"),
        ("…0002", "queued", None),
        ("…0002", "queued", None),
    ]


# ---- phones that are gone -------------------------------------------------------------------------------------------

GONE = (404, {}, {"error": {"status": "NOT_FOUND", "details": [{"@type": FCM_ERROR, "errorCode": "UNREGISTERED"}]}})


def test_a_token_that_is_gone_is_switched_off(submit: Submit, google: Google, alice: str) -> None:
    google.message = GONE
    submit(alice, channels=PUSH)
    assert push_queued() == ["failed"]
    [address] = rows(Address, channel="push")
    assert (address.disabled_at is not None, address.disabled_reason) == (True, "UNREGISTERED")
    submit(alice, channels=PUSH)
    assert deliveries(channel="push")[-1].reason == "no_address"


def test_a_phone_that_was_registered_again_meanwhile_stays(submit: Submit, google: Google, alice: str) -> None:
    """The app was installed again while the provider was being asked."""
    submit(alice, channels=PUSH)
    google.message = GONE
    [task], _ = begin([row.id for row in deliveries(status="queued", channel="push")])
    send(task)
    phone(alice)
    record([task])
    [address] = rows(Address, channel="push")
    assert (address.disabled_at, rows(Suppression)) == (None, [])


@pytest.mark.parametrize(("ago", "is_off"), [(timedelta(hours=1), False), (timedelta(0), True)])
def test_the_providers_word_counts_as_of_the_time_it_says(
    submit: Submit, google: Google, alice: str, ago: timedelta, is_off: bool
) -> None:
    submit(alice, channels=PUSH)
    [task], _ = begin([row.id for row in deliveries(status="queued", channel="push")])
    found = InvalidRecipient("gone", code="Unregistered", since=now() - ago)
    task.tries.append(Try(1, task.adapters[0], now(), error=found))
    record([task])
    [address] = rows(Address, channel="push")
    assert (address.disabled_at is not None, len(rows(Suppression))) == (is_off, int(is_off))


@pytest.mark.slow
def test_many_dead_tokens_at_once_pause_the_account_and_are_kept(submit: Submit, google: Google) -> None:
    """Of a wrong project, every token looks dead."""
    google.message = GONE
    people = [f"p{n}" for n in range(health.MOST_INVALID)]
    for n, user in enumerate(people):
        submit(InlineRecipient(user, {"name": "P"}), channels=("inapp",))
        phone(user, f"device-token-000{n}")
    submit(*people, channels=PUSH)
    push_queued()
    assert health.states() == {"fcm": "open"}
    assert [row.disabled_at for row in rows(Address, channel="push")] == [None] * len(people)


# ---- some phones of one person --------------------------------------------------------------------------------------


def test_a_phone_that_has_accepted_is_not_sent_to_again_by_a_retry(submit: Submit, google: Google, alice: str) -> None:
    phone(alice, "device-token-0002")
    taken = google.sink.choose

    def choose(request: Any) -> Any:
        is_second = b"device-token-0002" in request.body
        return google.sink.answering(500, {}, b"{}") if is_second else taken(request)

    google.sink.choose = choose
    submit(alice, channels=PUSH)
    assert sorted(push_queued()) == ["sent", "waiting"]
    google.sink.choose = taken
    wake()
    due.ring_due()
    assert push_queued() == ["sent"]
    tokens = [json.loads(request.body)["message"]["token"] for request in google.sent]
    assert sorted(tokens) == ["device-token-0001", "device-token-0002", "device-token-0002"]


def test_a_retry_by_hand_sends_to_the_failed_phones_alone(submit: Submit, google: Google, alice: str) -> None:
    submit(alice, channels=PUSH)
    push_queued()
    deliver([row.id for row in deliveries(channel="push")])  # its doorbell once more
    assert len(google.sent) == 1


def test_somebody_without_a_phone_is_recorded_as_such(submit: Submit, google: Google) -> None:
    submit(InlineRecipient("bob", {"name": "Bob"}), channels=PUSH)
    [row] = deliveries(channel="push")
    assert (row.status, row.reason, row.address_id) == ("skipped", "no_address", None)
