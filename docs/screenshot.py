"""Makes docs/inbox.png and docs/console.png from fresh installations: `.venv/bin/python -m docs.screenshot`. Needs
Debian's chromium.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Playwright, sync_playwright

from tests.running import Up, free_port

HERE = Path(__file__).resolve().parent
SIGN_IN = {"NOTIFIER_ADMIN_EMAIL": "admin@example.test", "NOTIFIER_ADMIN_PASSWORD": "a password for the picture"}
# How often what the sandbox is asked to play: see notifier/channels/sandbox.py.
FAILING = {"rejected": 14, "dead": 5, "timeout": 9, "soft-fail": 23, "delivered": 40}


def main() -> None:
    with sync_playwright() as play:
        with installation(play, NOTIFIER_DEMO="1") as (_, page):
            page.goto("/inbox")
            time.sleep(1.5)  # until what arrives has slid in
            page.screenshot(path=HERE / "inbox.png")
        with installation(play, NOTIFIER_DEMO="0", RETRY_DELAYS="0.2,0.2") as (running, page):
            fail(running)
            page.goto("/admin/failed")
            page.screenshot(path=HERE / "console.png")


@contextmanager
def installation(play: Playwright, **settings: str) -> Iterator[tuple[Up, Page]]:
    """A running one, and a page with its admin signed in."""
    with tempfile.TemporaryDirectory() as place:
        running = Up(Path(place) / "home", free_port(), **settings, **SIGN_IN).until_ready()
        flags = ["--no-sandbox", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=flags)
        base = f"http://127.0.0.1:{running.port}"
        page = browser.new_page(viewport={"width": 1200, "height": 680}, device_scale_factor=1.5, base_url=base)
        page.goto("/login")
        page.fill('[name="email"]', SIGN_IN["NOTIFIER_ADMIN_EMAIL"])
        page.fill('[name="password"]', SIGN_IN["NOTIFIER_ADMIN_PASSWORD"])
        page.press('[name="password"]', "Enter")
        page.wait_for_url("**/inbox")
        yield running, page
        browser.close()
        running.stop()


def fail(running: Up) -> None:
    """Orders shipped to people whose mail and phone do not always answer."""
    number = 0
    for word, times in FAILING.items():
        for _ in range(times):
            number += 1
            person = {"id": f"person-{number}", "email": f"{word}@sandbox.test", "phone": "+15550100000"}
            data = {"order_id": f"A{number}", "tracking_url": "https://example.test/A1"}
            running.call(
                "/api/v1/notifications",
                {"type": "order_shipped", "recipients": [person], "data": data, "channels": ["inapp", "email", "sms"]},
            )
    time.sleep(6)  # until the retries are used up


if __name__ == "__main__":
    main()
