"""Roles are changed by admins, and one active admin always remains."""

import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from apiflask import APIFlask

from notifier.access import accounts, invitations, roles
from notifier.core.errors import Rejected
from notifier.ground import tokens
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Account, AuditEntry, Notification, User
from notifier.models.account import ROLES
from notifier.queries import valid_tokens
from tests.conftest import subject_of
from tests.stored import rows

Change = Callable[[UUID, UUID], object]


def demote(account_id: UUID, by: UUID) -> object:
    return roles.change(account_id, "viewer", by=by)


def disable(account_id: UUID, by: UUID) -> object:
    return roles.disable(account_id, by=by)


def enable(account_id: UUID, by: UUID) -> object:
    return roles.enable(account_id, by=by)


def account(name: str, role: str = "admin") -> UUID:
    return accounts.create_account(f"{name}@example.test", None, role, name).id


def active_admins() -> list[str]:
    return [row.email for row in rows(Account) if row.role == "admin" and row.is_active]


@pytest.mark.parametrize("role", ROLES[:-1])
def test_a_role_is_changed_and_that_is_told(app: APIFlask, role: str) -> None:
    ann, ben = account("ann"), account("ben", "admin")
    assert roles.change(ben, role, by=ann)
    assert not roles.change(ben, role, by=ann)
    assert db.session.get_one(Account, ben, populate_existing=True).role == role
    last = rows(AuditEntry)[-1]
    assert (last.action, last.subject, last.before, last.after) == (
        "account.role_changed",
        "ben@example.test",
        {"role": "admin"},
        {"role": role},
    )


@pytest.mark.parametrize("way", ["role", "invitation", "account"])
def test_tokens_of_a_person_end_when_they_get_a_role(app: APIFlask, way: str) -> None:
    """The pages that have them may be anybody's: they must not archive or mute an admin's alerts."""
    ann = account("ann")
    if way == "account":
        with transaction() as session:
            session.add(User(id="ben"))
    else:
        ben = account("ben", "person")
    token = tokens.open_user_token(tokens.sign_user_token(subject_of("ben"), 60)[0])
    assert token is not None
    assert valid_tokens.holding([token])
    if way == "account":
        account("ben", "viewer")
    elif way == "role":
        roles.change(ben, "viewer", by=ann)
    else:
        invitations.invite("ben@example.test", "viewer", by=db.session.get_one(Account, ann))
        invitations.accept(str(rows(Notification)[-1].data["url"]).rpartition("/")[2])
    assert {row.user_id: row.role for row in rows(Account)}["ben"] == "viewer"
    assert not valid_tokens.holding([token])


def test_who_is_disabled_is_nobody_until_enabled_again(app: APIFlask) -> None:
    ann, ben = account("ann"), account("ben", "operator")
    assert (roles.disable(ben, by=ann), roles.disable(ben, by=ann)) == (True, False)
    assert not db.session.get_one(Account, ben, populate_existing=True).is_active
    assert (roles.enable(ben, by=ann), roles.enable(ben, by=ann)) == (True, False)
    assert db.session.get_one(Account, ben, populate_existing=True).is_active
    assert [entry.action for entry in rows(AuditEntry)][2:] == ["account.disabled", "account.enabled"]


@pytest.mark.parametrize("change", [demote, disable, enable])
def test_nobody_does_it_to_themselves(app: APIFlask, change: Change) -> None:
    ann, _ = account("ann"), account("ben")
    with pytest.raises(Rejected, match="another admin"):
        change(ann, ann)
    assert len(active_admins()) == 2


@pytest.mark.parametrize("change", [demote, disable, enable])
@pytest.mark.parametrize("who", ["an operator", "a disabled admin", "nobody"])
def test_only_an_active_admin_does_it(app: APIFlask, change: Change, who: str) -> None:
    ann, ben = account("ann"), account("ben")
    actors = {"an operator": account("eve", "operator"), "a disabled admin": account("gone"), "nobody": new_id()}
    roles.disable(actors["a disabled admin"], by=ann)
    before = len(rows(AuditEntry))
    with pytest.raises(Rejected, match="no longer an admin"):
        change(ben, actors[who])
    assert len(rows(AuditEntry)) == before
    assert db.session.get_one(Account, ben, populate_existing=True).is_active


def test_what_is_no_role_or_no_account_is_refused(app: APIFlask) -> None:
    ann, ben = account("ann"), account("ben")
    with pytest.raises(Rejected, match="the role must be one of"):
        roles.change(ben, "king", by=ann)
    with pytest.raises(Rejected, match="no such account"):
        roles.change(new_id(), "viewer", by=ann)


@pytest.mark.parametrize(("first", "second"), [(demote, demote), (disable, disable), (demote, disable)])
@pytest.mark.parametrize("admins", [2, 3])
def test_admins_who_end_each_other_at_once_leave_one(app: APIFlask, first: Change, second: Change, admins: int) -> None:
    """Each ends the next in the round, all at the same moment."""
    ring = [account(f"admin{number}") for number in range(admins)]
    gate = threading.Barrier(admins)
    refused: list[str] = []

    def end(number: int) -> None:
        change = first if number % 2 else second
        with app.app_context():
            gate.wait(30)
            try:
                change(ring[(number + 1) % admins], ring[number])
            except Rejected as error:
                refused.append(error.detail)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(admins)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(active_admins()) == len(refused) >= 1
    assert set(refused) == {"nothing was changed: you are no longer an admin"}
