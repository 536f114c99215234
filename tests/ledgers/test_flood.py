"""Limits by address: no phone, mailbox or device is flooded, however many people are made who have it."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.extensions import db, redis_store
from notifier.ledgers import flood
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.item import Caller, Item
from tests.metered import growth
from tests.stored import deliveries
from tests.submitting import submission

PHONE, MAIL = "+4915112345678", "victim@example.test"
CODE = {"type": "one_time_code", "data": {"code": "1234"}}
ORDER = {"type": "order_shipped", "data": {"order_id": "A1"}, "channels": ("sms",)}

Submit = Callable[..., Any]


@pytest.fixture
def limited(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits small enough to be met."""
    monkeypatch.setitem(
        app.extensions,
        "settings",
        replace(app.extensions["settings"], recipient_limit="3/10 minutes", phone_limit="5/hour"),
    )


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """Every statement fails, as when the database has gone."""

    def refuse(*_: Any) -> None:
        raise sa.exc.OperationalError("gone", None, Exception("gone"))

    sa.event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", refuse)


def fates(**columns: Any) -> Counter[tuple[str, str | None]]:
    return Counter((row.status, row.reason) for row in deliveries(**columns))


def counts() -> list[bytes]:
    return list(redis_store.client.keys("notifier:flood:*"))


def people(count: int, **profile: str) -> list[InlineRecipient]:
    return [InlineRecipient(f"p{number}", profile) for number in range(count)]


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize(("channel", "profile"), [("sms", {"phone": PHONE}), ("email", {"email": MAIL})])
def test_one_address_of_many_people_gets_no_more_codes_than_one_person(
    limited: None, submit: Submit, channel: str, profile: dict[str, str], at_once: bool
) -> None:
    everybody = people(7, **profile)
    for some in [everybody] if at_once else [[one] for one in everybody]:
        submit(*some, channels=(channel,), **CODE)
    assert fates(channel=channel) == {("queued", None): 3, ("skipped", "recipient_limit"): 4}
    assert [row.status for row in deliveries(channel=channel)] == ["queued"] * 3 + ["skipped"] * 4


def test_another_address_is_not_concerned(limited: None, submit: Submit) -> None:
    submit(*people(4, phone=PHONE), **CODE)
    submit(InlineRecipient("adam", {"phone": "+4915112345679", "email": "adam@example.test"}), **CODE)
    assert [row.status for row in deliveries()[-2:]] == ["queued", "queued"]


def test_a_phone_gets_so_many_transactional_messages_an_hour_whatever_their_type(
    limited: None, submit: Submit, cast: Any
) -> None:
    for number in range(7):
        submit(
            "alice",
            **{**ORDER, "type": ("order_shipped", "order_delayed")[number % 2], "data": {"order_id": f"A{number}"}},
        )
    assert fates(channel="sms") == {("queued", None): 5, ("skipped", "recipient_limit"): 2}


def test_a_call_and_an_sms_count_together(limited: None, submit: Submit, cast: Any) -> None:
    for number in range(4):
        submit("alice", **{**ORDER, "channels": ("sms", "voice"), "data": {"order_id": f"A{number}"}})
    assert fates() == {("queued", None): 5, ("skipped", "recipient_limit"): 3}


def test_mail_about_orders_is_not_limited(limited: None, submit: Submit, cast: Any) -> None:
    for number in range(8):
        submit("alice", **{**ORDER, "channels": ("email",), "data": {"order_id": f"A{number}"}})
    assert fates() == {("queued", None): 8}


def test_what_is_simulated_is_nobodys_phone(limited: None, submit: Submit) -> None:
    submit(*people(5, phone="+15550100000", email="delivered@sandbox.test"), **CODE)
    assert set(fates()) == {("queued", None)}


def test_a_test_key_uses_nothing_up(limited: None, submit: Submit, caller: Caller, cast: Any) -> None:
    for number in range(8):
        submit("alice", caller=replace(caller, is_test=True), **{**ORDER, "data": {"order_id": f"A{number}"}})
    submit("alice", **ORDER)
    assert deliveries(channel="sms")[-1].status == "queued"


