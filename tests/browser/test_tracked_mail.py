"""A mail that went out by SMTP, opened in a real browser: what becomes of its pixel and links, seen wherever it is
shown. An installation of its own, since it has a mail server and a type that tracks.
"""

import json
import re
import threading
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import ADMIN, PASSWORD
from tests.running import Up, eventually, free_port
from tests.test_end_to_end import MailServer, Sink
from tests.test_end_to_end import mail_server as mail_server
from tests.tracked import CHROME

TOO_SOON_MS = 5_500  # nobody opens a mail so soon; the rest is for the clocks


@pytest.fixture(scope="module")
def posting(mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(
        tmp_path_factory.mktemp("tracked") / "home",
        free_port(),
        SMTP_URL=f"smtp://127.0.0.1:{mail_server.controller.port}",
        OUTBOUND_ALLOW="127.0.0.0/8",
        NOTIFIER_ADMIN_EMAIL=ADMIN,
        NOTIFIER_ADMIN_PASSWORD=PASSWORD,
    ).until_ready()
    eventually(up.is_whole)
    type = up.call("/api/v1/types/order_shipped")
    up.call("/api/v1/types/order_shipped", {**type, "tracking": {"opens": True, "clicks": True}}, method="PUT")
    yield up
    assert up.stop() == 0


@pytest.fixture
def shop() -> Iterator[str]:
    """The address of a page of the shop's."""

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>Your parcel</title><h1 id=map>Your parcel</h1>")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/parcel?order=A1&by=mail#map"
    server.shutdown()
    server.server_close()


def mailed(up: Up, server: MailServer, user: str, target: str) -> tuple[str, str]:
    """→ the notification's id, and the HTML that arrived."""
    sent = up.call(
        "/api/v1/notifications",
        {
            "type": "order_shipped",
            "recipients": [{"id": user, "email": f"{user}@example.test"}],
            "channels": ["inapp", "email"],
            "data": {"order_id": "A1", "tracking_url": target},
        },
    )
    [mail] = eventually(lambda: server.to(f"{user}@example.test"))
    html = mail.get_body(("html",))
    assert html is not None
    [notification] = sent["notifications"]
    eventually(lambda: of_mail(up, notification["id"])["status"] == "sent")
    return notification["id"], html.get_content()


def of_mail(up: Up, notification: str) -> dict[str, Any]:
    found = up.call(f"/api/v1/notifications/{notification}")
    return next(delivery for delivery in found["deliveries"] if delivery["channel"] == "email")


def hits(up: Up, notification: str) -> list[tuple[str, str]]:
    return [(one["status"], one["by"]) for one in up.call(f"/api/v1/notifications/{notification}")["receipts"]]


def unread(up: Up, user: str, page: Page) -> int:
    token = up.call(f"/api/v1/users/{user}/token", {"expires_in": 600})["token"]
    answer = page.request.get(f"http://127.0.0.1:{up.port}/api/v1/inbox", headers={"Authorization": f"Bearer {token}"})
    return int(answer.json()["unread"])


@pytest.fixture
def subscriber(posting: Up) -> Iterator[Sink]:
    """A status webhook that hears of opens and clicks."""
    sink = Sink()
    url = f"http://127.0.0.1:{sink.server_port}/events"
    events = ["delivery.opened", "delivery.clicked", "inbox.read"]
    posting.call("/api/v1/subscriptions", {"url": url, "events": events})
    yield sink
    sink.shutdown()
    sink.server_close()


def opened_in_the_chart(page: Page, up: Up) -> int:
    page.goto(f"http://127.0.0.1:{up.port}/admin/?channel=email")
    return sum(json.loads(page.locator("activity-chart").get_attribute("data-series") or "")["opened"])


def told_in_the_console(page: Page, up: Up, notification: str) -> str:
    page.goto(f"http://127.0.0.1:{up.port}/login")
    page.get_by_label("E-mail").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/inbox")
    page.goto(f"http://127.0.0.1:{up.port}/admin/notifications/{notification}")
    return page.inner_text("main")


def test_who_opens_a_mail_and_follows_its_link_is_seen_everywhere(
    browser: Browser, posting: Up, mail_server: MailServer, shop: str, subscriber: Sink, tmp_path: Path
) -> None:
    notification, html = mailed(posting, mail_server, "ann", shop)
    (tmp_path / "mail.html").write_text(html)
    context = browser.new_context(user_agent=CHROME)
    page = context.new_page()
    page.wait_for_timeout(TOO_SOON_MS)

    with page.expect_response("**/o/*.gif") as pixel:
        page.goto(f"file://{tmp_path / 'mail.html'}")
    assert (pixel.value.status, pixel.value.headers["content-type"]) == (200, "image/gif")
    eventually(lambda: of_mail(posting, notification)["status"] == "opened")
    page.get_by_role("link", name="Track").first.click()
    page.wait_for_url(shop)  # with its fragment
    assert page.title() == "Your parcel"

    eventually(lambda: of_mail(posting, notification)["status"] == "clicked")
    assert hits(posting, notification) == [("opened", "person"), ("clicked", "person")]
    assert unread(posting, "ann", page) == 0
    stream = page.request.get(
        f"http://127.0.0.1:{posting.port}/api/v1/events?types=delivery.opened,delivery.clicked",
        headers={"Authorization": f"Bearer {posting.key}"},
    )
    assert re.findall(r'"type": ?"(delivery\.\w+)"', stream.text()) == ["delivery.opened", "delivery.clicked"]
    story = told_in_the_console(page, posting, notification)
    assert "Mail opened by a person" in story
    assert "Link 1 clicked by a person" in story
    assert opened_in_the_chart(page, posting) == 1
    told = eventually(lambda: len(subscriber.requests) == 3 and [json.loads(body) for _, body in subscriber.requests])
    assert sorted(event["type"] for event in told) == ["delivery.clicked", "delivery.opened", "inbox.read"]
    assert {event["data"]["notification"] for event in told} == {notification}
    context.close()


def test_a_scanner_that_loads_and_follows_everything_is_nobody(
    browser: Browser, posting: Up, mail_server: MailServer, shop: str
) -> None:
    """It says that it is a browser; its haste gives it away."""
    notification, html = mailed(posting, mail_server, "bea", shop)
    context = browser.new_context(user_agent=CHROME)
    page = context.new_page()
    paths = [unescape(found) for found in re.findall(r'(?:href|src)="([^"]+/[to]/[^"]+)"', html)]
    answers = [page.request.get(path, max_redirects=0).status for path in paths]
    assert answers == [404, 302, 200]  # the link that nobody sees leads nowhere

    eventually(lambda: len(hits(posting, notification)) == 3)
    assert {by for _, by in hits(posting, notification)} == {"machine"}
    assert of_mail(posting, notification)["status"] == "sent"
    assert unread(posting, "bea", page) == 1
    context.close()
