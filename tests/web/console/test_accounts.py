"""The console's accounts: who is there, what they may do, whom to let in."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, second_factor
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Account, AuditEntry, Invitation, Notification
from notifier.queries.accounts import PAGE_SIZE
from tests.access.test_second_factor import set_up
from tests.web.conftest import PASSWORD, Visitor

BEN = "ben@example.test"


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def make(name: str, role: str = "viewer", *, password: str | None = None) -> str:
    """→ the shown id of a new account."""
    return show("acc", accounts.create_account(f"{name}@example.test", password, role, name).id)


def listed(page: str) -> list[str]:
    return re.findall(r'<a class="strong" href="/admin/accounts/acc_\w+">([^@]+)@', page)


def role_of(name: str) -> str | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Account.role).where(Account.email == f"{name}@example.test"))


def told() -> list[tuple[str, str, str]]:
    db.session.rollback()
    return [
        (entry.actor, entry.action, entry.subject)
        for entry in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
    ]


def invited() -> Invitation:
    db.session.rollback()
    return db.session.scalars(sa.select(Invitation)).one()


# --- the list


def test_it_shows_who_may_look_into_the_console_with_role_state_and_last_sign_in(admin: Visitor) -> None:
    make("ada", "operator")
    make("paul", "person")
    page = admin.get("/admin/accounts").text
    assert listed(page) == ["ada", "admin"]
    row = page.partition(">ada@")[2].partition("</tr>")[0]
    assert all(words in row for words in ("Operator", "not yet"))
    assert "disabled" not in row
    assert 'aria-current="page"> Accounts' in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("show=all", ["ada", "admin", "ben", "paul"]),
        ("show=operator", ["ada"]),
        ("show=person", ["paul"]),
        ("show=disabled", ["ben"]),
        ("show=nonsense", ["ada", "admin", "ben"]),
        ("q=AD", ["ada", "admin"]),
        ("q=paul", []),
        ("q=paul&show=all", ["paul"]),
        ("q=%25", []),
        ("q=%00", ["ada", "admin", "ben"]),
        ("q=" + "x" * 300, []),
        ("after=ada@example.test", ["admin", "ben"]),
    ],
)
def test_it_is_narrowed_by_the_address_of_the_page(admin: Visitor, query: str, found: list[str]) -> None:
    make("ada", "operator")
    make("paul", "person")
    admin.post(f"/admin/accounts/{make('ben')}/state", {"state": "off"})
    page = admin.get(f"/admin/accounts?{query}")
    assert (page.status_code, listed(page.text)) == (200, found)


def test_pages_follow_each_other_and_keep_what_was_looked_for(admin: Visitor) -> None:
    for number in range(PAGE_SIZE + 2):
        make(f"p{number:02}", "person")
    first = admin.get("/admin/accounts?show=person&q=p").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    rest = admin.get(following[1].replace("&amp;", "&")).text
    assert listed(first) + listed(rest) == [f"p{number:02}" for number in range(PAGE_SIZE + 2)]


def test_the_number_of_queries_does_not_grow_with_the_list(
    admin: Visitor, count_queries: Callable[..., object]
) -> None:
    with count_queries() as few:  # type: ignore[attr-defined]
        admin.get("/admin/accounts?show=all")
    for number in range(9):
        make(f"p{number}")
        admin.post("/admin/accounts/invitations", {"email": f"q{number}@example.test", "role": "viewer"})
    with count_queries() as many:  # type: ignore[attr-defined]
        assert len(listed(admin.get("/admin/accounts?show=all").text)) == 10
    assert many.total == few.total


# --- roles


def test_a_role_is_changed_and_counts_at_once(admin: Visitor, app: APIFlask) -> None:
    key = make("ben", "viewer", password=PASSWORD)
    ben = Visitor(app)
    ben.sign_in(BEN)
    assert ben.get("/admin/audit").status_code == 403
    answer = admin.post(f"/admin/accounts/{key}/role", {"role": "admin"})
    assert (answer.status_code, answer.location) == (303, f"/admin/accounts/{key}")
    assert "ben@example.test now has the role admin." in admin.get(answer.location).text
    assert ben.get("/admin/audit").status_code == 200
    admin.post(f"/admin/accounts/{key}/role", {"role": "person"})
    assert ben.get("/admin/").status_code == 403
    assert [entry for entry in told() if entry[1] == "account.role_changed"] == [
        ("admin@example.test", "account.role_changed", BEN)
    ] * 2


@pytest.mark.parametrize("form", [{}, {"role": "king"}])
def test_what_is_no_role_is_refused_at_its_field(admin: Visitor, form: dict[str, str]) -> None:
    answer = admin.post(f"/admin/accounts/{make('ben')}/role", form)
    assert answer.status_code == 422
    assert 'id="role-fault"' in answer.text
    assert role_of("ben") == "viewer"


def test_nobody_changes_their_own_role_or_disables_themselves(admin: Visitor) -> None:
    make("ben", "admin")
    db.session.rollback()
    me = show("acc", db.session.scalars(sa.select(Account.id).where(Account.email == "admin@example.test")).one())
    page = admin.get(f"/admin/accounts/{me}").text
    assert "This is you." in page
    assert f"/admin/accounts/{me}/state" not in page
    for path, form in (
        (f"/admin/accounts/{me}/role", {"role": "viewer"}),
        (f"/admin/accounts/{me}/state", {"state": "off"}),
    ):
        answer = admin.post(path, form)
        assert "ask another admin" in admin.get(answer.location).text
    assert role_of("admin") == "admin"


# --- disabling


def test_disabling_asks_first_and_ends_the_session_at_once(admin: Visitor, app: APIFlask) -> None:
    key = make("ben", "operator", password=PASSWORD)
    ben = Visitor(app)
    ben.sign_in(BEN)
    asked = admin.get(f"/admin/accounts/{key}/state").text
    assert "Disable ben@example.test?" in asked
    assert ben.get("/admin/").status_code == 200
    answer = admin.post(f"/admin/accounts/{key}/state", {"state": "off"})
    assert "signed out everywhere" in admin.get(answer.location).text
    assert ben.get("/admin/").location.startswith("/login")
    assert Visitor(app).sign_in(BEN).status_code == 401
    assert "Enable ben@example.test?" in admin.get(f"/admin/accounts/{key}/state").text
    admin.post(f"/admin/accounts/{key}/state", {"state": "on"})
    assert ben.get("/admin/").location.startswith("/login")  # a session that was ended stays so
    assert ben.sign_in(BEN).status_code == 303
    assert ben.get("/admin/").status_code == 200
    assert [action for _, action, subject in told() if subject == BEN][-3:] == [
        "account.disabled",
        "account.enabled",
        "account.signed_in",
    ]


# --- invitations


def test_an_invitation_is_sent_and_listed(admin: Visitor) -> None:
    answer = admin.post("/admin/accounts/invitations", {"email": f" {BEN} ", "role": "operator"})
    assert (answer.status_code, answer.location) == (303, "/admin/accounts")
    page = admin.get("/admin/accounts").text
    assert "An invitation is on its way to ben@example.test. It is valid for 7 days." in page
    assert "Send again to ben@example.test" in page
    assert (invited().role, told()[-1]) == ("operator", ("admin@example.test", "account.invited", BEN))
    with time_machine.travel(now() + timedelta(days=8)):
        fresh = Visitor(admin.client.application)
        fresh.sign_in("admin@example.test")
        assert 'state warn"> expired' in fresh.get("/admin/accounts").text


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({}, "email", "Enter an e-mail address."),
        ({"email": "ben", "role": "viewer"}, "email", "@"),
        ({"email": "x" * 255, "role": "viewer"}, "email", "254"),
        ({"email": "ben@example.test\ud800", "role": "viewer"}, "email", ""),
        ({"email": BEN, "role": "person"}, "role", "Not a valid choice"),
        ({"email": "admin@example.test", "role": "viewer"}, "email", "already has the role admin"),
    ],
    ids=range(6),
)
def test_what_is_wrong_is_named_at_its_field(admin: Visitor, form: dict[str, str], field: str, words: str) -> None:
    encoded = {name: value.encode("utf-8", "surrogatepass") for name, value in form.items()}
    answer = admin.post("/admin/accounts/invitations", encoded)
    assert answer.status_code == 422
    fault = re.search(rf'id="{field}-fault">([^<]*)<', answer.text)
    assert fault
    assert words in fault[1]
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Invitation)) == 0


def test_it_is_sent_again_or_withdrawn_after_a_question(admin: Visitor) -> None:
    admin.post("/admin/accounts/invitations", {"email": BEN, "role": "viewer"})
    path = f"/admin/accounts/invitations/{invited().shown_id}"
    admin.post(f"{path}/send")
    assert "The previous one no longer works" in admin.get("/admin/accounts").text
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 2
    assert "Withdraw the invitation to ben@example.test?" in admin.get(f"{path}/withdraw").text
    assert invited().withdrawn_at is None
    admin.post(f"{path}/withdraw")
    assert "has been withdrawn" in admin.get("/admin/accounts").text
    assert invited().withdrawn_at is not None
    assert [admin.get(f"{path}/withdraw").status_code, admin.post(f"{path}/send").status_code] == [404, 404]


def test_the_link_is_shown_to_nobody_in_the_console(
    admin: Visitor, work: Callable[[], None], signed_in: Callable[..., Visitor]
) -> None:
    admin.post("/admin/accounts/invitations", {"email": BEN, "role": "admin"})
    db.session.rollback()
    notification = db.session.scalars(sa.select(Notification)).one()
    secret, shown = notification.data["url"].rpartition("/")[2], show("ntf", notification.id)
    work()
    paths = [
        f"/admin/notifications/{shown}",
        "/admin/notifications",
        "/admin/accounts",
        "/admin/audit",
        "/admin/audit/csv",
    ]
    assert [path for path in paths if secret in admin.get(path).text] == []
    operator = signed_in("operator")
    capture = re.search(r"/admin/sandbox/(cap_\w+)", admin.get("/admin/sandbox").text)
    assert capture
    for path in ("/admin/sandbox", f"/admin/sandbox/{capture[1]}", f"/admin/sandbox/{capture[1]}/html"):
        assert secret not in operator.get(path).text


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_it_is_for_admins_alone(signed_in: Callable[..., Visitor], role: str) -> None:
    somebody = signed_in(role)
    assert somebody.get("/admin/accounts").status_code == 403
    assert somebody.post("/admin/accounts/invitations", {"email": BEN, "role": "admin"}).status_code == 403
    assert "/admin/accounts" not in somebody.get("/admin/").text


# --- what is told of sign-ins


def test_who_runs_this_is_named_when_they_sign_in_and_others_are_not(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    signed_in("viewer")
    signed_in("person")
    assert [entry for entry in told() if entry[1] == "account.signed_in"] == [
        ("viewer@example.test", "account.signed_in", "viewer@example.test")
    ]
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).where(Account.signed_in_at.is_not(None))) == 2


def test_a_sign_in_that_fails_leaves_nothing(app: APIFlask, visitor: Visitor) -> None:
    make("ben", "admin", password=PASSWORD)
    before = told()
    for email in (BEN, "nobody@example.test"):
        assert visitor.sign_in(email, "wrong").status_code == 401
    assert told() == before


# --- a lost second factor


def test_an_admin_removes_anothers_second_factor_and_they_are_told(
    app: APIFlask, admin: Visitor, signed_in: Callable[..., Visitor]
) -> None:
    ben = signed_in("operator", "ben")
    ben_id = db.session.scalars(sa.select(Account.id).where(Account.email == BEN)).one()
    _, codes = set_up(ben_id)
    path = f"/admin/accounts/{show('acc', ben_id)}"
    assert f'href="{path}/second-factor"' in admin.get(path).text
    assert "Remove the second factor of ben@example.test?" in admin.get(f"{path}/second-factor").text

    assert admin.post(f"{path}/second-factor").location == path
    assert "has no second factor now" in admin.get(path).text

    assert not second_factor.use(ben_id, codes[0])
    assert ben.get("/inbox").status_code == 302
    assert Visitor(app).sign_in(BEN).location == "/inbox"
    assert ("admin@example.test", "account.second_factor_removed", BEN) in told()
    [notice] = db.session.scalars(sa.select(Notification).where(Notification.user_id == "ben")).all()
    assert (notice.type, notice.data["event"], notice.data["by"]) == (
        "account_security",
        "two_factor_disabled",
        "admin@example.test",
    )
    admin.post(f"{path}/second-factor")
    assert "had no second factor" in admin.get(path).text


def test_nobody_removes_their_own_there(admin: Visitor) -> None:
    own = db.session.scalars(sa.select(Account.id)).one()
    set_up(own)
    admin.enter(db.session.scalars(sa.select(Account)).one())
    assert "second-factor" not in admin.get(f"/admin/accounts/{show('acc', own)}").text
    admin.post(f"/admin/accounts/{show('acc', own)}/second-factor")
    assert second_factor.has_app(own)