def test_a_dry_run_uses_nothing_up(limited: None, submit: Submit, caller: Caller, cast: Any) -> None:
    for _ in range(8):
        dry_run([Item(caller, submission("alice", **ORDER))])
    submit("alice", **ORDER)
    assert fates(channel="sms") == {("queued", None): 1}


NOT_STORED: dict[str, dict[str, Any]] = {
    "said once more": {"idempotency": ("key-1", "00" * 32)},
    "refused": {"data": {}},
}


@pytest.mark.parametrize("fields", NOT_STORED.values(), ids=NOT_STORED)
def test_what_is_not_stored_uses_nothing_up(limited: None, caller: Caller, cast: Any, fields: dict[str, Any]) -> None:
    first, again = submission("alice", **CODE), submission("alice", **{**CODE, **fields})
    accept([Item(caller, first)])
    accept([Item(caller, again), Item(caller, again)])
    for _ in range(5):
        accept([Item(caller, again)])
    accept([Item(caller, submission("alice", **{**CODE, "data": {"code": "5678"}}))])
    assert ("skipped", "recipient_limit") not in fates()


def test_what_is_given_back_after_a_commit_needs_no_database(app: APIFlask, cast: Any) -> None:
    trigger = ("alice", "one_time_code")
    flood.over_limit([trigger])
    app.extensions["limited_types"].at = float("-inf")  # known for too long
    before = counts()
    with database_away():
        flood.give_back([trigger])
    assert [int(redis_store.client.get(key) or 0) for key in before] == [0]


@pytest.mark.parametrize("is_over", [False, True], ids=["in its window", "after its window"])
def test_what_is_rolled_back_uses_nothing_up_and_no_count_lasts_for_ever(
    limited: None, submit: Submit, cast: Any, is_over: bool
) -> None:
    def fail(_session: Any) -> None:
        if is_over:
            redis_store.client.delete(*counts())
        raise KeyboardInterrupt

    sa.event.listen(db.session, "before_commit", fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            submit("alice", **ORDER)
    finally:
        sa.event.remove(db.session, "before_commit", fail)
    for _ in range(6):
        submit("alice", **ORDER)

    assert fates(channel="sms") == {("queued", None): 5, ("skipped", "recipient_limit"): 1}
    assert [0 < redis_store.client.ttl(key) <= 3600 for key in counts()] == [True]


def test_a_count_that_would_last_for_ever_ends_with_its_next_window(limited: None, submit: Submit, cast: Any) -> None:
    submit("alice", **ORDER)
    [key] = counts()
    redis_store.client.persist(key)
    submit("alice", **ORDER)
    assert 0 < redis_store.client.ttl(key) <= 3600


def test_no_address_stands_in_redis(limited: None, submit: Submit) -> None:
    submit(*people(2, phone=PHONE, email=MAIL), **CODE)
    keys = b" ".join(redis_store.client.keys("*"))
    assert b"notifier:flood:" in keys
    assert PHONE.encode() not in keys
    assert MAIL.encode() not in keys


def test_a_batch_of_any_size_asks_redis_as_often_as_a_batch_of_one(
    limited: None, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    send = redis.connection.AbstractConnection.send_packed_command

    def counting(connection: Any, command: Any, *args: Any, **options: Any) -> Any:
        asked.append(command)
        return send(connection, command, *args, **options)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counting)
    sizes = []
    for count in (1, 40):
        asked.clear()
        accept([Item(caller, submission(one, **CODE)) for one in people(count, phone=PHONE, email=MAIL)])
        sizes.append(len(asked))
    assert sizes[1] <= sizes[0]


def test_without_redis_everything_passes_and_is_counted_as_unchecked(
    limited: None, submit: Submit, redis_away: None
) -> None:
    with growth() as grown:
        submit(*people(7, phone=PHONE), **CODE)
    assert fates(channel="sms") == {("queued", None): 7}
    assert grown["notifier_limits_unchecked_total{limit=recipient}"] > 0
