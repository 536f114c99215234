"""Sign-in links: who is sent one, where to, and what one can be used for."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, sign_in
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, Address, Capture, Delivery, Notification, SignInLink
from notifier.people import profiles
from notifier.pipeline.delivery.deliver import deliver
from tests.stored import deliveries, row_counts, rows

ALICE = "alice@example.test"
EVIL = "evil@example.test"


def person(user_id: str, email: str | None = None, *, is_vouched: bool = True) -> None:
    with transaction():
        profiles.upsert([InlineRecipient(user_id, {"email": email} if email else {})], is_vouched=is_vouched)


def ask(email: str = ALICE) -> str | None:
    """Asks for a link; → its secret, if one was sent."""
    before = {row.id for row in rows(Notification)}
    sign_in.send_link(email)
    sent = [row for row in rows(Notification) if row.id not in before]
    return sent[0].data["url"].rpartition("/")[2] if sent else None


def redeem(secret: str | None) -> str | None:
    """→ the user it signs in."""
    assert secret is not None
    account = sign_in.redeem(secret)
    return account.user_id if account else None


# --- who is sent one, and where to


def test_the_link_goes_by_urgent_mail_to_the_accounts_own_address(app: APIFlask) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    secret = ask()
    [row] = deliveries()
    [outcome] = deliver([row.id])
    [notification], [capture], [link], [address] = rows(Notification), rows(Capture), rows(SignInLink), rows(Address)
    assert (notification.type, notification.priority, notification.producer_id, notification.user_id) == (
        "sign_in_link",
        "urgent",
        None,
        "alice",
    )
    assert (row.channel, row.address_id, outcome.status) == ("email", None, "delivered")
    assert (address.value, address.is_primary, address.verified_at) == (ALICE, False, None)
    assert capture.content["to"] == ALICE
    assert f"http://localhost/login/link/{secret}" in capture.content["text"]
    assert row.expires_at - row.created_at == timedelta(minutes=15)
    assert secret is not None
    assert secret.encode() not in bytes(link.digest)
    assert redeem(secret) == "alice"


def test_an_address_changed_by_a_producer_leads_the_link_nowhere_else(app: APIFlask) -> None:
    accounts.create_account(ALICE, None, "admin", "alice")
    person("alice", EVIL)
    assert ask(EVIL) is None
    assert ask(ALICE) is not None
    [row] = deliveries()
    deliver([row.id])
    assert [capture.content["to"] for capture in rows(Capture)] == [ALICE]


def test_an_address_that_is_there_already_is_used_as_it_is(app: APIFlask) -> None:
    person("alice", ALICE)
    accounts.create_account(ALICE, None, "person", "alice")
    [before] = rows(Address)
    ask()
    [after] = rows(Address)
    [row] = deliveries()
    assert (row.address_masked, after.id, after.is_primary) == ("a…@example.test", before.id, True)


@pytest.mark.parametrize("has_account", [True, False])
def test_a_mail_that_is_waiting_goes_where_it_was_to_go_whatever_becomes_of_the_address(
    app: APIFlask, has_account: bool
) -> None:
    person("alice", ALICE)
    if has_account:
        accounts.create_account(ALICE, None, "person", "alice")
    assert ask() is not None
    person("alice", EVIL, is_vouched=False)
    deliver([row.id for row in deliveries()])
    assert [capture.content["to"] for capture in rows(Capture)] == [ALICE]


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        (ALICE, ALICE),
        (ALICE, " Alice@Example.test "),
        (ALICE, "ALICE@EXAMPLE.TEST"),
        # Capitals before the @ are told apart, so it has to be typed as it was given
        ("Alice@Example.test", "Alice@example.test"),
    ],
)
def test_somebody_without_an_account_gets_one_by_using_the_link(app: APIFlask, stored: str, given: str) -> None:
    person("alice", stored)
    secret = ask(given)
    assert rows(Account) == []
    assert redeem(secret) == "alice"
    [account] = rows(Account)
    assert (account.email, account.role, account.password_hash, account.user_id) == (ALICE, "person", None, "alice")
    assert redeem(ask(ALICE)) == "alice"  # who has an account now


def test_an_address_that_a_producer_gave_lets_nobody_in_before_its_owner_has_confirmed_it(app: APIFlask) -> None:
    person("alice", ALICE, is_vouched=False)
    [given] = rows(Address)
    assert (given.verified_at is not None, given.confirmed_at, ask()) == (True, None, None)
    person("alice", ALICE)
    assert redeem(ask()) == "alice"


def test_a_vouched_address_that_a_producer_changes_is_vouched_for_no_more(app: APIFlask) -> None:
    person("alice", ALICE)
    person("alice", EVIL, is_vouched=False)
    assert (ask(EVIL), ask(ALICE)) == (None, None)


def test_who_uses_a_link_has_confirmed_the_address_it_went_to(app: APIFlask) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    secret = ask()
    [before] = rows(Address)
    assert before.confirmed_at is None
    redeem(secret)
    [after] = rows(Address)
    assert None not in (after.confirmed_at, after.verified_at)


NOT_SENT = [
    "nobody",
    "disabled account",
    "unconfirmed",
    "not primary",
    "switched off",
    "two people",
    "has another account",
    "no address",
    "nonsense",
    "empty",
]


@pytest.mark.parametrize("case", NOT_SENT)
def test_nobody_else_is_sent_one_and_nothing_is_stored(app: APIFlask, case: str) -> None:
    email = {"nonsense": "nonsense", "empty": "", "no address": "alice"}.get(case, ALICE)
    person("alice", None if case in ("nobody", "no address", "nonsense", "empty") else ALICE)
    if case == "disabled account":
        account = accounts.create_account(ALICE, "pw", "person", "alice")
        with transaction() as session:
            session.execute(sa.update(Account).where(Account.id == account.id).values(disabled_at=now()))
    if case == "has another account":
        accounts.create_account("admin@example.test", None, "admin", "alice")
    if case == "two people":
        person("alan", ALICE)
    change = {
        "unconfirmed": {"confirmed_at": None},
        "not primary": {"is_primary": False},
        "switched off": {"disabled_at": now(), "disabled_reason": "bounced"},
    }
    if case in change:
        with transaction() as session:
            session.execute(sa.update(Address).values(**change[case]))
    before = row_counts()
    assert ask(email) is None
    assert row_counts() == before


# --- what it can be used for


def test_a_link_works_once(app: APIFlask) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    secret = ask()
    assert secret is not None
    assert sign_in.is_good(secret)
    assert [redeem(secret), redeem(secret)] == ["alice", None]
    assert not sign_in.is_good(secret)


def test_of_many_who_use_it_at_once_one_gets_in(app: APIFlask) -> None:
    person("alice", ALICE)
    secret = ask()
    entered: list[str | None] = []

    def use() -> None:
        with app.app_context():
            entered.append(redeem(secret))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entered, key=str) == [None] * 5 + ["alice"]
    assert len(rows(Account)) == 1


def test_two_links_of_somebody_new_make_one_account(app: APIFlask) -> None:
    person("alice", ALICE)
    first, second = ask(), ask()
    assert [redeem(second), redeem(first)] == ["alice", "alice"]
    assert len(rows(Account)) == 1


@pytest.mark.parametrize(("minutes", "is_good"), [(14, True), (15, False)])
def test_it_lasts_fifteen_minutes(app: APIFlask, minutes: int, is_good: bool) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    secret = ask()
    assert secret is not None
    with time_machine.travel(now() + timedelta(minutes=minutes)):
        assert sign_in.is_good(secret) is is_good
        assert redeem(secret) == ("alice" if is_good else None)


@pytest.mark.parametrize(
    "forge",
    [
        lambda secret: "",
        lambda secret: secret[:-1],
        lambda secret: secret + "A",
        lambda _: "\ud800",
        lambda _: "x" * 9000,
    ],
)
def test_what_was_never_sent_opens_nothing(app: APIFlask, forge: Any) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    forged = forge(ask())
    assert not sign_in.is_good(forged)
    assert sign_in.redeem(forged) is None


MEANWHILE = [
    "account disabled",
    "account's e-mail changed",
    "address taken away",
    "address changed",
    "address of two",
    "got another account",
]


@pytest.mark.parametrize("case", MEANWHILE)
def test_who_lost_the_address_meanwhile_does_not_get_in(app: APIFlask, case: str) -> None:
    if case.startswith("account"):
        accounts.create_account(ALICE, None, "admin", "alice")
    else:
        person("alice", ALICE)
    secret = ask()
    change: dict[str, dict[str, Any]] = {
        "account disabled": {"disabled_at": now()},
        "account's e-mail changed": {"email": "new@example.test"},
    }
    if case in change:
        with transaction() as session:
            session.execute(sa.update(Account).values(**change[case]))
    elif case == "address of two":
        person("alan", ALICE)
    elif case == "got another account":
        accounts.create_account("other@example.test", None, "person", "alice")
    else:
        with transaction():
            profiles.upsert([InlineRecipient("alice", {"email": None if case == "address taken away" else EVIL})])
    assert redeem(secret) is None


def test_an_erased_persons_link_is_gone_with_them(app: APIFlask) -> None:
    person("alice", ALICE)
    secret = ask()
    profiles.erase("alice")
    assert rows(SignInLink) == []
    assert redeem(secret) is None


def test_links_are_forgotten_once_they_have_expired(app: APIFlask) -> None:
    accounts.create_account(ALICE, None, "person", "alice")
    ask()
    with time_machine.travel(now() + timedelta(minutes=10)):
        ask()
    assert sign_in.prune() == 0
    with time_machine.travel(now() + timedelta(minutes=16)):
        assert sign_in.prune() == 1
    assert len(rows(SignInLink)) == 1


def test_what_opted_out_of_mail_still_gets_the_link(app: APIFlask, cast: Any) -> None:
    accounts.create_account("carol@example.test", None, "person", "carol")
    assert ask("carol@example.test") is not None
    assert db.session.scalar(sa.select(Delivery.status)) == "queued"
