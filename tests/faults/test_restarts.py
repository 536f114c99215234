"""A new release while producers go on and an inbox is open: every process is restarted in turn, behind nginx as
deploy/nginx configures it.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from notifier.operations.installation import ADMIN_USER_ID
from tests.browser.conftest import FLAGS, PATIENCE_MS
from tests.channels.conftest import Authority
from tests.deploy.front import nginx
from tests.faults.conftest import Trial
from tests.faults.installation import USERS, Installation, Program
from tests.faults.load import Load
from tests.running import eventually, free_port, installed

pytestmark = pytest.mark.faults

RESTARTS = 3  # of each process
ADMIN = "ann@example.test"


class Site:
    """Two web processes that take connections from one socket, as deploy/systemd has them, behind nginx."""

    def __init__(self, running: Installation, place: Path) -> None:
        self.running, self.place = running, place
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.webs = [self.start(), self.start()]

    def start(self) -> Program:
        started = self.running.count_in_log("web.started")
        web = self.running.start("web", listener=self.listener, PUBLIC_URL=self.url, TRUSTED_PROXIES="1")
        eventually(lambda: self.running.count_in_log("web.started") > started)
        return web

    def restart_webs(self) -> None:
        for number, web in enumerate(self.webs):
            web.tell_to_stop()
            assert web.wait(30) == 0
            self.webs[number] = self.start()

    def close(self) -> None:
        for web in self.webs:
            web.kill()
        self.listener.close()


@pytest.fixture
def site(running: Installation, tmp_path: Path) -> Iterator[Site]:
    site = Site(running, tmp_path)
    authority = Authority(tmp_path)
    authority.server_for("127.0.0.1")
    with nginx(tmp_path, site.listener.getsockname()[1], site.port, tmp_path / "127.0.0.1.pem"):
        yield site
    site.close()


@pytest.fixture
def inbox(running: Installation, site: Site) -> Iterator[Page]:
    """An admin's inbox, open in a browser."""
    assert running.start("create-admin", ADMIN).wait(30) == 0
    password = (running.home.parent / "create-admin.log").read_text().split()[-1]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=installed("chromium"), args=FLAGS)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.goto(f"{site.url}/login?next=/inbox")
        page.fill("input[type=email]", ADMIN)
        page.fill("input[type=password]", password)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/inbox")
        yield page
        browser.close()


def shipped(order: str) -> dict[str, Any]:
    return {
        "type": "order_shipped",
        "recipients": [ADMIN_USER_ID],
        "channels": ["inapp"],
        "data": {"order_id": order},
    }


@pytest.mark.parametrize("running", ["postgresql"], indirect=True, scope="session")
def test_a_new_release_refuses_and_delays_nothing(running: Installation, trial: Trial, site: Site, inbox: Page) -> None:
    worker, scheduler = trial.start_worker(), running.scheduler
    load = trial.load = Load(
        site.url,
        USERS,
        is_wanted=lambda load: len(load.accepted) - len(running.sink.received) < 10_000,
        recipients=1,
        threads=2,
        authority=str(site.place / "ca.pem"),
    )
    for turn in range(RESTARTS):
        site.restart_webs()
        following = trial.start_worker()
        worker.tell_to_stop()
        assert worker.wait(30) == 0
        worker = following
        scheduler.tell_to_stop()
        assert scheduler.wait(30) == 0
        scheduler = running.scheduler = running.start("scheduler")
        trial.rows_before += 1
        running.call("POST", "/api/v1/notifications", shipped(f"Release-{turn}"))
        title = f"Your order Release-{turn} is on its way"
        expect(inbox.get_by_role("button", name=title, exact=True)).to_be_visible()
    trial.settle(told=f"{4 * RESTARTS} restarts behind nginx")
    assert load.not_accepted == {}, "every request was answered at the first try"
