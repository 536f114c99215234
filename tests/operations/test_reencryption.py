"""Everything is encrypted with the first key in the end, whoever dies or writes meanwhile; then the others may go."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.encryption import KeyRing, KeysDoNotFit, key_id_of, vault
from notifier.ground.extensions import db
from notifier.models import Address, AuditEntry, InstallationSecret, Notification, Provider, Reencryption
from notifier.models.types import purposes_of
from notifier.operations import encryption_keys, installation, reencrypted_rows, reencryption
from notifier.people import addresses
from notifier.providers import accounts as providers
from tests.conftest import Statements

OLD_KEY, NEW_KEY = KeyRing.generate(), KeyRing.generate()
NEW = NEW_KEY.partition(":")[0]


def ring(*entries: str) -> KeyRing:
    return KeyRing.parse(",".join(entries))


@pytest.fixture
def rotate(app: APIFlask, settings: Settings, cast: Any, submit: Callable[..., Any]) -> Iterator[Callable[[], str]]:
    """Data, some of them encrypted; calling it puts a new key in front, as a restart does. → the old one's id."""
    old = settings.encryption_keys.keys[0]
    secrets = [(row.name, bytes(row.sealed)) for row in db.session.scalars(sa.select(InstallationSecret))]
    encryption_keys.take_up()
    submit("alice", "bob", "carol")
    add_hook("alice", "https://example.test/hook")

    def _rotate() -> str:
        vault.open(KeyRing((*ring(NEW_KEY).keys, old)))
        installation.open_vault()
        return old[0]

    yield _rotate
    vault.open(settings.encryption_keys)
    with transaction() as session:  # the other tests of this database go on with what they have
        for name, sealed in secrets:
            session.execute(sa.update(InstallationSecret).where(InstallationSecret.name == name).values(sealed=sealed))


def add_hook(user_id: str, url: str) -> None:
    with transaction():
        addresses.add_given(user_id, "webhook", url, label=None)


def keys_in_use() -> dict[str, set[str]]:
    """Key → the tables in which something is encrypted with it."""
    found: dict[str, set[str]] = {}
    for table in db.metadata.sorted_tables:
        names = [*purposes_of(table), *(["sealed"] if table.name == "installation_secret" else [])]
        for name in names:
            for value in db.session.scalars(sa.select(sa.type_coerce(table.c[name], sa.LargeBinary))):
                if value is not None:
                    found.setdefault(key_id_of(value), set()).add(table.name)
    db.session.close()
    return found


def contents() -> Any:
    found = [
        sorted(map(tuple, db.session.execute(sa.select(Address.id, Address.value, Address.secret)).all())),
        sorted(map(tuple, db.session.execute(sa.select(Notification.id, Notification.given)).all())),
        [row.data for row in db.session.scalars(sa.select(Notification).order_by(Notification.id))],
    ]
    db.session.close()
    return found


def work_later() -> None:
    """A chunk, after the pause between two rounds."""
    with transaction() as session:
        session.execute(sa.update(Reencryption).where(Reencryption.wake_at.is_not(None)).values(wake_at=now()))
    reencryption.work()


def run_to_the_end() -> None:
    for _ in range(200):
        work_later()
        run = reencryption.progress()
        assert run is not None
        if run.finished_at:
            return
    raise AssertionError("it does not end")


def state_of(key: str) -> tuple[bool, bool]:
    """Whether it may go, and whether it encrypts."""
    [line] = [line for line in encryption_keys.listing() if line.id == key]
    return line.may_go, line.encrypts


def test_everything_is_encrypted_with_the_first_key_and_the_other_may_go(rotate: Any, monkeypatch: Any) -> None:
    before, used = contents(), keys_in_use()
    old = rotate()
    assert used.keys() == {old}
    assert {"address", "notification", "installation_secret"} <= used[old]
    monkeypatch.setattr(reencrypted_rows, "CHUNK", 2)
    reencryption.begin()
    assert state_of(old) == (False, False)

    run_to_the_end()

    assert keys_in_use() == {NEW: used[old]}
    assert (state_of(old), state_of(NEW)) == ((True, False), (False, True))
    vault.open(ring(NEW_KEY))
    installation.open_vault()  # it starts without the old one
    assert contents() == before
    assert [entry.action for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))][-2:] == [
        "reencryption.started",
        "reencryption.finished",
    ]


def test_nothing_but_the_ciphertext_changes(rotate: Any) -> None:
    providers.add("mail", "smtp", {"SMTP_URL": "smtp://127.0.0.1:25"})
    changed_at = sa.select(Provider.changed_at)
    before = db.session.scalar(changed_at)
    rotate()
    reencryption.begin()
    with time_machine.travel(now() + timedelta(hours=1)):
        run_to_the_end()
    assert db.session.scalar(changed_at) == before


def test_large_rows_make_small_chunks(rotate: Any, monkeypatch: Any) -> None:
    old = rotate()
    monkeypatch.setattr(reencrypted_rows, "MOST_BYTES", 1)
    reencryption.begin()
    run_to_the_end()
    assert old not in keys_in_use()


