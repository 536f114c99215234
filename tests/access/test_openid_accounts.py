"""Whose account somebody of the provider has here: who meets whom, and which role they have afterwards."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import accounts, openid_accounts, roles, sessions
from notifier.access.openid import Identity
from notifier.access.openid_provider import Refused
from notifier.core.roles import RoleRule
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, Address, AuditEntry, OpenIdIdentity, User
from notifier.people import profiles
from tests.access.test_second_factor import set_up
from tests.stored import rows

ISSUER, ANN = "https://login.acme.example", "ann@acme.example"
RULE = RoleRule.parse("groups: admins=admin, ops=operator")


def somebody(subject: str = "1", email: str | None = ANN, *, verified: Any = True, **claims: Any) -> Identity:
    claims = {"email": email, "email_verified": verified, **claims}
    return Identity(ISSUER, subject, claims, "token", None)


def comes(identity: Identity, rule: RoleRule | None = None) -> Account:
    return openid_accounts.sign_in_as(identity, rule)


def make(role: str = "person", password: str | None = None, email: str = ANN, user_id: str = "ann") -> Account:
    return accounts.create_account(email, password, role, user_id)


def told() -> list[tuple[str, str, str]]:
    return [(line.actor, line.action, line.subject) for line in rows(AuditEntry)]


def test_who_is_new_gets_an_account_and_is_found_again_by_the_subject_alone(app: APIFlask) -> None:
    first = comes(somebody(email="Ann@Acme.example"))
    assert (first.email, first.role, first.password_hash) == (ANN, "person", None)
    assert comes(somebody(email="other@acme.example")).id == first.id
    assert comes(somebody(email=None)).id == first.id
    [address] = rows(Address)
    assert (address.user_id, address.is_primary, address.confirmed_at is not None) == (first.user_id, True, True)
    with pytest.raises(Refused, match="protected"):
        comes(somebody("2"))  # somebody else has got her address since
    assert [line[1:] for line in told()] == [("account.created", first.user_id)]


def test_who_has_confirmed_the_address_keeps_their_inbox_and_who_was_given_it_does_not(app: APIFlask) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("shop-1", {"email": ANN})], is_vouched=True)
        profiles.upsert([InlineRecipient("shop-2", {"email": "eve@acme.example"})])
    assert comes(somebody()).user_id == "shop-1"
    assert comes(somebody("2", "eve@acme.example")).user_id.startswith("account-")


@pytest.mark.parametrize("verified", [False, None, "no", 1])
def test_an_address_that_is_not_verified_gives_nobody_an_account(app: APIFlask, verified: Any) -> None:
    make()
    for email in (ANN, "new@acme.example"):
        with pytest.raises(Refused, match="email_not_verified"):
            comes(somebody(email=email, verified=verified))
    assert rows(OpenIdIdentity) == []
    assert len(rows(Account)) == 1


def disable(account: Account) -> None:
    with transaction() as session:
        session.execute(sa.update(Account).values(disabled_at=sa.func.now()))


PROTECTED: dict[str, tuple[Callable[[], object], str]] = {
    "a password": (lambda: make(password="correct horse battery"), "protected"),
    "a role": (lambda: make("viewer"), "protected"),
    "a second factor": (lambda: set_up(make().id), "protected"),
    "somebody of the provider": (lambda: openid_accounts.connect(make(), ISSUER, "other"), "protected"),
    "been disabled": (lambda: disable(make()), "disabled"),
}


@pytest.mark.parametrize("has", PROTECTED)
@pytest.mark.parametrize("rule", [None, RULE])
def test_an_account_that_has_more_than_a_mailbox_is_not_taken_over_by_its_address(
    app: APIFlask, has: str, rule: RoleRule | None
) -> None:
    make_it, why = PROTECTED[has]
    make_it()
    before = [(one.role, one.email) for one in rows(Account)], len(rows(OpenIdIdentity))
    with pytest.raises(Refused, match=why):
        comes(somebody(groups=["admins"]), rule)
    assert ([(one.role, one.email) for one in rows(Account)], len(rows(OpenIdIdentity))) == before


def test_where_the_provider_alone_signs_in_it_connects_all_but_accounts_for_emergencies(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has accepted an invitation, say, has no other way in."""
    ann, root = make("admin"), make("admin", "correct horse battery", "root@acme.example", "root")
    settings = replace(app.extensions["settings"], local_sign_in=frozenset({"root@acme.example"}))
    monkeypatch.setitem(app.extensions, "settings", settings)
    assert comes(somebody()).id == ann.id
    with pytest.raises(Refused, match="protected"):
        comes(somebody("2", root.email))
    with pytest.raises(Refused, match="protected"):
        comes(somebody("3"))  # it is connected with somebody


