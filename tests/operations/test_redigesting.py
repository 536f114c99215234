"""A new digest key: what is found by a digest is found at every moment while it takes the place of the one before, and
in the end nothing that is stored can be guessed by whoever knows the old one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask import current_app

from notifier.access import accounts, address_codes, invitations, recovery_codes, sign_in
from notifier.channels.addresses import digest_of
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import LOOK_S, look_now, look_often, transaction
from notifier.ground.encryption import digest_number_of, vault
from notifier.ground.extensions import db
from notifier.models import (
    Account,
    Address,
    AddressCode,
    Delivery,
    DigestKey,
    Invitation,
    Receipt,
    Reencryption,
    Suppression,
    User,
)
from notifier.models.types import digests_of
from notifier.operations import digest_keys, reencrypted_rows, reencryption
from notifier.people import addresses, erasures, profiles, suppressions
from notifier.people.person import as_given, load_people
from notifier.queries import people as people_queries
from tests.conftest import Statements

NOBODYS = "nobody@example.test"  # suppressed, and no person's
CODE = "123456"
SHARED = "both@example.test"  # alice's and bob's


@pytest.fixture
def chain(app: APIFlask) -> Iterator[None]:
    yield
    vault.use_digest_keys([vault.first_digest_key])
    vault.before_digests(lambda: None)
    app.extensions.pop("looks", None)


def announce() -> None:
    """A new key is made; its digests are only looked for."""
    reencryption.begin(with_new_digest_key=True)


def store() -> None:
    """Its time has come."""
    with transaction() as session:
        session.execute(sa.update(DigestKey).values(stored_from=now()))
        session.execute(sa.update(Reencryption).values(wake_at=now()))
    digest_keys.take_up()
    db.session.rollback()


def chunk() -> None:
    with transaction() as session:
        session.execute(sa.update(Reencryption).where(Reencryption.wake_at.is_not(None)).values(wake_at=now()))
    reencryption.work()


def run_to_the_end() -> None:
    for _ in range(400):
        chunk()
        run = reencryption.progress()
        assert run is not None
        if run.finished_at:
            digest_keys.take_up()
            db.session.rollback()
            return
    raise AssertionError("it does not end")


def numbers() -> dict[str, set[int]]:
    """Table → the keys of the digests in it."""
    found: dict[str, set[int]] = {}
    for table in db.metadata.sorted_tables:
        for name in digests_of(table):
            for digest in db.session.scalars(sa.select(table.c[name]).where(table.c[name].is_not(None))):
                found.setdefault(table.name, set()).add(digest_number_of(digest))
    db.session.close()
    return found


def person_with(user_id: str, email: str) -> None:
    with transaction():
        profiles.upsert([InlineRecipient(user_id, {"email": email})])


def email_of(user_id: str) -> Any:
    [found] = [a for a in load_people([user_id])[user_id].addresses if a.channel == "email"]
    db.session.close()
    return found


def held_for(email: str) -> frozenset[str]:
    """What an address that comes with a notification is held back for."""
    [person] = as_given([(load_people(["dave"])["dave"], {"email": email})])
    db.session.close()
    return next(a for a in person.addresses if a.channel == "email").suppressed_for


@dataclass
class World:
    account: Account
    codes: list[str]
    address_code: tuple[UUID, str]
    token: str
    erased: str = "erin"


@pytest.fixture
def world(app: APIFlask, cast: Mapping[str, str], chain: None) -> World:
    """Something under each digest that there is."""
    person_with("alice", SHARED)
    person_with("bob", SHARED)
    account = accounts.create_account("ann@example.test", None, "admin", "ann")
    with transaction() as session:
        codes = recovery_codes.replace(account.id)
        digest = digest_of("email", NOBODYS)
        suppressions.stop([(digest, "email", "email", "acme")])
        session.add(_receipt("stopped", digest))
    suppressions.unsubscribe(digest_of("email", SHARED), "email", "social")
    invitations.invite("ivy@example.test", "viewer", by=account)
    with transaction() as session:
        profiles.upsert([InlineRecipient("erin", {"email": "erin@example.test"})])
    profiles.erase("erin")
    carol = email_of("carol").id
    with transaction() as session:
        digest = vault.newest(vault.digest(f"address_code\0{carol.hex}\0{CODE}"))
        later = now() + timedelta(hours=1)
        session.add(AddressCode(address_id=carol, digest=digest, expires_at=later))
    token = tokens.sign_address_unsubscribe(vault.newest(digest_of("email", "dora@example.test")), "social", "email")
    return World(account, codes, (carol, CODE), token)


def _receipt(status: str, digest: bytes) -> Receipt:
    at = now()
    given = {"provider": "acme", "channel": "email", "event_id": status, "status": status, "at": at, "applied_at": at}
    return Receipt(**given, digest=vault.newest(digest), detail={})


def _refuses_a_second_invitation(world: World) -> bool:
    with pytest.raises(Rejected, match="already an invitation"):
        invitations.invite("ivy@example.test", "viewer", by=world.account)
    return True


def _unsubscribes_by_an_old_mail(world: World) -> bool:
    told = tokens.read_address_unsubscribe(world.token)
    assert told is not None
    suppressions.unsubscribe(told.digest, told.channel, told.category)
    return held_for("dora@example.test") == {"social"}


def _wrong_code_is_told(world: World) -> bool:
    address_id, code = world.address_code
    with pytest.raises(Rejected):
        address_codes.confirm("carol", address_id, "000000")
    with transaction() as session:  # the try is given back
        session.execute(sa.update(AddressCode).values(tries=0))
    stored = db.session.scalar(sa.select(AddressCode.digest))
    given = vault.digest(f"address_code\0{address_id.hex}\0{code}")
    return bytes(stored or b"") in vault.forms(given)


FOUND: Mapping[str, Callable[[World], bool]] = {
    "a suppressed address that is nobody's": lambda _: held_for(NOBODYS) == {"channel:email"},
    "a suppressed address of two people": lambda _: (
        [set(email_of(name).suppressed_for) for name in ("alice", "bob")] == [{"social"}, {"social"}]
    ),
    "the same address, given with a notification": lambda _: held_for(SHARED) == {"social"},
    "people, by an address": lambda _: {line.user.id for line in people_queries.page(SHARED)[0]} == {"alice", "bob"},
    "a recovery code": lambda w: recovery_codes.use(w.account.id, w.codes.pop()),
    "a code for an address": _wrong_code_is_told,
    "the certificate of an erasure": lambda w: len(erasures.of_person(w.erased)) == 1,
    "an open invitation": _refuses_a_second_invitation,
    "an address in the link of an old mail": _unsubscribes_by_an_old_mail,
    "the same profile given again": lambda _: _is_the_same_address("alice", SHARED),
}


def _is_the_same_address(user_id: str, email: str) -> bool:
    before = email_of(user_id).id
    person_with(user_id, email)
    return bool(email_of(user_id).id == before)


def what_is_found(world: World) -> dict[str, bool]:
    return {name: is_found(world) for name, is_found in FOUND.items()}


@pytest.mark.slow
def test_everything_is_found_at_every_moment_and_at_the_end_has_the_new_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencrypted_rows, "CHUNK", 2)
    all_of_it = dict.fromkeys(FOUND, True)
    tables = numbers().keys()
    assert tables >= {t.name for t in db.metadata.sorted_tables if digests_of(t)} - {"content_mark"}
    assert what_is_found(world) == all_of_it
    announce()
    assert what_is_found(world) == all_of_it
    assert numbers() == {name: {1} for name in tables}
    store()
    assert what_is_found(world) == all_of_it
    while (run := reencryption.progress()) and run.table != "suppression":
        chunk()  # addresses have moved
    assert what_is_found(world) == all_of_it
    run_to_the_end()
    assert numbers() == {name: {2} for name in tables}
    assert (vault.is_changing_digests, vault.digest_number) == (False, 2)
    assert what_is_found(world) == all_of_it
    announce()  # and once more
    store()
    run_to_the_end()
    assert numbers() == {name: {3} for name in tables}
    assert what_is_found(world) == all_of_it
    vault.use_digest_keys([vault.first_digest_key])
    digest_keys.take_up()  # a process that starts
    assert what_is_found(world) == all_of_it


def test_whoever_knows_the_old_key_alone_finds_nothing(world: World) -> None:
    guess = vault.digest(f"email\0{NOBODYS}")
    announce()
    store()
    run_to_the_end()
    assert db.session.scalar(sa.select(Suppression.scope).where(Suppression.digest == guess)) is None


# ---- while both keys are in use


WRITES: Mapping[str, Callable[[], None]] = {
    "a STOP for the address as a notification gives it": lambda: _stop(digest_of("email", SHARED)),
    "a STOP for alice's": lambda: _stop(email_of("alice").digest),
    "somebody new with that address": lambda: person_with("nina", SHARED),
    "carol takes that address": lambda: person_with("carol", SHARED),
    "bob adds it on his page": lambda: bool(addresses.keep_own("bob", "email", SHARED, label=None)) and None,
    "a sign-in link to it": lambda: _in_a_transaction(lambda: sign_in.own_address("dave", SHARED)),
    "it bounces no more": lambda: _in_a_transaction(lambda: suppressions.forget_bounces([digest_of("email", SHARED)])),
    "unsubscribing by a link": lambda: suppressions.unsubscribe(digest_of("email", SHARED), "email", "marketing"),
    "START": lambda: _in_a_transaction(lambda: suppressions.start([(digest_of("email", SHARED), "email")])),
    "an operator lifts it": lambda: bool(suppressions.lift("alice", email_of("alice").id)) and None,
}


def _stop(digest: bytes) -> None:
    _in_a_transaction(lambda: suppressions.stop([(digest, "email", "email", "acme")]))


def _in_a_transaction(work: Callable[[], None]) -> None:
    with transaction():
        work()


@pytest.mark.parametrize("write", WRITES)
def test_whatever_writes_about_an_address_takes_all_of_it_along(world: World, write: str) -> None:
    announce()
    store()
    WRITES[write]()
    digests = {vault.newest(digest_of("email", SHARED)), digest_of("email", SHARED)}
    stored = [
        digest_number_of(digest)
        for column in (Address.digest, Suppression.digest)
        for digest in db.session.scalars(sa.select(column).where(column.in_(digests)))
    ]
    assert len(stored) >= 3
    assert set(stored) == {2}
    assert len({held_for(SHARED), *(email_of(name).suppressed_for for name in ("alice", "bob"))}) == 1


def twins(user_id: str, *, older: Mapping[str, Any], later: Mapping[str, Any], other: str | None = None) -> list[UUID]:
    """Two rows of one address, by the old key and by the new one."""
    channel = "push" if other else "email"
    value = "a-token-of-a-phone" if other else "twin@example.test"
    made = []
    first = vault.digest(f"{channel}\0{value}")
    for owner, digest, given in ((user_id, first, older), (other or user_id, vault.newest(first), later)):
        row = {"channel": channel, "value": value, "digest": digest, "masked": "…", "is_device": bool(other), **given}
        with transaction() as session:
            address = Address(user_id=owner, **row)
            session.add(address)
            session.flush()
            made.append(address.id)
    return made


AT = now().replace(microsecond=0)
JOINED = {
    "the later one stays": ({}, {}, {"label": None, "is_primary": False}),
    "what only the older one has": ({"label": "old", "confirmed_at": AT}, {}, {"label": "old", "confirmed_at": AT}),
    "what both have": ({"label": "old"}, {"label": "new"}, {"label": "new"}),
    "the main one stays the main one": ({"is_primary": True}, {}, {"is_primary": True}),
    "what is off was off before it was given again": (
        {"disabled_at": AT, "disabled_reason": "bounce"},
        {},
        {"disabled_at": None, "disabled_reason": None},
    ),
}


def test_two_rows_of_one_address_become_one(world: World, submit: Callable[..., Any]) -> None:
    submit("alice")
    announce()
    store()
    made = {}
    for number, (case, (older, later, _)) in enumerate(JOINED.items()):
        person_with(f"somebody-{number}", f"other-{number}@example.test")
        with transaction() as session:
            session.execute(sa.delete(Address).where(Address.user_id == f"somebody-{number}"))
        made[case] = twins(f"somebody-{number}", older=older, later=later)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(address_id=made["what both have"][0]))
    run_to_the_end()
    for number, (case, (_, _, wanted)) in enumerate(JOINED.items()):
        [row] = db.session.scalars(sa.select(Address).where(Address.user_id == f"somebody-{number}")).all()
        assert (row.id, {name: getattr(row, name) for name in wanted}) == (made[case][1], wanted), case
    assert set(db.session.scalars(sa.select(Delivery.address_id))) == {made["what both have"][1]}


def test_a_device_belongs_to_the_last_person_it_was_registered_for(world: World) -> None:
    announce()
    store()
    _, later = twins("dave", older={}, later={}, other="bob")
    run_to_the_end()
    assert db.session.scalars(sa.select(Address.id).where(Address.channel == "push")).all() == [later]


def test_the_later_reason_stays_where_an_address_is_held_twice(world: World) -> None:
    announce()
    store()
    first = digest_of("email", NOBODYS)
    with transaction() as session:
        row = {"scope": "channel:email", "channel": "email", "reason": "later"}
        session.add(Suppression(digest=vault.newest(first), **row))
    run_to_the_end()
    found = sa.select(Suppression.reason).where(Suppression.digest == vault.newest(first))
    assert db.session.scalars(found).all() == ["later"]


def test_of_two_open_invitations_the_later_one_stays(world: World) -> None:
    announce()
    store()
    with transaction() as session:
        [old] = session.scalars(sa.select(Invitation)).all()
        names = ("email", "role", "user_id", "invited_by", "expires_at")
        row = {name: getattr(old, name) for name in names}
        session.add(Invitation(**row, email_digest=vault.newest(old.email_digest), digest=b"2" * 32))
    run_to_the_end()
    assert [bytes(row.digest) for row in db.session.scalars(sa.select(Invitation))] == [b"2" * 32]


def test_each_place_where_a_digest_must_be_there_but_once_is_known() -> None:
    found = set()
    for table in db.metadata.sorted_tables:
        names = set(digests_of(table))
        unique = [index.columns for index in table.indexes if index.unique] + [table.primary_key.columns]
        found |= {table.name for columns in unique if names & {column.name for column in columns}}
    ours = {table.name for table in reencrypted_rows.UNIQUE}
    assert found == ours | {"address", "suppression", "recovery_code"}  # a code's has its account in it


def test_nothing_is_asked_but_while_a_key_is_replaced_and_then_a_constant_number(
    world: World, statements: Statements
) -> None:
    def asked(*values: str) -> int:
        with statements() as sent, transaction():
            suppressions.forget_bounces([digest_of("email", value) for value in values])
        return len(sent)

    before = asked(SHARED)
    announce()
    store()
    person_with("nina", "nina@example.test")
    counts = asked(NOBODYS), asked(SHARED, "carol@example.test", "alice@example.test")
    run_to_the_end()
    assert asked(SHARED) == before
    assert max(counts) <= before + 5


# ---- how it goes on


def test_a_chunk_of_it_is_done_as_a_whole_or_not_at_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    store()
    with monkeypatch.context() as patch:
        patch.setattr(reencryption, "_end_round", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_to_the_end()
    for name, is_found in FOUND.items():
        assert is_found(world), name
    run_to_the_end()
    assert set().union(*numbers().values()) == {2}


def test_what_a_process_wrote_with_the_old_key_is_found_by_the_next_round(world: World) -> None:
    announce()
    store()
    while (run := reencryption.progress()) and run.round == 1:
        chunk()
    vault.use_digest_keys([vault.first_digest_key])  # one that has slept for a minute
    person_with("nina", "nina@example.test")
    digest_keys.take_up()
    run_to_the_end()
    assert numbers()["address"] == {2}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_an_address_of_which_somebody_holds_a_row_is_not_waited_for(world: World) -> None:
    announce()
    store()
    with db.engine.connect() as other:
        held = sa.select(Address.id).where(Address.user_id == "bob", Address.channel == "email")
        other.execute(held.with_for_update()).all()
        while (run := reencryption.progress()) and run.round == 1:
            chunk()
        assert {digest_number_of(email_of(name).digest) for name in ("alice", "bob")} == {1}
        assert email_of("alice").suppressed_for == {"social"}
    run_to_the_end()
    assert set().union(*numbers().values()) == {2}


def has_looked() -> bool:
    """Whether the run has had its turn by now; the first tables may be empty."""
    reencryption.work()
    return db.session.scalar(sa.select(Reencryption.looked_at)) is not None


def test_processes_take_a_key_up_before_its_first_digest_is_stored(world: World) -> None:
    look_often(current_app, digest_keys.take_up)
    with transaction():
        pass
    announce()
    vault.use_digest_keys([vault.first_digest_key])  # as another process is, which has just looked
    assert digest_keys.STORED_AFTER.total_seconds() > LOOK_S * 2
    [look] = current_app.extensions["looks"]
    look.due_at = 0.0  # so long ago
    with time_machine.travel(now() + timedelta(seconds=LOOK_S + 1)):
        with transaction():
            assert (len(vault.forms(b"1" * 32)), vault.digest_number) == (2, 1)
        assert not has_looked()
    with time_machine.travel(now() + digest_keys.STORED_AFTER + timedelta(seconds=1)):
        look.due_at = 0.0
        with transaction():
            assert vault.digest_number == 2
        assert not has_looked()  # some may have written with the old one a moment ago
    with time_machine.travel(now() + digest_keys.LOOKED_AFTER + timedelta(seconds=1)):
        assert has_looked()


def test_a_process_that_only_reads_finds_what_has_got_a_new_key(world: World, app: APIFlask) -> None:
    announce()
    store()
    run_to_the_end()
    vault.use_digest_keys([vault.first_digest_key])  # as another process is, which has not written since
    look_often(app, digest_keys.take_up)
    vault.before_digests(partial(look_now, app))
    assert {line.user.id for line in people_queries.page(SHARED)[0]} == {"alice", "bob"}


def test_one_key_at_a_time_replaces_another(world: World) -> None:
    announce()
    with pytest.raises(Rejected, match="still being digested with the digest key 2"):
        announce()
    store()
    assert [(line.number, line.is_stored, line.is_left) for line in digest_keys.listing()] == [
        (2, True, False),
        (1, False, True),
    ]
    run_to_the_end()
    assert [(line.number, line.is_stored, line.is_left) for line in digest_keys.listing()] == [
        (2, True, False),
        (1, False, False),
    ]


def test_somebody_is_still_nobody_else(world: World) -> None:
    """Sign-in by an address that is confirmed, by either key."""
    with transaction() as session:
        session.execute(sa.update(Address).where(Address.user_id == "carol").values(confirmed_at=now()))
        assert session.get(User, "carol") is not None
    for step in (announce, store, run_to_the_end):
        step()
        with transaction():
            whom = sign_in.find_whom("carol@example.test")
        assert whom is not None
        assert whom.user_id == "carol"
