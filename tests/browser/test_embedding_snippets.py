"""The snippets of docs/embedding.md: a page made of them, on a site of its own, under the policy that is shown."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, Tabs, becomes_true
from tests.browser.inbox_page import NewPerson
from tests.running import KEY
from tests.snippets import blocks_of

_SNIPPETS = [
    (block.language, block.text) for block in blocks_of("docs/embedding.md") if block.language in ("html", "js", "sh")
]
[_POLICY] = [block.text.strip() for block in blocks_of("docs/embedding.md") if block.language == "text"]
# What the snippets call and leave to their reader
_OWN = """
const token = document.querySelector("notifier-inbox").getAttribute("token");
const draw = (items, unread) => (window.drawn = [items.map((item) => item.title), unread]);
const greet = () => {};
const renew = () => {};
"""


@pytest.fixture
def page_of() -> Iterator[Callable[[Tabs, str], str]]:
    """`page_of(tabs, token)` → the address of the page."""
    sites = []

    def call(tabs: Tabs, token: str) -> str:
        def here(text: str) -> str:
            text = text.replace("wss://notifier.example", tabs.base.replace("http", "ws"))
            return text.replace("https://notifier.example", tabs.base).replace('token="…"', f'token="{token}"')

        files = {f"/{number}.js": _OWN + here(text) for number, (kind, text) in enumerate(_SNIPPETS) if kind == "js"}
        body = "".join(f"<section>{here(text)}</section>" for kind, text in _SNIPPETS if kind == "html")
        scripts = "".join(f'<script type="module" src="{name}"></script>' for name in files)
        pages = {"/": f"<!doctype html><html lang=en><title>Shop</title>{body}{scripts}", "/notifier-token": token}

        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = files.get(self.path) or pages.get(self.path)
                self.send_response(200 if found else 204)
                self.send_header("Content-Type", "text/javascript" if self.path in files else "text/html")
                self.send_header("Content-Security-Policy", here(_POLICY))
                self.end_headers()
                self.wfile.write((found or "").encode())

            def log_message(self, *_: object) -> None:
                pass

        sites.append(ThreadingHTTPServer(("127.0.0.1", 0), Site))
        threading.Thread(target=sites[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{sites[-1].server_port}/"

    yield call
    for site in sites:
        site.shutdown()
        site.server_close()


def token_of(alice: Person, tabs: Tabs) -> str:
    """By the command that is shown."""
    [command] = [text for kind, text in _SNIPPETS if kind == "sh"]
    command = command.replace("https://notifier.example", tabs.base).replace("users/alice/", f"users/{alice.id}/")
    told = subprocess.run(
        ["sh", "-euc", command], env={**os.environ, "KEY": KEY}, capture_output=True, text=True, check=True
    )
    return str(json.loads(told.stdout)["token"])


def test_a_page_made_of_the_snippets_works(
    tabs: Tabs, person: NewPerson, page_of: Callable[[Tabs, str], str], tmp_path: Path
) -> None:
    tabs.expect("status of 401|Failed to load|WebSocket|ERR_FAILED")
    alice = person()
    alice.receive("order_shipped", order_id="A17")
    page = tabs.open(page_of(tabs, token_of(alice, tabs)))
    own, templated = page.locator("notifier-inbox").nth(0), page.locator("notifier-inbox").nth(1)
    expect(own.locator("li.row")).to_have_count(1)
    expect(own).to_contain_text("for A17")  # drawn by `renderItem`
    expect(templated.locator("strong")).to_contain_text("A17")
    expect(page.locator("notifier-preferences").get_by_role("heading", name="Social")).to_be_visible()
    assert becomes_true(page, "window.drawn?.[1] === 1")  # by `createFeed`
    alice.receive("order_shipped", order_id="A18")
    assert becomes_true(page, "window.drawn?.[1] === 2")
    own.evaluate("inbox => inbox.setAttribute('token', 'no longer good')")
    expect(own).to_contain_text("for A18")  # by a new token
    assert own.get_attribute("token") != "no longer good"
