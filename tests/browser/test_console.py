"""The console in a browser: a group of dead letters is retried, a template is written, and a viewer is kept out."""

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMIN, PASSWORD, Tabs
from tests.running import ROOT, Up

MANY = 5_000

# Dead letters of their own cause, as a provider would have left them; and a viewer.
_MAKE = f"""
from notifier import accounts
from notifier.app import create_app
from notifier.clock import now
from notifier.core.submission import InlineRecipient
from notifier.database import transaction
from notifier.ids import new_id
from notifier.models import Delivery, Notification, Submission
from notifier.pipeline import people
import sqlalchemy as sa
with create_app().app_context():
    accounts.create_account("viewer@example.test", {PASSWORD!r}, "viewer", "viewer")
    with transaction() as session:
        people.upsert([InlineRecipient("many")])
        submission, notification = new_id(), new_id()
        session.execute(sa.insert(Submission), [{{"id": submission, "type": "order_shipped", "recipients": 1, "expanded": 1}}])
        kind = {{"type": "order_shipped", "category": "transactional", "priority": "low", "data": {{"order_id": "A1"}}}}
        session.execute(sa.insert(Notification), [{{"id": notification, "submission_id": submission, "user_id": "many", **kind}}])
        cause = {{"provider": "played", "outcome": "permanent", "code": "many", "failed_at": now()}}
        common = {{"notification_id": notification, "channel": "sms", "priority": "low", "status": "failed"}}
        session.execute(sa.insert(Delivery), [{{**common, **cause, "id": new_id()}} for _ in range({MANY})])
"""


@pytest.fixture(scope="module")
def many(live_server: Up) -> str:
    """→ the address of their cause."""
    subprocess.run([sys.executable, "-c", _MAKE], cwd=ROOT, env=live_server.environment, check=True)
    return "/admin/failed/jobs?channel=sms&provider=played&outcome=permanent&code=many"


def figure(page: Page, words: str) -> int:
    text = page.locator("#progress dt", has_text=words).locator("xpath=following-sibling::dd[1]").inner_text()
    return int(re.sub(r"\D", "", text.split("\n")[0].split(" ")[0]))


def test_a_group_of_five_thousand_is_retried_with_progress_and_the_counts_add_up(tabs: Tabs, many: str, live_server: Up) -> None:
    page = tabs.open("/admin/failed", email=ADMIN)
    page.get_by_role("button", name="Retry SMS: played · permanent · many").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 5,000 failed jobs?")
    page.get_by_label("At most").select_option("1000")
    page.get_by_role("button", name="Retry 5,000").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 5,000 failed jobs")
    expect(page.locator("#progress")).to_contain_text("Finished", timeout=60_000)
    done, left, rest = (figure(page, words) for words in ("Queued again", "Left alone", "Not reached"))
    assert (done, left, rest, figure(page, "Together")) == (MANY, 0, 0, MANY)
    page.goto(many)
    expect(page.locator("main")).to_contain_text("No failed job fits")


def test_a_viewer_looks_is_told_why_not_and_is_refused_by_the_server(tabs: Tabs, many: str) -> None:
    tabs.expect("403")
    page = tabs.open("/admin/queues", email="viewer@example.test")
    button = page.get_by_role("button", name="Pause …")
    expect(button).to_be_disabled()
    expect(page.locator("main")).to_contain_text("Your role is viewer; this needs operator or admin.")
    page.goto("/admin/queues/sms/pause")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page is not for your account")
    answer = page.context.request.post("/admin/queues/sms/pause", form={})
    assert answer.status in (400, 403)


def test_a_template_is_written_with_a_live_preview_and_published(tabs: Tabs, live_server: Up) -> None:
    page = tabs.open("/admin/templates/fraud_alert", email=ADMIN)
    page.get_by_role("button", name="New draft").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("draft")
    page.wait_for_load_state("load")  # from here on the script listens
    title = page.get_by_label("Title", exact=True)
    title.fill("Look at {{ order_id }} now")
    expect(page.locator("#preview")).to_contain_text(re.compile(r"Look at \S+ now"))
    title.fill("Look at {{ order_id")
    expect(page.locator("#preview [role=alert]")).to_contain_text("Line 1 of the title")
    title.fill("Look at {{ order_id }} now")
    page.get_by_role("button", name="Save draft").press("Enter")
    expect(page.locator(".messages")).to_contain_text("is saved in draft")
    page.get_by_role("link", name="Publish …").click()
    page.get_by_role("button", name=re.compile("Publish version")).click()
    expect(page.locator(".messages")).to_contain_text("is published in place of")
    published = live_server.call("/api/v1/templates/fraud_alert")
    assert published["version"] == 2
    assert {"Look at {{ order_id }} now"} <= {words["title"] for words in published["contents"]}


def test_a_channel_is_paused_and_resumed_with_the_keyboard_alone(tabs: Tabs) -> None:
    page = tabs.open("/admin/queues", email=ADMIN)
    page.get_by_role("link", name="Voice call …").press("Enter")
    page.get_by_role("button", name="Pause Voice call").press("Enter")
    expect(page.locator("main")).to_contain_text("Voice call is paused since")
    page.get_by_role("button", name="Resume Voice call").press("Enter")
    expect(page.locator("main")).not_to_contain_text("Voice call is paused since")
