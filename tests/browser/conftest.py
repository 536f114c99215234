"""A real Chromium before the real processes. Every test gets people of its own, so that nothing carries over.

Where there is no Chromium the tests are skipped with that reason; under CI they fail instead.
"""

import itertools
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.running import ROOT, Up, installed
from tests.test_end_to_end import free_port

ADMIN, PASSWORD = "admin@example.test", "correct horse battery staple"
PEOPLE = 200
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_MS = 60_000  # a safety net: nothing is waited for longer than it takes

_MAKE_PEOPLE = f"""
import sqlalchemy as sa
from notifier.access import accounts
from notifier.app import create_app
from notifier.ground.database import transaction
from notifier.models import Account
with create_app().app_context():
    made = [
        accounts.create_account(f"person-{{number}}@example.test", None, "person", f"person-{{number}}").id
        for number in range({PEOPLE})
    ]
    accounts.set_password(made[0], {PASSWORD!r})
    with transaction() as session:  # hashing takes long on purpose; once is enough
        hashed = session.get_one(Account, made[0]).password_hash
        session.execute(sa.update(Account).values(password_hash=hashed).where(Account.id.in_(made)))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def chromium() -> str:
    """The path of the browser."""
    return installed("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def installation(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`python -m notifier up` on a free port, with an admin and some people."""
    home = tmp_path_factory.mktemp("browser") / "home"
    up = Up(
        home,
        free_port(),
        NOTIFIER_ADMIN_EMAIL=ADMIN,
        NOTIFIER_ADMIN_PASSWORD=PASSWORD,
        CAPS="marketing none, social none, system none",
    )
    try:
        up.until_ready()
        subprocess.run([sys.executable, "-c", _MAKE_PEOPLE], cwd=ROOT, env=up.environment, check=True)
        yield up
    finally:
        code = up.stop()
    assert code == 0


@pytest.fixture(scope="package")
def _numbers() -> Iterator[int]:
    return itertools.count()


@dataclass
class Person:
    """Somebody with an account; `notify` sends them an in-app notification by the producers' API."""

    id: str
    email: str
    server: Up

    def notify(self, title: str, **data: Any) -> None:
        self.receive("promotional_offer", title=title, **data)

    def notify_all(self, *titles: str) -> None:
        """The last one ends at the top."""
        each = [
            {"type": "promotional_offer", "recipients": [self.id], "channels": ["inapp"], "data": {"title": title}}
            for title in titles
        ]
        self.server.call("/api/v1/notifications/bulk", {"notifications": each})

    def receive(self, type: str, **data: Any) -> None:
        self.server.call(
            "/api/v1/notifications", {"type": type, "recipients": [self.id], "channels": ["inapp"], "data": data}
        )

    def mark(self, mark: str, *ids: str) -> None:
        """As another device of theirs would."""
        headers = {"Authorization": f"Bearer {self.token()}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}/api/v1/inbox/{mark}", json.dumps({"ids": ids}).encode(), headers
        )
        urllib.request.urlopen(request, timeout=30).close()

    def token(self, expires_in_s: int = 3600) -> str:
        """For the inbox in somebody else's page."""
        return str(self.server.call(f"/api/v1/users/{self.id}/token", {"expires_in": expires_in_s})["token"])


@pytest.fixture
def person(installation: Up, _numbers: Iterator[int]) -> Callable[[], Person]:
    """A new person at each call."""

    def _person() -> Person:
        number = next(_numbers)
        assert number < PEOPLE, "tests need more people"
        return Person(f"person-{number}", f"person-{number}@example.test", installation)

    return _person


# Said of an element that takes up another language or token, say, while it connects
_BEGUN_ANEW = "WebSocket is closed before the connection is established"


@dataclass
class Tabs:
    """Opens browser windows and keeps what goes wrong in them: a test that does not expect it fails."""

    browser: Browser
    base: str
    contexts: list[BrowserContext] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=lambda: [_BEGUN_ANEW])

    def open(
        self,
        path: str | None = None,
        *,
        email: str | None = None,
        dark: bool = False,
        phone: bool = False,
        script: bool = True,
    ) -> Page:
        """A window of its own, signed in if an e-mail is given."""
        size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
        context = self.browser.new_context(
            base_url=self.base,
            viewport=size,
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            reduced_motion="reduce",
            has_touch=phone,
            is_mobile=phone,
        )
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        page = self.watch(context.new_page())
        if email:
            form = context.request.get("/login").text()
            token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', form)
            assert token
            answer = context.request.post(
                "/login", form={"email": email, "password": PASSWORD, "csrf_token": token[1]}, max_redirects=0
            )
            assert answer.status in (302, 303)
        if path or email:
            page.goto(path or "/inbox")
        return page

    def watch(self, page: Page) -> Page:
        page.on(
            "console",
            lambda message: (
                self.trouble.append(f"{message.type}: {message.text}") if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: self.trouble.append(f"page error: {error}"))
        return page

    def expect(self, pattern: str) -> None:
        """This trouble is part of the test."""
        self.expected.append(pattern)

    def unexpected(self) -> list[str]:
        return [line for line in self.trouble if not any(re.search(pattern, line) for pattern in self.expected)]


@pytest.fixture
def tabs(browser: Browser, installation: Up) -> Iterator[Tabs]:
    tabs = Tabs(browser, f"http://127.0.0.1:{installation.port}")
    yield tabs
    for page in [page for context in tabs.contexts for page in context.pages]:
        page.wait_for_timeout(0)  # hears what it has said by now
    unexpected = tabs.unexpected()  # and not that it is closed while a socket opens
    for context in tabs.contexts:
        context.close()
    assert unexpected == []


def becomes_true(page: Page, expression: str) -> bool:
    """Playwright's own `wait_for_function` asks again by `eval`, which our policy forbids."""
    give_up_at = time.monotonic() + PATIENCE_MS / 1_000
    while not page.evaluate(expression):
        if time.monotonic() > give_up_at:
            return False
        page.wait_for_timeout(20)
    return True


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str, str], str]]:
    """`elsewhere(html, policy)` → the address of a page of somebody else's site,
    with its own Content-Security-Policy.
    """
    servers = []

    def _serve(html: str, policy: str) -> str:
        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/" else 204)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                if self.path == "/":
                    self.wfile.write(html.encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield _serve
    for server in servers:
        server.shutdown()
        server.server_close()
