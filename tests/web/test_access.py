"""Who may see which page, and what every page says to the browser about itself."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import new_id, show
from notifier.models import Account
from notifier.models.account import ROLES
from notifier.web.access import is_local, rule_of
from tests.browser import every_page
from tests.web.conftest import Visitor

_WORDS = re.compile(r"<[^>]+>")

# page → the least role that may see it; None: everybody
PAGES: dict[str, str | None] = {
    "/login": None,
    "/inbox": "person",
    "/preferences": "person",
    "/account": "person",
    "/preferences/export": "person",
    "/admin/": "viewer",
    "/admin/failed": "viewer",
    "/admin/sandbox": "viewer",
}


@pytest.mark.parametrize(("page", "least"), [(page, least) for page, least in PAGES.items() if least])
def test_a_stranger_is_sent_to_sign_in_and_comes_back(visitor: Visitor, page: str, least: str) -> None:
    answer = visitor.get(page)
    assert (answer.status_code, answer.location) == (302, f"/login?next={page}")


@pytest.mark.parametrize(("role", "status"), [("person", 403), ("viewer", 403), ("operator", 303), ("admin", 303)])
def test_retrying_is_for_operators(signed_in: Callable[..., Visitor], role: str, status: int) -> None:
    assert signed_in(role).post("/admin/failed/actions", {"ids": show("dlv", new_id())}).status_code == status


@pytest.mark.parametrize("path", ["/admin/failed/actions", "/preferences", "/preferences/erase"])
def test_a_stranger_changes_nothing(visitor: Visitor, path: str) -> None:
    answer = visitor.post(path)
    assert (answer.status_code, answer.location) == (303, "/login")


@pytest.mark.parametrize(
    ("page", "target"),
    [("http://localhost/preferences", "/login?next=/preferences"), ("http://localhost//evil.test/", "/login")],
)
def test_a_change_that_htmx_sends_after_the_session_has_ended_leads_to_the_sign_in(
    visitor: Visitor, page: str, target: str
) -> None:
    """It would follow a redirect, and show the sign-in as if that had come of the change."""
    answer = visitor.post("/preferences", headers={"HX-Request": "true", "HX-Current-URL": page})
    assert (answer.status_code, answer.headers["HX-Redirect"], answer.location) == (401, target, None)


def console(app: APIFlask) -> list[tuple[str, str, str]]:
    """(method, path, rule) of every page of the console; a path's words are such as are nowhere."""
    with app.app_context():
        found = [
            (
                method,
                _WORDS.sub(lambda word: "1" if word[0].startswith("<int") else "nothing", rule.rule),
                rule_of(rule.endpoint) or "nobody",
            )
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith("/admin")
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
    return sorted(found)


def test_every_page_of_the_console_has_a_role_and_no_get_is_for_persons(app: APIFlask) -> None:
    pages = console(app)
    assert len(pages) > 30
    assert {rule for _, _, rule in pages} <= set(ROLES) - {"person"}


def test_every_page_is_looked_at_in_a_browser(app: APIFlask) -> None:
    """A page is what a GET shows; the calls of the API are none."""
    looked_at = (*every_page.CONSOLE, *every_page.PEOPLES, *every_page.SIGNED_OUT, *every_page.FOR_PROGRAMMERS)
    elsewhere = {*every_page.ELSEWHERE, *every_page.QUESTIONS, *every_page.NO_PAGES}
    paths = [re.sub(r"\{\w+\}", "1", path.partition("?")[0]) for path in looked_at]
    with app.app_context():
        urls = app.url_map.bind("notifier.example")
        seen = {urls.match(path, return_rule=True)[0].rule for path in paths}
        rules = {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    pages = {rule for rule in rules if not rule.startswith(("/api/v1/", "/static/"))}
    assert (pages - seen - elsewhere, elsewhere - pages, elsewhere & seen) == (set(), set(), set())


def test_no_post_of_the_console_is_taken_without_its_token(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    posts = [path for method, path, _ in console(app) if method == "POST"]
    assert {path: status for path in posts if (status := admin.post(path, token=False).status_code) != 400} == {}


@pytest.mark.parametrize("path", ["/login", "/logout", "/preferences", "/preferences/erase", "/admin/failed/actions"])
def test_a_form_without_its_token_is_refused(signed_in: Callable[..., Visitor], path: str) -> None:
    answer = signed_in("admin").post(path, {"email": "a@example.test", "password": "x"}, token=False)
    assert answer.status_code == 400
    assert "open for too long" in answer.text


def test_an_account_that_is_switched_off_is_out_at_once(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    visitor = signed_in("admin")
    with transaction() as session:
        session.query(Account).update({"disabled_at": now()})
    assert visitor.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "page", ["/login", "/inbox", "/preferences", "/admin/", "/admin/failed", "/admin/sandbox", "/nowhere"]
)
def test_pages_run_nothing_that_is_not_ours(signed_in: Callable[..., Visitor], page: str) -> None:
    answer = signed_in("admin").get(page, follow_redirects=True)
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert {
        name: policy[name] for name in ("default-src", "script-src", "style-src", "base-uri", "frame-ancestors")
    } == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert policy["connect-src"] == "'self' ws://localhost"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "style=" not in answer.text
    assert "onclick" not in answer.text


def test_static_modules_are_readable_from_any_origin(visitor: Visitor) -> None:
    answer = visitor.get("/static/inbox.js")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.mimetype == "text/javascript"


@pytest.mark.parametrize("role", [None, "admin"])
def test_an_address_that_is_none_has_a_page_of_ours(
    visitor: Visitor, signed_in: Callable[..., Visitor], role: str | None
) -> None:
    answer = (signed_in(role) if role else visitor).get("/nowhere")
    assert answer.status_code == 404
    assert "Page not found" in answer.text
    assert ('aria-label="Main menu"' in answer.text) == (role is not None)


def test_who_may_not_see_a_page_keeps_the_way_back(signed_in: Callable[..., Visitor]) -> None:
    answer = signed_in().get("/admin/")
    assert (answer.status_code, 'aria-label="Main menu"' in answer.text) == (403, True)


def test_the_front_door_leads_to_the_inbox_or_to_sign_in(visitor: Visitor, signed_in: Callable[..., Visitor]) -> None:
    assert visitor.get("/").location == "/login"
    assert signed_in().get("/").location == "/inbox"


@pytest.mark.parametrize(
    ("target", "is_ours"),
    [
        ("/inbox", True),
        ("/admin/failed?queue=email.high&page=2", True),
        ("", False),
        (None, False),
        ("inbox", False),
        ("//evil.test", False),
        ("/\\evil.test", False),
        ("/\t/evil.test", False),
        ("https://evil.test", False),
        ("javascript:alert(1)", False),
        (" /inbox", False),
    ],
)
def test_only_paths_of_our_own_are_redirected_to(target: Any, is_ours: bool) -> None:
    assert is_local(target) is is_ours
