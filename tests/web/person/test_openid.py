"""Signing in with a provider, on pages: there and back, again, connecting, signing out, and when it goes wrong."""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import time_machine
from apiflask import APIFlask
from oidc_provider_mock import User, run_server_in_thread
from werkzeug.test import TestResponse

from notifier.access import sessions
from notifier.ground.clock import now
from notifier.models import Account, AccountSession, OpenIdIdentity, SignInLink
from notifier.web import throttle
from tests.access.test_second_factor import set_up
from tests.openid import Provider, acme_id, use  # noqa: F401 (a fixture)
from tests.stored import rows
from tests.web.conftest import PASSWORD, Visitor
from tests.web.person.test_passkeys import add, answer_of

ANN = "ann@example.test"
EMAIL = {"email": ANN, "email_verified": True}
BEGIN, BACK = "/login/provider", "/login/provider/callback"


@pytest.fixture
def acme(acme_id: Provider) -> Provider:  # noqa: F811
    acme_id.claims = dict(EMAIL)
    return acme_id


def come_back(visitor: Visitor, acme: Provider, path: str = BEGIN, **other: str) -> TestResponse:
    """There and back again, as the browser goes."""
    answer = acme.authorize(visitor.get(path).location)
    return visitor.get(BACK, query_string={**answer, **other})


def connected(signed_in: Callable[..., Visitor], acme: Provider, role: str = "admin") -> Visitor:
    ann = signed_in(role, "ann")
    assert come_back(ann, acme, "/account/provider").location == "/account#h-provider"
    ann.post("/account/provider/connect")
    return ann


def test_somebody_new_signs_in_and_goes_where_they_wanted(acme: Provider, visitor: Visitor) -> None:
    page = visitor.get("/login?next=/preferences").text
    assert 'href="/login/provider?next=/preferences"' in page
    assert "Sign in with Acme" in page
    assert come_back(visitor, acme, f"{BEGIN}?next=/preferences").location == "/preferences"
    assert "with Acme" in visitor.get("/account").text
    [session] = rows(AccountSession)
    assert session.expires_at - session.created_at == sessions.PROVIDER_LIFETIME


@pytest.mark.parametrize("target", ["//evil.test", "https://evil.test", "/\\evil.test"])
def test_it_leads_nowhere_else(acme: Provider, visitor: Visitor, target: str) -> None:
    assert come_back(visitor, acme, f"{BEGIN}?next={target}").location == "/inbox"


def test_without_a_provider_there_is_no_such_page(visitor: Visitor) -> None:
    assert "/login/provider" not in visitor.get("/login").text
    assert visitor.get(BEGIN).status_code == 404
    assert visitor.get(BACK).status_code == 404


def test_only_the_browser_that_has_begun_comes_in_and_once(acme: Provider, app: APIFlask, visitor: Visitor) -> None:
    answer = acme.authorize(visitor.get(BEGIN).location)
    other = Visitor(app)
    assert other.get(BACK, query_string=answer).location == "/login"
    assert "begun in another window" in other.get("/login").text
    assert visitor.get(BACK, query_string=answer).location == "/inbox"
    visitor.post("/logout")
    assert visitor.get(BACK, query_string=answer).location == "/login"