def test_one_that_the_mailbox_alone_opens_is_connected_at_once(app: APIFlask) -> None:
    account = make()
    assert comes(somebody()).id == account.id


def test_its_owner_connects_it_and_nobody_elses(app: APIFlask) -> None:
    account, bob = make("admin", "correct horse battery"), make(email="bob@acme.example", user_id="bob")
    openid_accounts.connect(account, ISSUER, "1")
    openid_accounts.connect(account, ISSUER, "1")
    with pytest.raises(Refused, match="taken"):
        openid_accounts.connect(bob, ISSUER, "1")
    assert comes(somebody(email="elsewhere@acme.example", verified=False)).id == account.id
    assert openid_accounts.disconnect(account)
    assert not openid_accounts.disconnect(account)
    with pytest.raises(Refused, match="protected"):
        comes(somebody())
    assert [action for _, action, _ in told()][-2:] == ["account.provider_connected", "account.provider_disconnected"]


def test_a_role_follows_the_provider_at_each_sign_in_and_is_on_record(app: APIFlask) -> None:
    make("admin", email="root@acme.example", user_id="root")
    found = [comes(somebody(groups=groups), RULE).role for groups in (["ops"], ["ops", "admins"], ["ops"], "ops")]
    assert found == ["operator", "admin", "operator", "operator"]
    changes = [
        (line.actor, line.before, line.after) for line in rows(AuditEntry) if line.action == "account.role_changed"
    ]
    assert changes == [
        (ISSUER, {"role": "operator"}, {"role": "admin"}),
        (ISSUER, {"role": "admin"}, {"role": "operator"}),
    ]
    assert (ISSUER, "account.created", ANN) in told()


def test_without_a_rule_roles_are_given_here(app: APIFlask) -> None:
    make("admin", email="root@acme.example", user_id="root")
    account = comes(somebody(groups=["admins"]))
    assert account.role == "person"
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.id == account.id).values(role="operator"))
    assert comes(somebody()).role == "operator"


def test_who_has_no_role_any_more_is_out_everywhere(app: APIFlask) -> None:
    make("admin", email="root@acme.example", user_id="root")
    account = comes(somebody(groups=["ops"]), RULE)
    open_session = sessions.begin(account, sessions.PROVIDER)
    with pytest.raises(Refused, match="no_role"):
        comes(somebody(groups=["else"]), RULE)
    assert sessions.find(open_session) is None
    assert [one.role for one in rows(Account) if one.email == ANN] == ["person"]
    with pytest.raises(Refused, match="no_role"):
        comes(somebody("2", "new@acme.example", groups=[]), RULE)
    assert len(rows(Account)) == 2


def test_a_claim_that_is_missing_changes_nothing(app: APIFlask) -> None:
    make("admin", email="root@acme.example", user_id="root")
    account = comes(somebody(groups=["ops"]), RULE)
    open_session = sessions.begin(account, sessions.PROVIDER)
    with pytest.raises(Refused, match="claim_missing") as caught:
        comes(somebody(), RULE)
    assert caught.value.claim == "groups"
    assert sessions.find(open_session) is not None
    assert [one.role for one in rows(Account) if one.email == ANN] == ["operator"]


def test_the_last_admin_stays_one(app: APIFlask) -> None:
    account = make("admin")
    openid_accounts.connect(account, ISSUER, "1")
    assert comes(somebody(groups=["ops"]), RULE).role == "admin"
    with pytest.raises(Refused, match="no_role"):
        comes(somebody(groups=[]), RULE)
    make("admin", email="root@acme.example", user_id="root")
    assert comes(somebody(groups=["ops"]), RULE).role == "operator"


def test_who_is_disabled_stays_out_and_who_was_erased_begins_anew(app: APIFlask) -> None:
    root = make("admin", email="root@acme.example", user_id="root")
    account = comes(somebody())
    roles.disable(account.id, by=root.id)
    with pytest.raises(Refused, match="disabled"):
        comes(somebody())
    with transaction() as session:
        session.execute(sa.delete(User).where(User.id == account.user_id))
    assert rows(OpenIdIdentity) == []
    db.session.rollback()
    assert comes(somebody()).id != account.id
