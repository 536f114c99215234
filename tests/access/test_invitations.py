"""Invitations: who is sent one, what its link gives, and that it gives it once."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, invitations, roles, sign_in
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, Address, AuditEntry, Capture, Invitation, Notification, User
from notifier.people import profiles
from notifier.pipeline.delivery.deliver import deliver
from tests.stored import deliveries, row_counts, rows

BEN = "ben@example.test"


@pytest.fixture
def ann(app: APIFlask) -> Account:
    """The admin who invites."""
    return accounts.create_account("ann@example.test", None, "admin", "ann")


def newest_secret() -> str:
    return str(rows(Notification)[-1].data["url"]).rpartition("/")[2]


def invite(ann: Account, email: str = BEN, role: str = "viewer") -> str:
    """→ the secret of its link."""
    invitations.invite(email, role, by=ann)
    return newest_secret()


def state(secret: str) -> str | None:
    found = invitations.find(secret)
    return found.state if found else None


def told() -> list[tuple[str, str]]:
    """The audit trail since Ann was there."""
    return [(entry.action, entry.subject) for entry in rows(AuditEntry)][1:]


# --- sending


def test_the_link_goes_by_urgent_mail_to_that_address_alone(ann: Account) -> None:
    secret = invite(ann, "Ben@Example.test", "operator")
    [row] = deliveries()
    [outcome] = deliver([row.id])
    [notification], [capture], [invitation], [address] = (
        rows(Notification),
        rows(Capture),
        rows(Invitation),
        rows(Address),
    )
    assert (notification.type, notification.priority, notification.producer_id) == (
        "account_invitation",
        "urgent",
        None,
    )
    assert (row.channel, row.address_id, outcome.status, capture.content["to"]) == (
        "email",
        None,
        "delivered",
        "Ben@example.test",
    )
    assert f"http://localhost/invitation/{secret}" in capture.content["text"]
    assert "ann@example.test invites you to Notifier" in capture.content["subject"]
    assert (row.expires_at - row.created_at, invitation.expires_at - invitation.created_at) == (
        timedelta(days=7),
        timedelta(days=7),
    )
    assert (address.is_primary, address.verified_at, len(rows(Account))) == (False, None, 1)
    assert secret.encode() not in bytes(invitation.digest)
    assert told() == [("account.invited", "Ben@Example.test")]


def test_the_address_is_ciphertext_in_the_database(ann: Account) -> None:
    invite(ann)
    stored = db.session.execute(sa.text("SELECT email FROM invitation")).scalar_one()
    assert BEN.encode() not in bytes(stored)


def test_who_is_known_by_that_address_is_invited_as_who_they_are(ann: Account) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("ben", {"email": BEN})], is_vouched=True)
    secret = invite(ann)
    assert [(row.user_id, row.is_primary) for row in rows(Address)] == [("ben", True)]
    account = invitations.accept(secret)
    assert account is not None
    assert (account.user_id, account.role) == ("ben", "viewer")


def test_nobody_is_invited_as_somebody_whose_address_a_producer_gave(ann: Account) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("victim", {"email": BEN})])
    account = invitations.accept(invite(ann))
    assert account is not None
    assert account.user_id != "victim"
    assert {row.user_id: row.confirmed_at is not None for row in rows(Address)} == {
        "victim": False,
        account.user_id: True,
    }


REFUSED = [
    ("ann@example.test", "admin", "/email", "already has the role admin"),
    ("ANN@example.test", "viewer", "/email", "already has the role admin"),
    ("gone@example.test", "viewer", "/email", "disabled"),
    ("ben", "viewer", "/email", "@"),
    ("", "viewer", "/email", "@"),
    ("ben@example.test\0", "viewer", "/email", ""),
    (BEN, "person", "/role", "choose one"),
    (BEN, "king", "/role", "choose one"),
]


@pytest.mark.parametrize(("email", "role", "pointer", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_makes_no_sense_is_refused_at_its_field_and_nothing_is_stored(
    ann: Account, email: str, role: str, pointer: str, words: str
) -> None:
    gone = accounts.create_account("gone@example.test", None, "viewer", "gone")
    roles.disable(gone.id, by=ann.id)
    before = row_counts()
    with pytest.raises(Rejected) as refused:
        invitations.invite(email, role, by=ann)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert words in refused.value.detail
    assert row_counts() == before


def test_an_e_mail_is_invited_once_at_a_time_however_it_is_written(ann: Account) -> None:
    invite(ann)
    with pytest.raises(Rejected, match="send it again"):
        invitations.invite(" Ben@EXAMPLE.test", "admin", by=ann)
    assert len(rows(Invitation)) == len(rows(Notification)) == 1


def test_two_who_invite_the_same_at_once_send_one(app: APIFlask, ann: Account) -> None:
    refused: list[str] = []

    def try_it() -> None:
        with app.app_context():
            try:
                invitations.invite(BEN, "viewer", by=ann)
            except Rejected as error:
                refused.append(error.detail)

    at_once([try_it] * 4)
    assert len(refused) == 3
    assert len(rows(Invitation)) == len(rows(Notification)) == 1


def test_who_lost_the_role_meanwhile_invites_nobody(ann: Account) -> None:
    bea = accounts.create_account("bea@example.test", None, "admin", "bea")
    roles.change(ann.id, "viewer", by=bea.id)
    with pytest.raises(Rejected, match="no longer an admin"):
        invitations.invite(BEN, "admin", by=ann)


def test_sent_again_the_new_link_is_good_for_the_whole_time_and_the_old_one_is_not(ann: Account) -> None:
    first = invite(ann)
    [invitation] = rows(Invitation)
    with time_machine.travel(now() + timedelta(days=8)):
        assert state(first) == "expired"
        invitations.send_again(invitation.id, by=ann)
        second = newest_secret()
        assert (state(first), state(second)) == (None, "open")
    with time_machine.travel(now() + timedelta(days=14)):
        assert invitations.accept(first) is None
        assert invitations.accept(second) is not None
    assert [action for action, _ in told()] == ["account.invited", "account.invited", "account.created"]


@pytest.mark.parametrize("case", ["accepted", "withdrawn"])
def test_what_is_over_cannot_be_sent_again_or_withdrawn(ann: Account, case: str) -> None:
    secret = invite(ann)
    [invitation] = rows(Invitation)
    if case == "accepted":
        invitations.accept(secret)
    else:
        assert invitations.withdraw(invitation.id)
    with pytest.raises(Rejected, match="in the meantime"):
        invitations.send_again(invitation.id, by=ann)
    assert not invitations.withdraw(invitation.id)
    assert len(rows(Notification)) == 1


# --- accepting


def test_whoever_accepts_has_an_account_with_the_role_and_alerts_reach_them(ann: Account) -> None:
    secret = invite(ann, "Ben@Example.test", "admin")
    account = invitations.accept(secret, accounts.hash_password("correct horse battery"))
    assert account is not None
    assert (account.email, account.role) == (BEN, "admin")
    assert accounts.check_password(BEN, "correct horse battery") is not None
    [address] = rows(Address)
    assert (address.user_id, address.value, address.is_primary, address.verified_at is not None) == (
        account.user_id,
        "Ben@example.test",
        True,
        True,
    )
    assert told() == [("account.invited", "Ben@Example.test"), ("account.created", BEN)]


def test_it_works_once(ann: Account) -> None:
    secret = invite(ann)
    assert invitations.accept(secret) is not None
    assert invitations.accept(secret) is None
    assert state(secret) == "used"


def test_of_many_who_use_it_at_once_one_gets_in(app: APIFlask, ann: Account) -> None:
    secret = invite(ann)
    entered: list[bool] = []

    def use() -> None:
        with app.app_context():
            entered.append(invitations.accept(secret) is not None)

    at_once([use] * 5)
    assert sorted(entered) == [False] * 4 + [True]
    assert len(rows(Account)) == 2


@pytest.mark.parametrize(
    ("had", "invited", "has"),
    [("person", "viewer", "viewer"), ("viewer", "admin", "admin"), ("person", "admin", "admin")],
)
def test_who_has_an_account_is_raised_and_keeps_how_they_sign_in(
    ann: Account, had: str, invited: str, has: str
) -> None:
    accounts.create_account(BEN, "correct horse battery", had, "ben")
    secret = invite(ann, BEN, invited)
    account = invitations.accept(secret, accounts.hash_password("another one altogether"))
    assert account is not None
    assert (account.role, account.user_id) == (has, "ben")
    assert accounts.check_password(BEN, "correct horse battery") is not None
    assert [(entry.before, entry.after) for entry in rows(AuditEntry) if entry.action == "account.role_changed"] == [
        ({"role": had}, {"role": has})
    ]


def test_who_has_become_more_meanwhile_is_not_made_less(ann: Account) -> None:
    ben = accounts.create_account(BEN, None, "person", "ben")
    secret = invite(ann, BEN, "viewer")
    roles.change(ben.id, "admin", by=ann.id)
    account = invitations.accept(secret)
    assert account is not None
    assert account.role == "admin"


def test_a_disabled_account_is_not_let_in_and_the_invitation_stays_good(ann: Account) -> None:
    ben = accounts.create_account(BEN, None, "person", "ben")
    secret = invite(ann)
    roles.disable(ben.id, by=ann.id)
    with pytest.raises(Rejected, match="disabled"):
        invitations.accept(secret)
    assert state(secret) == "disabled"
    roles.enable(ben.id, by=ann.id)
    assert state(secret) == "open"
    assert invitations.accept(secret) is not None


@pytest.mark.parametrize(("days", "is_good"), [(6.99, True), (7, False)])
def test_it_lasts_seven_days(ann: Account, days: float, is_good: bool) -> None:
    secret = invite(ann)
    with time_machine.travel(now() + timedelta(days=days)):
        assert state(secret) == ("open" if is_good else "expired")
        assert (invitations.accept(secret) is not None) == is_good


def test_a_withdrawn_one_opens_nothing(ann: Account) -> None:
    secret = invite(ann)
    invitations.withdraw(rows(Invitation)[0].id)
    assert state(secret) == "withdrawn"
    assert invitations.accept(secret) is None
    assert told() == [("account.invited", BEN), ("account.invitation_withdrawn", BEN)]
    assert state(invite(ann)) == "open"  # they can be invited anew


@pytest.mark.parametrize(
    "forge",
    [lambda _: "", lambda secret: secret[:-1], lambda secret: secret + "A", lambda _: "\ud800", lambda _: "x" * 9000],
)
def test_what_was_never_sent_opens_nothing(ann: Account, forge: Any) -> None:
    forged = forge(invite(ann))
    assert invitations.find(forged) is None
    assert invitations.accept(forged) is None


@pytest.mark.parametrize("end", ["disabled", "demoted"])
def test_an_admin_who_goes_takes_their_open_invitations_along(ann: Account, end: str) -> None:
    bea = accounts.create_account("bea@example.test", None, "admin", "bea")
    kept, lost = invite(ann), invite(bea, "eve@example.test", "admin")
    if end == "disabled":
        roles.disable(bea.id, by=ann.id)
    else:
        roles.change(bea.id, "operator", by=ann.id)
    assert (state(kept), state(lost)) == ("open", "withdrawn")
    assert ("account.invitation_withdrawn", "eve@example.test") in told()


def test_being_invited_alone_does_not_let_anybody_sign_in(ann: Account) -> None:
    invite(ann)
    sign_in.send_link(BEN)
    assert [row.type for row in rows(Notification)] == ["account_invitation"]


# --- forgetting


def test_long_after_its_time_it_is_forgotten_with_who_never_came(ann: Account) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("zoe", {"email": "zoe@example.test"})])
    came = invite(ann)
    invitations.accept(came)
    invite(ann, "eve@example.test")
    invite(ann, "zoe@example.test")
    [made_for_ben, made_for_eve, _] = [row.user_id for row in rows(Invitation)]
    with time_machine.travel(now() + timedelta(days=36)):
        assert invitations.prune() == 0
    with time_machine.travel(now() + timedelta(days=38)):
        assert invitations.prune() == 3
    left = {row.id for row in rows(User)}
    assert left == {"ann", "zoe", made_for_ben}
    assert made_for_eve not in left
    assert rows(Invitation) == []


def test_a_producers_own_person_stays_whatever_their_id_looks_like(ann: Account) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("account-4711", {"email": "zoe@example.test"})], is_vouched=True)
    with time_machine.travel(now() + timedelta(minutes=1)):
        invite(ann, "zoe@example.test")
    assert [row.user_id for row in rows(Invitation)] == ["account-4711"]
    with time_machine.travel(now() + timedelta(days=38)):
        assert invitations.prune() == 1
    assert {row.id for row in rows(User)} == {"ann", "account-4711"}


def test_whoever_dies_while_forgetting_leaves_nobody_behind(ann: Account) -> None:
    invite(ann, "eve@example.test")

    def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.replace('"', "").startswith("DELETE FROM user "):
            raise KeyboardInterrupt

    with time_machine.travel(now() + timedelta(days=38)):
        sa.event.listen(db.engine, "before_cursor_execute", die)
        try:
            with pytest.raises(KeyboardInterrupt):
                invitations.prune()
        finally:
            sa.event.remove(db.engine, "before_cursor_execute", die)
        db.session.rollback()
        assert len(rows(User)) == 2
        assert invitations.prune() == 1
    assert [row.id for row in rows(User)] == ["ann"]
    assert rows(Invitation) == []


def at_once(works: list[Any]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
