"""Makes docs/inbox.png from a fresh installation with its demo data: `.venv/bin/python -m docs.screenshot`. Needs Debian's chromium."""

import os
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.running import Up, free_port

HERE = Path(__file__).resolve().parent
SIGN_IN = {"NOTIFIER_ADMIN_EMAIL": "admin@example.test", "NOTIFIER_ADMIN_PASSWORD": "a password for the picture"}


def main() -> None:
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        running = Up(Path(place) / "home", free_port(), NOTIFIER_DEMO="1", **SIGN_IN).until_ready()
        flags = ["--no-sandbox", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=flags)
        page = browser.new_page(viewport={"width": 1080, "height": 640}, device_scale_factor=1.5)
        page.goto(f"http://127.0.0.1:{running.port}/login")
        page.fill('[name="email"]', SIGN_IN["NOTIFIER_ADMIN_EMAIL"])
        page.fill('[name="password"]', SIGN_IN["NOTIFIER_ADMIN_PASSWORD"])
        page.press('[name="password"]', "Enter")
        page.wait_for_url("**/inbox")
        time.sleep(1.5)  # until what arrives has slid in
        page.screenshot(path=HERE / "inbox.png")
        browser.close()
        running.stop()


if __name__ == "__main__":
    main()
