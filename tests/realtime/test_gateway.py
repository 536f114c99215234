"""Who may connect, what a connection hears, and what it may ask; with real clients at a real server."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from sqlalchemy.exc import TimeoutError as PoolExhausted
from structlog.testing import capture_logs

from notifier.access.keys import create_key, create_producer, disable_producer, revoke_key
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store, socketio
from notifier.ground.ids import new_id, show
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import Account, ApiKey, Producer
from notifier.people import profiles
from notifier.realtime import gateway
from notifier.realtime.door import Door, Guest
from notifier.realtime.gateway import Listener
from notifier.signals.publish import CHANNEL, NAMESPACE, channel_of, room_of
from tests.conftest import subject_of
from tests.realtime.conftest import PATIENCE_S, CutOff, Refused
from tests.running import Redis, eventually
from tests.stored import missing


def token_of(user_id: str) -> dict[str, str]:
    return {"token": tokens.sign_user_token(subject_of(user_id), 60)[0]}


# --- who may connect


def test_a_process_listens_for_those_who_are_connected_to_it_and_for_nobody_else(arrive: Any, connect: Any) -> None:
    def listened_for() -> set[str]:
        names = redis_store.client.pubsub_channels(f"{CHANNEL}:*")
        return {name.decode().removeprefix(channel_of(room_of(""))) for name in names}

    alice, also_alice, bob = (connect(auth=token_of(user)) for user in ("alice", "alice", "bob"))
    eventually(lambda: listened_for() == {"alice", "bob"})
    also_alice.wire.disconnect()
    bob.wire.disconnect()
    eventually(lambda: listened_for() == {"alice"})
    arrive("alice")
    assert alice.hear()[0] == "item"
    assert connect(auth=token_of("bob")).ask("sync", {"since": 0})["changed"] == []
    eventually(lambda: listened_for() == {"alice", "bob"})


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_connection_hears_of_its_users_new_items_and_of_nobody_elses(
    arrive: Any, connect: Any, transport: str
) -> None:
    alice, bob = (
        connect(auth=token_of("alice"), transport=transport),
        connect(auth=token_of("bob"), transport=transport),
    )
    arrive("bob", title="for bob")
    arrive("alice", title="for alice")
    event, payload = alice.hear()
    assert (event, payload["item"]["title"]) == ("item", "for alice")
    assert (payload["seq"], payload["unread"], payload["unseen"]) == (1, 1, 1)
    assert bob.hear()[1]["item"]["title"] == "for bob"
    arrive("alice", title="second")
    assert alice.hear()[1]["item"]["title"] == "second"  # and nothing of bob's in between
    assert bob.events.empty()


NO_IDENTITIES: list[Any] = [
    None,
    {},
    {"token": None},
    {"token": ""},
    {"token": "forged"},
    {"token": ["x"]},
    {"token": 1},
    {"token": {"a": 1}},
    "token",
    ["token"],
    5,
]


def test_a_connection_without_an_identity_is_refused(connect: Any, subtests: pytest.Subtests) -> None:
    for auth in NO_IDENTITIES:
        with subtests.test(auth=auth), pytest.raises(Refused, match="unauthenticated"):
            connect(auth=auth)


def test_a_token_that_is_changed_expired_or_meant_for_something_else_is_refused(
    app: APIFlask, connect: Any, producer_key: str
) -> None:
    token = token_of("alice")["token"]
    expired, _ = tokens.sign_user_token(subject_of("alice"), -1)
    for wrong in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        expired,
        tokens.sign_unsubscribe(subject_of("alice"), "social", "email"),
        producer_key,
    ):
        with pytest.raises(Refused, match="unauthenticated"):
            connect(auth={"token": wrong})


def test_a_session_cookie_connects_from_our_own_pages(arrive: Any, connect: Any, cookie_of: Any, url: str) -> None:
    browser = connect(headers=cookie_of("alice") | {"Origin": url, "Sec-Fetch-Site": "same-origin"})
    arrive("bob", "alice")
    assert browser.hear()[0] == "item"
    assert browser.ask("sync", {"since": 0})["seq"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.test"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_cookie_sent_along_from_another_origin_is_worth_nothing(
    connect: Any, cookie_of: Any, headers: dict[str, str]
) -> None:
    with pytest.raises(Refused, match="unauthenticated"):
        connect(headers=cookie_of("alice") | headers)


def test_a_token_of_no_producer_connects_from_any_origin_and_goes_before_the_cookie(
    arrive: Any, connect: Any, cookie_of: Any
) -> None:
    browser = connect(auth=token_of("alice"), headers=cookie_of("bob") | {"Origin": "https://shop.test"})
    arrive("bob", "alice")
    assert browser.hear()[0] == "item"
    assert browser.ask("sync", {"since": 0})["seq"] == 1
    with pytest.raises(Refused, match="unauthenticated"):
        connect(auth={"token": "forged"}, headers=cookie_of("carol"))


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        (None, "https://shop.test", True),
        (["https://shop.test"], "https://shop.test", True),
        (["https://shop.test"], "https://evil.test", False),
        (["https://shop.test"], "null", False),
        (["https://shop.test"], "ours", True),
        ([], None, True),
    ],
)
def test_a_token_connects_from_the_sites_its_producer_allows(
    arrive: Any, connect: Any, live_app: APIFlask, url: str, allowed: list[str] | None, origin: str | None, may: bool
) -> None:
    producer = create_producer("Shop", allowed_origins=allowed)
    live_app.extensions.pop("origins", None)
    options = {
        "auth": {"token": tokens.sign_user_token(subject_of("alice"), 60, producer_id=producer.id)[0]},
        "headers": {"Origin": url if origin == "ours" else origin} if origin else {},
    }
    if may:
        arrive("alice")
        assert connect(**options).ask("sync", {"since": 0})["seq"] == 1
    else:
        with pytest.raises(Refused, match="origin_refused"):
            connect(**options)


def test_the_cookie_of_a_disabled_account_is_refused_and_ends_its_open_connection(connect: Any, cookie_of: Any) -> None:
    headers = cookie_of("alice")
    browser = connect(headers=headers)
    with transaction() as session:
        session.execute(sa.update(Account).values(disabled_at=now()))
    with pytest.raises(Refused, match="unauthenticated"):
        connect(headers=headers)
    assert browser.ask("seen", {})["error"]["code"] == "unauthenticated"
    assert browser.gone.wait(PATIENCE_S)


# --- what it may ask


def test_a_browser_that_was_away_asks_for_what_it_missed(arrive: Any, connect: Any) -> None:
    keys = arrive("alice", "alice")
    browser = connect(auth=token_of("alice"))
    answer = browser.ask("sync", {"since": 1})
    assert [item["id"] for item in answer["changed"]] == [show("dlv", keys[1])]
    assert (answer["seq"], answer["unread"], answer["unseen"]) == (2, 2, 2)
    assert browser.ask("sync", {"since": 99}) == {"reset": True}


@pytest.mark.parametrize(
    ("event", "given", "answer"),
    [
        ("read", {"ids": [0]}, {"unread": 1, "unseen": 1, "seq": 3}),
        ("archive", {"ids": [0, 1]}, {"unread": 0, "unseen": 0, "seq": 4}),
        ("seen", {}, {"unread": 2, "unseen": 0, "seq": 4}),
        ("seen", None, {"unread": 2, "unseen": 0, "seq": 4}),
    ],
)
def test_a_mark_is_acknowledged_with_the_counts_and_every_tab_is_told(
    arrive: Any, connect: Any, event: str, given: Any, answer: dict[str, int]
) -> None:
    keys = arrive("alice", "alice")
    if given and "ids" in given:
        given = {"ids": [show("dlv", keys[number]) for number in given["ids"]]}
    one, other = connect(auth=token_of("alice")), connect(auth=token_of("alice"))
    acknowledged = one.ask(event) if given is None else one.ask(event, given)
    assert acknowledged.pop("changed_ids", None) == (given or {}).get("ids")
    assert acknowledged == answer
    for tab in (one, other):
        heard, payload = tab.hear()
        changed = payload.pop("changed")
        assert (heard, payload) == ("state", answer)
        assert len(changed) == answer["seq"] - 2


@pytest.mark.parametrize("event", ["read", "archive"])
def test_other_peoples_items_cannot_be_marked(arrive: Any, connect: Any, event: str) -> None:
    [his] = arrive("bob")
    arrive("alice")
    assert connect(auth=token_of("alice")).ask(
        event, {"ids": [show("dlv", his), show("dlv", new_id()), "nonsense"]}
    ) == {
        "unread": 1,
        "unseen": 1,
        "seq": 1,
        "changed_ids": [],
    }
    assert connect(auth=token_of("bob")).ask("sync", {"since": 0})["unread"] == 1


SENSELESS: list[tuple[str, tuple[Any, ...], str]] = [
    ("sync", (), "validation_failed"),
    ("sync", ({},), "validation_failed"),
    ("sync", ({"since": -1},), "validation_failed"),
    ("sync", ({"since": "1"},), "validation_failed"),
    ("sync", ({"since": 1.5},), "validation_failed"),
    ("sync", ({"since": True},), "validation_failed"),
    ("sync", ({"since": 1, "user": "bob"},), "validation_failed"),
    ("sync", (1,), "validation_failed"),
    ("sync", ({"since": 0}, {"since": 0}), "validation_failed"),
    ("read", ({"ids": "x"},), "validation_failed"),
    ("read", ({"ids": [1]},), "validation_failed"),
    ("read", ({"ids": ["x"] * 1001},), "validation_failed"),
    ("read", ({"ids": ["x" * 65]},), "validation_failed"),
    ("read", (["x"],), "validation_failed"),
    ("read", ({"all": True},), "validation_failed"),
    ("seen", ({"since": 0},), "validation_failed"),
    ("seen", (b"\x00\xff",), "validation_failed"),
    ("nonsense", (), "unknown_event"),
    ("connect", ({"token": "x"},), "unknown_event"),
    ("disconnect", (), "unknown_event"),
    ("_answer", ("x",), "unknown_event"),
    ("error", (), "unknown_event"),
]


def test_what_makes_no_sense_is_answered_with_an_error_and_the_connection_goes_on(
    arrive: Any, connect: Any, subtests: pytest.Subtests
) -> None:
    browser = connect(auth=token_of("alice"))
    for seq, (event, given, code) in enumerate(SENSELESS, start=1):
        with subtests.test(event=event, given=str(given)[:80]):
            answer = browser.ask(event, *given)
            assert answer["error"]["code"] == code
            assert answer["error"]["detail"]
            arrive("alice")
            assert browser.hear()[0] == "item"
            assert browser.ask("sync", {"since": 0})["seq"] == seq


@pytest.mark.parametrize("table", ["inbox_state", "user"], ids=["the work", "the access check"])
def test_an_event_that_fails_here_is_an_error_too(connect: Any, app: APIFlask, table: str) -> None:
    browser = connect(auth=token_of("alice"))
    db.session.rollback()  # which has read from the table
    with missing(table):
        assert browser.ask("sync", {"since": 0})["error"]["code"] == "internal_error"
    assert browser.ask("sync", {"since": 0})["seq"] == 0


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_who_cannot_be_identified_at_present_is_cut_off_and_comes_back(
    connect: Any, app: APIFlask, transport: str
) -> None:
    """A refusal would be taken for the end of the token, and silence would be waited out for ever."""
    token = token_of("alice")
    db.session.rollback()
    with missing("user"), pytest.raises(CutOff):
        connect(auth=token, transport=transport)
    assert connect(auth=token).ask("sync", {"since": 0})["seq"] == 0


# --- how it ends


def test_a_token_that_has_expired_ends_its_connection_at_the_next_event(arrive: Any, connect: Any) -> None:
    [key] = arrive("alice")
    browser = connect(auth=token_of("alice"))
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert browser.ask("read", {"ids": [show("dlv", key)]})["error"]["code"] == "unauthenticated"
        assert browser.gone.wait(PATIENCE_S)
    assert marks.seen("alice", Chosen())["unread"] == 1


def test_a_token_that_has_expired_ends_a_connection_that_only_listens(connect: Any) -> None:
    passing, lasting = (
        connect(auth=token_of("alice")),
        connect(auth={"token": tokens.sign_user_token(subject_of("alice"), 3600)[0]}),
    )
    door = socketio.server.namespace_handlers[NAMESPACE]
    door.expire()
    assert not passing.gone.is_set()
    with time_machine.travel(now() + timedelta(seconds=61)):
        door.expire()
    assert passing.gone.wait(PATIENCE_S)
    assert lasting.ask("sync", {"since": 0})["seq"] == 0


def erase_and_come_back(_producer: Producer, _key: ApiKey) -> None:
    profiles.erase("alice")
    subject_of("alice")


@pytest.mark.parametrize(
    "cause",
    [
        lambda producer, _: disable_producer(producer.id),
        lambda _, key: revoke_key(key.id),
        lambda *_: profiles.end_tokens("alice"),
        lambda *_: profiles.erase("alice"),
        erase_and_come_back,
    ],
    ids=["producer disabled", "key revoked", "on request", "erased", "somebody new"],
)
def test_a_connection_ends_with_what_its_token_ends_with(
    connect: Any, cause: Callable[[Producer, ApiKey], object]
) -> None:
    producer = create_producer("Shop")
    key, _ = create_key(producer.id, scopes=["users"])
    token, _ = tokens.sign_user_token(subject_of("alice"), 3600, key_id=key.id, producer_id=producer.id)
    listening, asking, lasting = (
        connect(auth={"token": token}),
        connect(auth={"token": token}),
        connect(auth=token_of("bob")),
    )
    cause(producer, key)
    assert asking.ask("sync", {"since": 0})["error"]["code"] == "unauthenticated"
    socketio.server.namespace_handlers[NAMESPACE].expire()
    assert listening.gone.wait(PATIENCE_S)
    assert lasting.ask("sync", {"since": 0})["seq"] == 0
    with pytest.raises(Refused, match="unauthenticated"):
        connect(auth={"token": token})


def test_who_was_erased_hears_nothing_of_somebody_new_of_the_same_id(arrive: Any, connect: Any) -> None:
    before = connect(auth=token_of("alice"))
    arrive("alice", title="for the first one")
    assert before.hear()[1]["item"]["title"] == "for the first one"
    assert profiles.erase("alice")
    after = connect(auth=token_of("alice"))
    arrive("alice", title="for the second one")
    assert after.hear()[1]["item"]["title"] == "for the second one"
    assert before.gone.wait(PATIENCE_S)  # the next check comes by itself
    assert before.events.empty()


def test_a_disabled_account_stops_hearing_without_saying_a_word(connect: Any, cookie_of: Any) -> None:
    listening, lasting = connect(headers=cookie_of("alice")), connect(headers=cookie_of("bob"))
    door = socketio.server.namespace_handlers[NAMESPACE]
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.user_id == "alice").values(disabled_at=now()))
    door.expire()
    assert listening.gone.wait(PATIENCE_S)
    assert lasting.ask("sync", {"since": 0})["seq"] == 0


def test_a_pretended_farewell_does_not_outlive_the_token(connect: Any) -> None:
    browser = connect(auth=token_of("alice"))
    browser.ask("disconnect")
    with time_machine.travel(now() + timedelta(seconds=61)):
        socketio.server.namespace_handlers[NAMESPACE].expire()
    assert browser.gone.wait(PATIENCE_S)


def test_no_event_keeps_a_database_connection(arrive: Any, connect: Any, live_app: APIFlask) -> None:
    [key] = arrive("alice")
    browser = connect(auth=token_of("alice"))
    for event, given in (
        ("sync", {"since": 0}),
        ("read", {"ids": [show("dlv", key)]}),
        ("seen", {}),
        ("read", {"ids": 5}),
    ):
        browser.ask(event, given)
    with live_app.app_context():
        pool = db.engine.pool
    assert isinstance(pool, sa.QueuePool)
    assert pool.checkedout() == 0


class Restless(Door):
    """Cannot look after its guests at first."""

    looks = 0

    def expire(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise PoolExhausted
        if self.looks == 2:
            raise ValueError("a bug")
        self.guests.clear()


class Clock:
    def sleep(self, _seconds: float) -> None:
        """No time passes."""


def test_guests_are_looked_after_again_whatever_went_wrong_before(app: APIFlask) -> None:
    door = Restless("/restless", {})
    door.socketio = Clock()
    door.guests["sid"] = Guest("alice")
    with capture_logs() as lines:
        door._check_again_and_again(app)
    assert door.looks == 3
    assert [line["error"] for line in lines] == ["TimeoutError", "ValueError"]


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Of a Redis that hangs."""
    monkeypatch.setattr(gateway, "SILENT_S", 0.1)
    server = Redis(tmp_path)
    listener = Listener(APIFlask(__name__), server.url)
    listener._redis_connect()
    listener.pubsub.subscribe(listener.channel)
    server.hang()
    yield listener
    server.stop()


def test_who_connects_while_redis_hangs_keeps_nobody_waiting_for_ever(listener: Listener) -> None:
    rooms = [room_of(f"{number:0100}") for number in range(500)]

    def say_until_nothing_fits_in() -> None:
        while not listener._is_cut:
            listener._say("SUBSCRIBE", rooms)

    saying = threading.Thread(target=say_until_nothing_fits_in, daemon=True)
    saying.start()
    saying.join(PATIENCE_S)
    assert listener._is_cut