def test_one_address_does_not_ask_the_provider_without_end(
    acme: Provider, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_FAILURES", 1)
    browsers = [Visitor(app) for _ in range(4)]
    for browser, answer in [(one, acme.authorize(one.get(BEGIN).location)) for one in browsers]:
        assert browser.get(BACK, query_string={**answer, "code": "guessed"}).location == "/login"
    assert acme.asked.count("/token") == 2
    assert "Too many attempts." in browsers[-1].get("/login").text


def test_nor_does_it_by_beginning_again_and_again_while_the_provider_is_away(
    acme: Provider, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST_FAILURES", 1)
    acme.is_away = True
    assert [visitor.get(BEGIN).location for _ in range(4)] == ["/login"] * 4
    assert len(acme.asked) == 2
    assert "Too many attempts." in visitor.get("/login").text


def test_what_has_begun_ends_after_ten_minutes(acme: Provider, visitor: Visitor) -> None:
    answer = acme.authorize(visitor.get(BEGIN).location)
    with time_machine.travel(now() + timedelta(minutes=11)):
        assert visitor.get(BACK, query_string=answer).location == "/login"


SAYS = {
    "Acme has not signed you in.": lambda acme, _: {"error": "access_denied"},
    "Acme cannot be reached at the moment.": lambda acme, _: acme.__dict__.update(is_away=True),
    "The clocks of Acme and of this site differ": lambda acme, _: acme.claims.update(exp=1),
    "Acme does not say that your e-mail address is verified.": lambda acme, _: acme.claims.update(email_verified=False),
    "has answered something that cannot be trusted": lambda acme, _: acme.claims.update(nonce="x"),
    "There is an account with your e-mail address already.": lambda _, signed_in: signed_in("person", "ann") and None,
}


@pytest.mark.parametrize("said", SAYS)
def test_it_says_what_is_wrong(acme: Provider, visitor: Visitor, signed_in: Callable[..., Visitor], said: str) -> None:
    answer = acme.authorize(visitor.get(BEGIN).location)
    other = SAYS[said](acme, signed_in)
    assert visitor.get(BACK, query_string={**answer, **(other or {})}).location == "/login"
    assert said in visitor.get("/login").text
    assert visitor.get("/inbox").status_code == 302


def test_it_says_which_claim_is_missing_and_who_has_no_access(
    acme: Provider, app: APIFlask, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(app, monkeypatch, acme.issuer, "groups: ops=operator")
    come_back(visitor, acme)
    assert "“groups” is missing" in visitor.get("/login").text
    acme.claims["groups"] = ["else"]
    come_back(visitor, acme)
    assert "Acme gives you no access to this site." in visitor.get("/login").text
    acme.claims["groups"] = ["ops"]
    assert come_back(visitor, acme, f"{BEGIN}?next=/admin/").location == "/admin/"
    assert visitor.get("/admin/").status_code == 200


def test_an_account_is_connected_by_its_owner_who_sees_with_whom(
    acme: Provider, app: APIFlask, signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = signed_in("admin", "ann")
    assert ann.post("/account/provider/connect").location == "/account"  # nobody has been found
    acme.claims["email"] = "annie@acme.example"
    come_back(ann, acme, "/account/provider")
    assert rows(OpenIdIdentity) == []
    assert "There you are annie@acme.example." in ann.get("/account").text
    ann.post("/account/provider/connect")
    assert "You can sign in with Acme from now on." in ann.get("/account").text
    assert come_back(Visitor(app), acme, f"{BEGIN}?next=/admin/").location == "/admin/"
    use(app, monkeypatch, acme.issuer, "groups: ops=operator")
    page = signed_in("admin").get(f"/admin/accounts/{rows(Account)[0].shown_id}").text
    assert "Acme, a password or an e-mailed link" in page
    assert "Acme gives them a role at each sign-in" in page
    ann.post("/account/provider/disconnect")
    assert rows(OpenIdIdentity) == []


def test_whom_one_account_has_found_no_other_connects(acme: Provider, signed_in: Callable[..., Visitor]) -> None:
    ann = signed_in("person", "ann")
    signed_in("person", "bob")
    come_back(ann, acme, "/account/provider")
    [bob] = [one for one in rows(Account) if one.user_id == "bob"]
    with ann.client.session_transaction() as cookie:
        found = cookie["openid_found"]
    ann.enter(bob)
    with ann.client.session_transaction() as cookie:
        cookie["openid_found"] = found
    ann.post("/account/provider/connect")
    assert rows(OpenIdIdentity) == []


def test_a_second_factor_of_ours_is_asked_for_too(
    acme: Provider, app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    connected(signed_in, acme)
    _, codes = set_up(rows(Account)[0].id)
    browser = Visitor(app)
    assert come_back(browser, acme, f"{BEGIN}?next=/admin/").location == "/login/code"
    assert browser.get("/admin/").status_code == 302
    assert browser.post("/login/code", {"code": codes[0]}).location == "/admin/"
    assert browser.get("/account/second-factor").status_code == 200  # they have just shown who they are


def test_a_sign_in_that_nobody_was_asked_for_proves_nothing_new(acme: Provider, visitor: Visitor) -> None:
    for asked_at, status in ((int(now().timestamp()) - 3600, 403), (None, 403), (int(now().timestamp()), 200)):
        acme.claims["auth_time"] = asked_at
        come_back(visitor, acme)
        assert visitor.get("/account/second-factor").status_code == status
        visitor.post("/logout")


def test_the_provider_confirms_who_it_is(acme: Provider, visitor: Visitor, app: APIFlask) -> None:
    come_back(visitor, acme)
    page, path = "/account/second-factor", f"{BEGIN}?again=1&next=/account/second-factor"
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1), tick=False):
        assert "Confirm with Acme" in visitor.get(page).text
        acme.claims["exp"] = int(now().timestamp()) + 300
        asked = parse_qs(urlsplit(visitor.get(path).location).query)
        assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
        for wrong in (
            {"auth_time": None},
            {"auth_time": math.nan},
            {"auth_time": int(now().timestamp()) - 600},
            {"sub": "bob"},
        ):
            before = dict(acme.claims)
            acme.claims.update(wrong)
            assert come_back(visitor, acme, path).location == "/account"
            assert visitor.get(page).status_code == 403
            acme.claims = before
        acme.claims["auth_time"] = int(now().timestamp())
        assert come_back(visitor, acme, path).location == page
        assert visitor.get(page).status_code == 200


def test_signing_out_offers_to_sign_out_there(acme: Provider, visitor: Visitor) -> None:
    come_back(visitor, acme)
    page = visitor.post("/logout").text
    found = re.search(r'href="([^"]+/end_session[^"]+)"', page)
    assert found
    asked = parse_qs(urlsplit(found[1].replace("&amp;", "&")).query)
    assert asked["post_logout_redirect_uri"] == ["http://localhost/login"]
    assert asked["client_id"] == ["notifier"]
    assert asked["id_token_hint"][0].count(".") == 2
    assert visitor.get("/inbox").status_code == 302


def test_who_came_otherwise_just_signs_out(acme: Provider, signed_in: Callable[..., Visitor]) -> None:
    assert signed_in().post("/logout").location == "/login"


def test_with_local_sign_in_off_only_accounts_for_emergencies_sign_in_without_it(
    acme: Provider, app: APIFlask, signed_in: Callable[..., Visitor], monkeypatch: pytest.MonkeyPatch, visitor: Visitor
) -> None:
    ann = connected(signed_in, acme)
    device = add(ann)
    root = signed_in("admin", "root")
    anns = next(f"/admin/accounts/{one.shown_id}" for one in rows(Account) if one.email == ANN)
    assert "<dd>Acme, a password, an e-mailed link or a passkey</dd>" in root.get(anns).text
    use(app, monkeypatch, acme.issuer, local_sign_in=frozenset({"root@example.test"}))
    assert "<dd>Acme</dd>" in root.get(anns).text

    assert "in an emergency" in visitor.get("/login").text
    refused = visitor.sign_in(ANN)
    assert (refused.status_code, "Wrong e-mail or password." in refused.text) == (401, True)
    assert "is on its way" in visitor.post("/login/link", {"email": ANN}).text
    assert rows(SignInLink) == []
    assert visitor.post("/login/passkey", {"passkey": answer_of(visitor, device)}).location == "/login"
    assert "Sign in with Acme." in visitor.get("/login").text
    assert ann.post("/account/password", {"old": PASSWORD, "new": "x" * 12}).status_code == 403
    assert 'id="h-password"' not in ann.get("/account").text
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        assert "/login/link" not in ann.get("/account/second-factor").text
    assert visitor.sign_in("root@example.test").location == "/inbox"
    came = Visitor(app)  # then her passkey is the second factor, and no way in
    assert come_back(came, acme, f"{BEGIN}?next=/preferences").location == "/login/code"
    assert came.post("/login/passkey", {"passkey": answer_of(came, device)}).location == "/preferences"
    assert rows(AccountSession)[-1].way == sessions.PROVIDER


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of that provider's
def test_a_provider_that_others_have_written_signs_in_too(
    app: APIFlask, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    user = User(sub="kim", claims={"email": "kim@acme.example", "email_verified": True, "groups": ["ops"]})
    with run_server_in_thread(user_claims=[user], require_nonce=True) as server:
        issuer = f"http://localhost:{server.server_port}"
        use(app, monkeypatch, issuer, "groups: ops=operator")
        answer = requests.post(visitor.get(BEGIN).location, {"sub": "kim"}, allow_redirects=False, timeout=30)
        back = urlsplit(answer.headers["Location"])
        assert visitor.get(back.path, query_string=back.query).location == "/inbox"
        assert f'href="{issuer}/oauth2/end_session?' in visitor.post("/logout").text
    assert [(one.email, one.role) for one in rows(Account)] == [("kim@acme.example", "operator")]
