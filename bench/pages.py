"""A person's browser on a slow line: what a page costs it the first time, and the second."""

import shutil
from typing import Any

from playwright.sync_api import CDPSession, sync_playwright

from bench import rows
from bench.stage import Found, Stage
from notifier.access import accounts

_LINE = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
_EMAIL, _PASSWORD = "slow@bench.example", "a password for the measurement"
# Where it leads, and what is there once the page is of use.
_PAGES = {"inbox": ("/inbox", "main notifier-inbox article"), "preferences": ("/preferences", "h1")}
_PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


class _Line:
    """Counts what comes over it: `bytes` as they travel, `files` that are named as static ones."""

    def __init__(self, session: CDPSession) -> None:
        self.session, self.bytes = session, 0
        self.files: list[str] = []
        session.on("Network.responseReceived", self._received)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")

    def _received(self, event: dict[str, Any]) -> None:
        answer = event["response"]
        if "/static/" in answer["url"] and not answer.get("fromDiskCache"):
            self.files.append(answer["url"])

    def _finished(self, event: dict[str, Any]) -> None:
        self.bytes += int(event["encodedDataLength"])

    def count_anew(self) -> None:
        self.bytes, self.files = 0, []


def pages(stage: Stage) -> Found:
    """At 400 ms and 50 KB/s: `…_paint_ms` until something is painted and `…_useful_ms` until the list is there, with
    nothing cached; `…_kb` that came for it; `…_warm_files` that are asked for at the second visit.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise RuntimeError("needs a Chromium: apt-get install chromium")
    rows.add_inbox(50, 20, prefix="patient")
    accounts.create_account(_EMAIL, _PASSWORD, "person", "patient0")
    found: Found = {}
    with stage.installation.web(), sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(base_url=f"http://127.0.0.1:{stage.installation.port}")
        page.set_default_timeout(120_000)
        page.goto("/login")
        page.get_by_label("E-mail").fill(_EMAIL)
        page.get_by_label("Password").fill(_PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/inbox")
        session = page.context.new_cdp_session(page)
        line = _Line(session)
        for name, (path, useful) in _PAGES.items():
            page.goto("about:blank")
            session.send("Network.clearBrowserCache")
            session.send("Network.emulateNetworkConditions", _LINE)
            line.count_anew()
            page.goto(path)
            page.locator(useful).first.wait_for()
            found[f"{name}_useful_ms"] = round(page.evaluate("() => performance.now()"))
            page.wait_for_load_state("networkidle")
            found[f"{name}_paint_ms"] = round(page.evaluate(_PAINTED))
            found[f"{name}_kb"] = round(line.bytes / 1000, 1)
            line.count_anew()
            page.goto("about:blank")
            page.goto(path)
            page.locator(useful).first.wait_for()
            page.wait_for_load_state("networkidle")
            found[f"{name}_warm_files"] = len(line.files)
        browser.close()
    stage.installation.clear_queues()
    return found
