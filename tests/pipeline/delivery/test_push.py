"""Mobile push through FCM: Google is played on this machine, and judged by its own description of the API."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.channels import serving
from notifier.core.submission import InlineRecipient
from notifier.ground.extensions import db
from notifier.inbox import marks
from notifier.models import Address
from notifier.people import addresses
from notifier.pipeline.delivery.deliver import deliver
from notifier.providers import accounts as providers
from tests.channels.conftest import Sink
from tests.channels.keys import service_account
from tests.channels.pushing import Google
from tests.conftest import Api, Statements
from tests.stored import deliveries

Submit = Callable[..., Any]
PUSH = ("push",)


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


def phone(user: str, token: str = "device-token-1", **said: Any) -> Address:
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
        phone(f"p{n}", f"device-token-{n}")
        submit(f"p{n}", channels=PUSH)
    ids = [row.id for row in deliveries(status="queued", channel="push")]
    with statements() as asked:
        deliver(ids)
    assert len([text for text in asked if "FROM inbox_state" in text]) == 1
    assert len(google.sent) == 5
    db.session.close()
