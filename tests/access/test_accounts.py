"""Keys, sign-in and tokens."""

import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from argon2 import PasswordHasher
from flask import Config

from notifier.access import accounts, keys
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, ApiKey, User
from notifier.models.producer import SCOPES
from tests.conftest import subject_of


@pytest.fixture
def statements(app: APIFlask) -> Callable[[], int]:
    """Counts the statements that reached the database since it was last asked."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement != "BEGIN":
            seen.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)

    def count() -> int:
        number = len(seen)
        seen.clear()
        return number

    yield count
    sa.event.remove(db.engine, "before_cursor_execute", note)


# --- keys


@pytest.mark.parametrize(("is_test", "start"), [(False, "ntf_live_"), (True, "ntf_test_")])
def test_a_key_is_shown_once_and_only_its_hash_and_prefix_are_stored(app: APIFlask, is_test: bool, start: str) -> None:
    producer = keys.create_producer("Shop")
    key, plain = keys.create_key(producer.id, scopes=["notify"], is_test=is_test)
    assert plain.startswith(start)
    assert len(plain) >= len(start) + 43  # 32 random bytes
    assert plain.startswith(key.prefix)
    assert len(key.prefix) == 16
    row = db.session.execute(sa.text("SELECT * FROM api_key")).mappings().one()
    assert not any(plain in str(value) for value in row.values())


def test_of_a_key_that_was_chosen_hardly_anything_is_stored(app: APIFlask) -> None:
    chosen = "0123456789abcdef0123456789abcdef"
    keys.ensure_key(chosen, producer_name="Shop", scopes=["notify"])
    keys.create_key(keys.create_producer("Other").id, scopes=["notify"], plain=chosen[::-1])
    assert set(db.session.scalars(sa.select(ApiKey.prefix))) == {"0123", "fedc"}


def test_a_key_is_found_with_what_it_may_do(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    until = now() + timedelta(days=1)
    key, plain = keys.create_key(
        producer.id, scopes=("read", "notify"), types=["order_shipped"], is_test=True, expires_at=until
    )
    assert keys.find_key(plain) == keys.KeyIdentity(
        key.id,
        producer.id,
        frozenset({"notify", "read"}),
        frozenset({"order_shipped"}),
        is_test=True,
        expires_at=until,
        label=f"Shop, key {plain[:16]}…",
        prefix=plain[:16],
        producer="Shop",
    )


def test_a_key_with_an_unknown_scope_is_not_made(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    with pytest.raises(ValueError, match="everything"):
        keys.create_key(producer.id, scopes=["notify", "everything"])


@pytest.mark.parametrize(
    "plain", ["", "ntf_live_", "ntf_live_" + "x" * 43, "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"]
)
def test_what_is_no_key_is_not_found(app: APIFlask, plain: str) -> None:
    assert keys.find_key(plain) is None


def test_a_key_chosen_by_the_operator_is_stored_once(app: APIFlask) -> None:
    plain = "correct-horse-battery-staple-0123456789"
    assert keys.ensure_key(plain, producer_name="Environment", scopes=SCOPES)
    assert not keys.ensure_key(plain, producer_name="Environment", scopes=SCOPES)
    identity = keys.find_key(plain)
    assert identity is not None
    assert identity.scopes == set(SCOPES)
    assert not identity.is_test


def test_a_key_chosen_by_the_operator_gets_the_scopes_of_a_later_release(app: APIFlask) -> None:
    plain = "correct-horse-battery-staple-0123456789"
    keys.ensure_key(plain, producer_name="Environment", scopes=SCOPES[:3])
    assert not keys.ensure_key(plain, producer_name="Environment", scopes=SCOPES)
    identity = keys.find_key(plain)
    assert identity is not None
    assert identity.scopes == set(SCOPES)


def test_a_revoked_key_is_refused_at_once_where_it_was_revoked_and_stays_so(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    key, plain = keys.create_key(producer.id, scopes=SCOPES, plain="p" * 40)
    assert keys.find_key(plain)
    assert keys.revoke_key(key.id)
    assert keys.find_key(plain) is None
    assert not keys.revoke_key(key.id)
    assert not keys.ensure_key(plain, producer_name="Environment", scopes=SCOPES)
    assert keys.find_key(plain) is None


def test_a_key_revoked_by_another_process_is_refused_seconds_later(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    key, plain = keys.create_key(producer.id, scopes=SCOPES)
    with time_machine.travel(now(), tick=False) as clock:
        assert keys.find_key(plain)
        with transaction() as session:
            session.execute(sa.update(ApiKey).where(ApiKey.id == key.id).values(revoked_at=now()))
        clock.shift(keys.CACHED_S)
        assert keys.find_key(plain) is None


def test_an_expired_key_is_refused_even_while_it_is_cached(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    with time_machine.travel(now(), tick=False) as clock:
        _, plain = keys.create_key(producer.id, scopes=SCOPES, expires_at=now() + timedelta(seconds=1))
        assert keys.find_key(plain)
        clock.shift(1)
        assert keys.find_key(plain) is None


def test_the_keys_of_a_disabled_producer_are_refused_until_it_is_enabled(app: APIFlask) -> None:
    producer = keys.create_producer("Shop")
    _, plain = keys.create_key(producer.id, scopes=SCOPES)
    assert keys.find_key(plain)
    keys.disable_producer(producer.id)
    assert keys.find_key(plain) is None
    keys.disable_producer(producer.id, disabled=False)
    assert keys.find_key(plain)


@pytest.mark.usefixtures("still_clock")
def test_a_key_seen_lately_costs_no_query_and_neither_does_an_unknown_one(
    app: APIFlask, statements: Callable[[], int]
) -> None:
    producer = keys.create_producer("Shop")
    _, plain = keys.create_key(producer.id, scopes=SCOPES)
    for key in (plain, "ntf_live_unknown"):
        statements()
        keys.find_key(key)
        assert statements() == 1
        keys.find_key(key)
        assert statements() == 0


@pytest.mark.usefixtures("still_clock")
def test_a_flood_of_unknown_keys_is_forgotten_and_leaves_known_ones_cached(
    app: APIFlask, statements: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_CACHE_SIZE", 3)
    producer = keys.create_producer("Shop")
    _, plain = keys.create_key(producer.id, scopes=SCOPES)
    keys.find_key(plain)
    for number in range(10):
        keys.find_key(f"unknown-{number}")
    statements()
    assert keys.find_key(plain)
    assert statements() == 0
    keys.find_key("unknown-0")
    assert statements() == 1


# --- sign-in


def test_a_person_signs_in_with_their_password_whatever_the_case_of_the_email(app: APIFlask) -> None:
    account = accounts.create_account("Alice@Example.test ", "correct horse", "person", "alice")
    assert account.email == "alice@example.test"
    assert db.session.get(User, "alice") is not None
    found = accounts.check_password(" aLICE@example.TEST", "correct horse")
    assert found is not None
    assert (found.id, found.role, found.user_id) == (account.id, "person", "alice")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alice@example.test", "Correct horse"),
        ("alice@example.test", ""),
        ("alice@example.test", "x" * 2000),
        ("alice@example.test", "\ud800"),
        ("nobody@example.test", "correct horse"),
        ("", "correct horse"),
        ("alice@example.test\0", "correct horse"),
        ("\ud800@example.test", "correct horse"),
        ("%", "correct horse"),
        ("erin@example.test", ""),
        ("frank@example.test", "correct horse"),
    ],
)
def test_a_wrong_pair_signs_nobody_in(app: APIFlask, email: str, password: str) -> None:
    accounts.create_account("alice@example.test", "correct horse", "person", "alice")
    accounts.create_account("erin@example.test", None, "person", "erin")  # has no password
    disabled = accounts.create_account("frank@example.test", "correct horse", "person", "frank")
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.id == disabled.id).values(disabled_at=now()))
    assert accounts.check_password(email, password) is None


def test_passwords_are_compared_one_at_a_time(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, verify = 0, 0, PasswordHasher.verify

    def counted(self: PasswordHasher, stored: str, given: bytes) -> bool:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        try:
            return verify(self, stored, given)
        finally:
            inside -= 1

    def guess(_: int) -> Account | None:
        with app.app_context():
            return accounts.check_password("nobody@example.test", "wrong")

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(guess, range(16))) == [None] * 16
    assert most == 1


def test_an_unknown_email_costs_as_much_hashing_as_a_known_one(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.create_account("alice@example.test", "correct horse", "person", "alice")
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            verified.append(str(hash).rsplit("$", 2)[0])  # version and parameters
            return super().verify(hash, password)

    monkeypatch.setattr(accounts, "_passwords", Counting(time_cost=2, memory_cost=19 * 1024, parallelism=1))
    for email in ("alice@example.test", "nobody@example.test", "x" * 300, "\0"):
        accounts.check_password(email, "wrong")
    assert len(verified) == 4
    assert len(set(verified)) == 1


def test_a_password_hashed_with_older_parameters_is_hashed_anew_at_sign_in(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, hashing = list[bool](), PasswordHasher.hash
    account = accounts.create_account("alice@example.test", "correct horse", "person", "alice")
    older = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("correct horse")
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.id == account.id).values(password_hash=older))
    assert accounts.check_password("alice@example.test", "wrong") is None
    assert _stored_hash() == older

    def hashed(self: PasswordHasher, password: bytes) -> str:
        held.append(db.session().in_transaction())
        return hashing(self, password)

    monkeypatch.setattr(PasswordHasher, "hash", hashed)
    assert accounts.check_password("alice@example.test", "correct horse")
    assert held == [False]  # it takes a while: nobody else waits for the database meanwhile
    assert _stored_hash() != older
    assert accounts.check_password("alice@example.test", "correct horse")


def test_a_changed_password_replaces_the_old_one(app: APIFlask) -> None:
    account = accounts.create_account("alice@example.test", "correct horse", "person", "alice")
    accounts.set_password(account.id, "battery staple")
    assert accounts.check_password("alice@example.test", "correct horse") is None
    assert accounts.check_password("alice@example.test", "battery staple")


@pytest.mark.parametrize(
    ("email", "password", "role"),
    [
        ("alice", "pw", "person"),
        ("", "pw", "person"),
        ("a@b.test", "", "person"),
        ("a@b.test", "x" * 1025, "person"),
        ("a@b.test", "pw", "king"),
    ],
)
def test_an_account_that_could_not_be_used_is_not_made(app: APIFlask, email: str, password: str, role: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        accounts.create_account(email, password, role, "alice")
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Account)) == 0


def test_what_no_password_is_compared_with_takes_as_long_as_a_password() -> None:
    assert not accounts._passwords.check_needs_rehash(accounts._NOBODYS_HASH)


def _stored_hash() -> str | None:
    return db.session.scalar(sa.select(Account.password_hash))


# --- tokens


def opened_for(token: str) -> str | None:
    opened = tokens.open_user_token(token)
    return opened.user_id if opened else None


def test_a_users_token_acts_for_that_user_until_it_expires(app: APIFlask) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        token, expires_at = tokens.sign_user_token(subject_of("alice@shop+1"), 60)
        assert expires_at == (now() + timedelta(seconds=60)).replace(microsecond=0)
        assert opened_for(token) == "alice@shop+1"
        clock.move_to(expires_at - timedelta(seconds=1))
        assert opened_for(token) == "alice@shop+1"
        clock.move_to(expires_at)
        assert tokens.open_user_token(token) is None


def test_an_unsubscribe_token_says_whose_category_and_channel_and_does_not_expire(app: APIFlask) -> None:
    token = tokens.sign_unsubscribe(subject_of("alice"), "marketing", "email")
    with time_machine.travel(now() + timedelta(days=3650), tick=False):
        assert tokens.read_unsubscribe(token) == tokens.Unsubscribe(
            "alice", subject_of("alice").generation, "marketing", "email"
        )


def test_tokens_are_made_of_url_safe_letters(app: APIFlask) -> None:
    for user_id in ("alice", "a" * 128, "._@+-"):
        for token in (
            tokens.sign_user_token(subject_of(user_id), 60)[0],
            tokens.sign_unsubscribe(subject_of(user_id), "marketing", "email"),
        ):
            assert set(token) <= set(string.ascii_letters + string.digits + "._-")


def test_a_token_serves_its_own_purpose_only(app: APIFlask) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    assert tokens.read_unsubscribe(token) is None
    assert tokens.open_user_token(tokens.sign_unsubscribe(subject_of("alice"), "marketing", "email")) is None


def test_no_letter_of_a_token_can_be_changed(app: APIFlask) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    for place in range(len(token)):
        for letter in ("A" if token[place] != "A" else "B", chr(ord(token[place]) ^ 1), "!", "", "é"):
            forged = token[:place] + letter + token[place + 1 :]
            assert tokens.open_user_token(forged) is None, forged
    assert tokens.open_user_token(token + "A") is None
    assert opened_for(token) == "alice"


def test_a_token_signed_with_another_key_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config, "SECRET_KEY", "another")
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    monkeypatch.undo()
    assert tokens.open_user_token(token) is None


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "x" * 10_000, "\0", "ntf_live_x"])
def test_what_is_no_token_is_refused(app: APIFlask, token: str) -> None:
    assert tokens.open_user_token(token) is None
    assert tokens.read_unsubscribe(token) is None
