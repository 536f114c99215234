"""What browsers are told to do for us, where people come by https; and where to report what is wrong with that."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from apiflask import APIFlask

from notifier.app import create_app
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.extensions import db
from notifier.web.access import ANYONE
from tests.web.conftest import PASSWORD, Visitor

CONTACT = "mailto:security@example.com"
URL = "https://notifier.example"


@pytest.fixture
def by_https(settings: Settings, app: APIFlask) -> Iterator[APIFlask]:
    """The installation as it is after it has been put behind https."""
    later = create_app(replace(settings, public_url=URL, security_contact=CONTACT))
    yield later
    with later.app_context():
        db.session.remove()
        db.engine.dispose()


def test_with_https_browsers_come_by_https_only_and_keep_the_cookie_for_this_host(
    by_https: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    before = signed_in(user_id="ann")
    assert "Strict-Transport-Security" not in before.get("/inbox").headers
    cookie = before.client.get_cookie("notifier_session")
    assert cookie is not None

    browser = Visitor(by_https)
    browser.client.set_cookie("notifier_session", cookie.value)  # from before, or from a neighbouring host

    options = {"base_url": URL, "headers": {"Referer": f"{URL}/login"}}
    assert browser.get("/inbox", **options).status_code == 302
    page = browser.get("/login", **options)
    token = page.text.partition('name="csrf_token" type="hidden" value="')[2].partition('"')[0]
    form = {"email": "ann@example.test", "password": PASSWORD, "csrf_token": token}
    answer = browser.post("/login", form, token=False, **options)
    assert answer.location == "/inbox"
    [made] = [text for text in answer.headers.getlist("Set-Cookie") if "session" in text]
    assert made.startswith("__Host-notifier_session=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in made.split(";")}
    assert "Domain" not in made
    inbox = browser.get("/inbox", **options)
    assert inbox.status_code == 200
    assert inbox.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_other_sites_may_not_load_pages_and_data_as_parts_of_theirs(app: APIFlask, visitor: Visitor) -> None:
    found = {path: visitor.get(path).headers.get("Cross-Origin-Resource-Policy") for path in ("/login", "/readyz")}
    assert found == {"/login": "same-origin", "/readyz": "same-origin"}
    static = visitor.get("/static/inbox.js").headers
    assert static["Cross-Origin-Resource-Policy"] == "cross-origin"  # made for other sites


def test_no_cache_keeps_what_needs_a_sign_in(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    """Neither a proxy for the next visitor, nor the browser for whoever sits there next."""
    admin, kept = signed_in("admin"), set()
    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and getattr(app.view_functions[rule.endpoint], "rule", ANYONE) != ANYONE:
            answer = admin.get(re.sub("<[^>]+>", "x", rule.rule))
            kept |= set() if answer.cache_control.no_store else {rule.endpoint}
    assert kept == set()


@pytest.mark.slow
def test_security_txt_says_where_to_report(by_https: APIFlask, visitor: Visitor) -> None:
    assert visitor.get("/.well-known/security.txt").status_code == 404
    answer = by_https.test_client().get("/.well-known/security.txt")
    assert answer.mimetype == "text/plain"
    lines = dict(line.split(": ", 1) for line in answer.text.splitlines())
    expires = datetime.fromisoformat(lines.pop("Expires"))
    assert lines == {"Contact": CONTACT, "Canonical": f"{URL}/.well-known/security.txt"}
    assert now() + timedelta(days=29) < expires < now() + timedelta(days=31)