def test_a_chunk_is_done_as_a_whole_or_not_at_all(rotate: Any, monkeypatch: Any) -> None:
    old = rotate()
    reencryption.begin()
    encrypted = [table for table in db.metadata.sorted_tables if purposes_of(table)]
    with monkeypatch.context() as patch:
        patch.setattr(reencryption, "tables", lambda: encrypted)
        patch.setattr(reencryption, "_end_round", lambda *_: 1 / 0)  # dies in the last chunk, before its end
        with pytest.raises(ZeroDivisionError):
            run_to_the_end()
    before = keys_in_use()
    assert before.keys() == {old, NEW}  # those of the last table, and all before
    run_to_the_end()
    assert keys_in_use().keys() == {NEW}


def test_what_is_written_with_an_old_key_meanwhile_is_found_by_the_next_round(rotate: Any, settings: Settings) -> None:
    old = rotate()
    reencryption.begin()
    rounds = []
    for late in ("https://example.test/late", "https://example.test/later"):
        while (run := reencryption.progress()) and run.round == len(rounds) + 1:
            work_later()
        rounds.append(run)
        vault.open(KeyRing((*settings.encryption_keys.keys, *ring(NEW_KEY).keys)))  # one that was not restarted again
        add_hook("bob", late)
        vault.open(KeyRing((*ring(NEW_KEY).keys, *settings.encryption_keys.keys)))
    run_to_the_end()
    assert keys_in_use().keys() == {NEW}
    assert state_of(old) == (True, False)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_a_row_that_somebody_holds_is_not_waited_for(rotate: Any) -> None:
    old = rotate()
    reencryption.begin()
    with db.engine.connect() as other:
        held = other.execute(sa.select(Address.__table__.c.id).limit(1).with_for_update()).one()
        while (run := reencryption.progress()) and run.round == 1:
            reencryption.work()
        assert keys_in_use()[old] == {"address"}
        assert held
    run_to_the_end()
    assert keys_in_use().keys() == {NEW}


def test_the_number_of_statements_does_not_grow_with_the_rows(
    rotate: Any, submit: Callable[..., Any], statements: Statements
) -> None:
    def of_a_chunk() -> list[str]:
        reencryption.begin()
        with transaction() as session:
            session.execute(sa.text("UPDATE reencryption SET table_name = 'notification'"))
        with statements() as sent:
            assert reencryption.work() > 0
        return sent

    rotate()
    few = of_a_chunk()
    run_to_the_end()
    vault.open(ring(OLD_KEY, NEW_KEY))
    for _ in range(5):
        submit("alice", "bob", "carol")
    many = of_a_chunk()
    assert len(few) == len(many)


def test_a_scheduler_with_another_first_key_leaves_it_to_those_that_have_it(rotate: Any, settings: Settings) -> None:
    old = rotate()
    reencryption.begin()
    vault.open(settings.encryption_keys)
    assert reencryption.work() == 0
    with time_machine.travel(now() + timedelta(minutes=1)):
        run = reencryption.progress()
        assert run is not None
        assert (run.is_idle, run.encrypted) == (True, 0)
    assert keys_in_use().keys() == {old}


def test_one_run_at_a_time(rotate: Any) -> None:
    rotate()
    reencryption.begin()
    with pytest.raises(Rejected, match="already"):
        reencryption.begin()
    run_to_the_end()
    reencryption.begin()  # looks again


def test_no_process_starts_without_a_key_that_may_be_needed(rotate: Any, settings: Settings) -> None:
    old = rotate()
    vault.open(ring(NEW_KEY))
    with pytest.raises(KeysDoNotFit, match=rf"encrypted with the key {old}, which ENCRYPTION_KEYS no longer has"):
        encryption_keys.take_up()
    encryption_keys.forget(old)
    encryption_keys.take_up()
    with pytest.raises(Rejected, match="no key"):
        encryption_keys.forget(old)
    vault.open(settings.encryption_keys)  # it is found again, and encrypts
    with pytest.raises(KeysDoNotFit, match=NEW):
        encryption_keys.take_up()


def test_what_cannot_be_read_is_counted_and_its_key_stays_needed(rotate: Any, settings: Settings) -> None:
    old = rotate()
    lost = KeyRing.generate()
    vault.open(KeyRing((*ring(lost).keys, *settings.encryption_keys.keys, *ring(NEW_KEY).keys)))
    encryption_keys.take_up()
    add_hook("bob", "https://example.test/lost")
    vault.open(KeyRing((*ring(NEW_KEY).keys, *settings.encryption_keys.keys)))
    reencryption.begin()
    run_to_the_end()
    run = reencryption.progress()
    assert run is not None
    assert run.unreadable == {lost.partition(":")[0]: 2}  # the address and its secret
    assert state_of(old) == (True, False)
    with pytest.raises(KeysDoNotFit, match=lost.partition(":")[0]):
        encryption_keys.take_up()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_nobody_waits_while_rows_are_counted(app: APIFlask, rotate: Any) -> None:
    rotate()
    counted_by_writers = []

    def look(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(*)" in statement:
            counted_by_writers.append(bool(connection.get_execution_options().get("writes")))

    sa.event.listen(db.engine, "before_cursor_execute", look)
    try:
        reencryption.begin()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", look)
    assert counted_by_writers == [False]
