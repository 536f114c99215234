"""What people have chosen, kept in Redis: an opt-out holds from the moment it is saved, whoever reads meanwhile."""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground import kept
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.models import Preference, Revision
from notifier.people import cache as people_cache
from notifier.people import preferences, profiles
from notifier.people.person import load_people, recall_people
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Caller, Item
from tests.stored import sent_statements as statements
from tests.submitting import submission

Profile = dict[str, Any]


def knows(user_id: str = "alice") -> Any:
    """What planning believes of the person's e-mail: True, False, or None where nothing was chosen."""
    db.session.close()
    found = recall_people([user_id])
    return found[user_id].preferences.channels.get("email") if user_id in found else "nobody"


def choose(is_on: bool, user_id: str = "alice") -> None:
    preferences.change(user_id, {"channels": {"email": is_on}}, replace=False, source="test")


def in_redis() -> list[str]:
    return sorted(key.decode().removeprefix("notifier:") for key in redis_store.client.scan_iter("notifier:person*"))


@pytest.fixture(autouse=True)
def alice(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], preference_cache=True))
    with transaction():
        profiles.upsert(
            [
                InlineRecipient("alice", {"name": "Alice", "email": "alice@x.test", "time_zone": "Europe/Berlin"}),
                InlineRecipient("bob", {"name": "Bob"}),
            ]
        )
    choose(True)


class Slow:
    """A reader who is stopped after it has read the database, and fills the cache when it is told to."""

    def __init__(self, app: APIFlask) -> None:
        self.app, self.has_read, self.may_fill = app, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.app.app_context():
            people_cache.recall({"alice"}, self._read)

    def _read(self, ids: Collection[str]) -> dict[str, Profile]:
        person = load_people(ids)["alice"]
        db.session.close()
        self.has_read.set()
        assert self.may_fill.wait(10)
        return {
            "alice": {
                "name": person.name,
                "locale": None,
                "time_zone": None,
                "choices": {"channels": dict(person.preferences.channels)},
            }
        }


@pytest.fixture
def slow_reader(app: APIFlask) -> Callable[[], Any]:
    """`with slow_reader():` a reader has read the database before the block, and fills the cache after it."""

    @contextmanager
    def _slow() -> Iterator[None]:
        reader = Slow(app)
        reader.thread.start()
        assert reader.has_read.wait(10)
        yield
        reader.may_fill.set()
        reader.thread.join()

    return _slow


# ---- what it is for


def test_the_second_batch_asks_redis_alone(app: APIFlask) -> None:
    first = recall_people(["alice", "bob"])
    with statements() as sent:
        second = recall_people(["alice", "bob"])
    assert first == second == load_people(["alice", "bob"])
    assert [
        statement for statement in sent if "preference" in statement or '"user"' in statement.split("WHERE")[0]
    ] == []
    assert in_redis() == ["person:alice", "person:bob"]


def test_it_lasts_an_hour_at_most(app: APIFlask) -> None:
    knows()
    assert 0 < redis_store.client.ttl("notifier:person:alice") <= 3600


def test_nobody_is_not_kept(app: APIFlask) -> None:
    assert knows("erin") == "nobody"
    with transaction():
        profiles.upsert([InlineRecipient("erin", {"name": "Erin"})])
    assert knows("erin") is None


def test_the_setting_leaves_it_out(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], preference_cache=False))
    assert knows() is True
    choose(False)
    assert knows() is False
    assert in_redis() == []


@pytest.mark.parametrize(
    ("what", "change", "expected"),
    [
        ("an opt-out", lambda: choose(False), (False, "Alice", "Europe/Berlin")),
        (
            "a zone",
            lambda: preferences.change("alice", {"time_zone": "Asia/Tokyo"}, replace=False, source="test"),
            (True, "Alice", "Asia/Tokyo"),
        ),
        ("a name", lambda: _rename("Alicia"), (True, "Alicia", "Europe/Berlin")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_holds_at_once(what: str, change: Callable[[], None], expected: tuple[bool, str, str]) -> None:
    knows()
    change()
    db.session.close()
    person = recall_people(["alice"])["alice"]
    assert (person.preferences.channels["email"], person.name, str(person.zone)) == expected


def _rename(name: str) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"name": name})])


def test_who_is_erased_and_comes_again_starts_anew(app: APIFlask) -> None:
    knows()
    profiles.erase("alice")
    assert knows() == "nobody"
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"name": "Another Alice"})])
    assert knows() is None


def test_a_change_that_came_to_nothing_leaves_nobody_closed(app: APIFlask) -> None:
    knows()

    def fail() -> None:
        with transaction():
            people_cache.changing(["alice"], is_consent=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (knows(), in_redis()) == (True, ["person:alice"])


# ---- the race between a stale fill and an opt-out


def test_what_was_read_before_the_change_is_not_kept_after_it(slow_reader: Callable[[], Any]) -> None:
    with slow_reader():
        choose(False)
    assert knows() is False


def test_nor_while_redis_forgets_everything(slow_reader: Callable[[], Any]) -> None:
    with slow_reader():
        choose(False)
        redis_store.client.flushall()
    assert knows() is False


def test_nor_what_is_read_while_the_change_is_being_made(app: APIFlask, slow_reader: Callable[[], Any]) -> None:
    """Closed, read, committed, filled."""
    with transaction() as session:
        people_cache.changing(["alice"], is_consent=True)
        with slow_reader():
            pass
        assert in_redis() == ["person-stamp:alice"]
        session.execute(
            sa.update(Preference).where(Preference.user_id == "alice").values(document={"channels": {"email": False}})
        )
    assert knows() is False


def test_nor_what_is_read_while_the_change_is_being_made_and_redis_forgets(
    app: APIFlask, slow_reader: Callable[[], Any]
) -> None:
    """Closed, forgotten, read and filled, committed: opening takes the value away."""
    with transaction() as session:
        people_cache.changing(["alice"], is_consent=True)
        redis_store.client.flushall()
        with slow_reader():
            pass
        assert in_redis() == ["person:alice"]
        session.execute(
            sa.update(Preference).where(Preference.user_id == "alice").values(document={"channels": {"email": False}})
        )
    assert knows() is False


def test_two_readers_at_once_leave_the_newer_one(app: APIFlask, slow_reader: Callable[[], Any]) -> None:
    with slow_reader():
        choose(False)
        assert knows() is False
    assert knows() is False


def test_a_process_that_dies_after_its_commit_leaves_the_person_uncached(
    app: APIFlask, slow_reader: Callable[[], Any]
) -> None:
    knows()
    with transaction() as session:
        people_cache.changing(["alice"], is_consent=True)
        db.session.info["after"].clear()  # it never comes to that
        session.execute(
            sa.update(Preference).where(Preference.user_id == "alice").values(document={"channels": {"email": False}})
        )
    assert [knows(), knows()] == [False, False]
    assert in_redis() == ["person-stamp:alice"]
    choose(True)
    assert (knows(), in_redis()) == (True, ["person:alice"])


def test_one_change_does_not_open_whom_another_one_has_closed(app: APIFlask, slow_reader: Callable[[], Any]) -> None:
    with transaction():
        people_cache.changing(["alice"], is_consent=True)
        redis_store.client.set("notifier:person-stamp:alice", "closed:by another process")
    with slow_reader():
        pass
    assert in_redis() == ["person-stamp:alice"]


def test_a_reader_that_had_begun_to_read_before_the_change_keeps_nothing_older(app: APIFlask) -> None:
    """As planning does: event types are read first, and SQLite goes on showing the database of that moment."""
    db.session.scalar(sa.select(Preference.user_id))
    writer = threading.Thread(target=lambda: _within(app, lambda: choose(False)))
    writer.start()
    writer.join()
    recall_people(["alice"])
    assert knows() is False


def _within(app: APIFlask, work: Callable[[], None]) -> None:
    with app.app_context():
        work()


# ---- Redis away


@pytest.mark.usefixtures("redis_away")
def test_without_redis_the_database_is_asked(app: APIFlask) -> None:
    assert knows() is True


@pytest.mark.slow
def test_what_redis_missed_holds_when_saved_is_said(app: APIFlask, request: pytest.FixtureRequest) -> None:
    """Redis could not be told, and comes back with the old value."""
    assert knows() is True
    client = app.extensions["redis"]
    request.getfixturevalue("redis_away")
    begun = time.monotonic()
    choose(False)
    assert time.monotonic() - begun > kept.LIFE_S  # by then every process has looked
    app.extensions["redis"] = client
    assert in_redis() == ["person:alice"]
    assert knows() is False
    assert db.session.scalar(sa.select(Revision.number)) == 1


def test_a_name_redis_missed_is_not_used_either(app: APIFlask, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("redis_away")
    _rename("Alicia")
    assert db.session.scalar(sa.select(Revision.number)) == 1


# ---- at random


@pytest.mark.slow
def test_at_random_nobody_reads_an_older_choice_than_was_saved(app: APIFlask) -> None:
    """Readers and writers at once, and a Redis that forgets: what is read is never older than what was saved when the
    reading began.
    """
    saved, faults = [0], list[str]()
    end = time.monotonic() + 1
    choices = random.Random(7)

    def write() -> None:
        with app.app_context():
            for number in range(1, 10_000):
                preferences.change("alice", {"caps": {"marketing": {"day": number}}}, replace=False, source="test")
                saved[0] = number
                if time.monotonic() > end:
                    break
                time.sleep(choices.random() * 0.005)

    def read() -> None:
        with app.app_context():
            while time.monotonic() < end:
                before = saved[0]
                found = recall_people(["alice"])["alice"].preferences.caps.get("marketing", {}).get("day", 0)
                db.session.close()
                if found < before:
                    faults.append(f"read {found} after {before} was saved")

    def flush() -> None:
        with app.app_context():
            client: redis.Redis = redis_store.client
            while time.monotonic() < end:
                client.flushall()
                time.sleep(choices.random() * 0.05)

    threads = [threading.Thread(target=work) for work in (write, read, read, read, flush)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert saved[0] > 1


# ---- what it decides


def test_a_batch_after_an_opt_out_is_decided_by_it(app: APIFlask) -> None:
    caller = Caller(None, is_test=False, may_be_urgent=True, types=None, request_id="test")
    item = Item(caller, submission("alice", channels=("email",)))

    def fate() -> Any:
        [result] = accept([item])
        return result.answer["notifications"][0]["deliveries"][0]["reason"]  # type: ignore[union-attr]

    assert fate() is None
    choose(False)
    assert fate() == "opted_out"
