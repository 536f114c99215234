"""The console in a browser: a group of dead letters is retried, a template is written, and a viewer is kept out.

What happens is shown without a reload; and without Redis, what the database knows.
"""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from notifier.web.assets import manifest
from tests.browser.conftest import ADMIN, PASSWORD, Tabs
from tests.browser.test_pages import violations
from tests.running import ROOT, Up, eventually, free_port

MANY, FEW = 5_000, 60

# Dead letters of two causes, as a provider would have left them; and a viewer.
_MAKE = f"""
from notifier.access import accounts
from notifier.app import create_app
from notifier.ground.clock import now
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.ids import new_id
from notifier.models import Delivery, Notification, Submission
from notifier.people import profiles
import sqlalchemy as sa
with create_app().app_context():
    accounts.create_account("viewer@example.test", {PASSWORD!r}, "viewer", "viewer")
    with transaction() as session:
        profiles.upsert([InlineRecipient("many")])
        submission, notification = new_id(), new_id()
        session.execute(sa.insert(Submission), [
            {{"id": submission, "type": "order_shipped", "recipients": 1, "expanded": 1}}
        ])
        kind = {{"type": "order_shipped", "category": "transactional", "priority": "low", "data": {{"order_id": "A1"}}}}
        session.execute(sa.insert(Notification), [
            {{"id": notification, "submission_id": submission, "user_id": "many", **kind}}
        ])
        cause = {{"provider": "played", "outcome": "permanent", "failed_at": now()}}
        common = {{"notification_id": notification, "channel": "sms", "priority": "low", "status": "failed", **cause}}
        for code, count in (("many", {MANY}), ("few", {FEW})):
            session.execute(sa.insert(Delivery), [{{**common, "code": code, "id": new_id()}} for _ in range(count)])
"""


@pytest.fixture(scope="module")
def many(installation: Up) -> str:
    """→ the address of their cause."""
    subprocess.run([sys.executable, "-c", _MAKE], cwd=ROOT, env=installation.environment, check=True)
    return "/admin/failed/jobs?channel=sms&provider=played&outcome=permanent&code=many"


def figure(page: Page, words: str) -> int:
    text = page.locator("#progress dt", has_text=words).locator("xpath=following-sibling::dd[1]").inner_text()
    return int(re.sub(r"\D", "", text.split("\n")[0].split(" ")[0]))


def test_a_group_of_five_thousand_is_retried_with_progress_and_the_counts_add_up(
    tabs: Tabs, many: str, installation: Up
) -> None:
    page = tabs.open("/admin/failed", email=ADMIN)
    page.get_by_role("button", name="Retry SMS: played · permanent · many").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 5,000 failed jobs?")
    page.get_by_label("At most").select_option("1000")
    page.get_by_role("button", name="Retry 5,000").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Retry 5,000 failed jobs")
    expect(page.locator("#progress")).to_contain_text("Finished", timeout=60_000)
    assert violations(page) == []
    done, left, rest = (figure(page, words) for words in ("Queued again", "Left alone", "Not reached"))
    assert (done, left, rest, figure(page, "Total")) == (MANY, 0, 0, MANY)
    page.goto(many)
    expect(page.locator("main")).to_contain_text("No failed job matches")


def test_a_viewer_looks_is_told_why_not_and_is_refused_by_the_server(tabs: Tabs, many: str) -> None:
    tabs.expect("403")
    page = tabs.open("/admin/queues", email="viewer@example.test")
    button = page.get_by_role("button", name="Pause …")
    expect(button).to_be_disabled()
    expect(page.locator("main")).to_contain_text("Your role is viewer; this needs operator or admin.")
    page.goto("/admin/queues/sms/pause")
    expect(page.get_by_role("heading", level=1)).to_have_text("You do not have access to this page")
    answer = page.context.request.post("/admin/queues/sms/pause", form={})
    assert answer.status in (400, 403)


def test_a_template_is_written_with_a_live_preview_and_published(tabs: Tabs, installation: Up) -> None:
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
    write_an_sms_by_keyboard(page)
    page.get_by_role("link", name="Publish …").click()
    page.get_by_role("button", name=re.compile("Publish version")).click()
    expect(page.locator(".messages")).to_contain_text("is published in place of")
    published = installation.call("/api/v1/templates/fraud_alert")
    assert published["version"] == 2
    assert {"Look at {{ order_id }} now"} <= {words["title"] for words in published["contents"]}


def write_an_sms_by_keyboard(page: Page) -> None:
    """Its segments are counted as it is typed; a quote that costs one is made plain."""
    english = page.get_by_role("list", name="SMS").get_by_role("link", name="en", exact=True)
    english.press("Enter")
    body = page.get_by_label("Text", exact=True)
    expect(english).to_have_attribute("aria-current", "page")
    page.wait_for_load_state("load")
    body.focus()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text("“" + "a" * 80)
    counted = page.get_by_role("row", name=re.compile("With the sample data"))
    expect(counted).to_contain_text("UCS-2")
    expect(page.locator("#preview")).to_contain_text("With plain signs it has 1 segment fewer.")
    plain = page.get_by_label("Plain signs")
    plain.focus()
    page.keyboard.press("Space")
    expect(counted).to_contain_text("GSM-7")
    page.get_by_role("button", name="Save draft").press("Enter")
    expect(page.locator(".messages")).to_contain_text("SMS (en) is saved in draft")
    expect(page.get_by_label("Plain signs")).to_be_checked()


def test_a_channel_is_paused_and_resumed_with_the_keyboard_alone(tabs: Tabs) -> None:
    page = tabs.open("/admin/queues", email=ADMIN)
    page.get_by_role("link", name="Voice call …").press("Enter")
    page.get_by_role("button", name="Pause Voice call").press("Enter")
    expect(page.locator("main")).to_contain_text("Voice call has been paused since")
    page.get_by_role("button", name="Resume Voice call").press("Enter")
    expect(page.locator("main")).not_to_contain_text("Voice call has been paused since")


# --- live


# Runs before the page's own scripts: what is to be read without a word is read after a quarter of an hour.
_NO_POLLING = """document.addEventListener("readystatechange", () => {
    for (const part of document.querySelectorAll("[data-every]")) part.dataset.every = "900000";
})"""


def test_the_url_of_a_hook_is_copied_with_the_keyboard(tabs: Tabs, installation: Up) -> None:
    """The account is of a channel that no other test of this installation sends on, and goes afterwards."""
    settings = ("WHATSAPP_PHONE_NUMBER_ID=106540352242922", "WHATSAPP_TOKEN=t", "WHATSAPP_APP_SECRET=s")
    providers = [sys.executable, "-m", "notifier", "providers"]
    add = [*providers, "add", "cloud", "whatsapp_cloud", *settings]
    subprocess.run(add, cwd=ROOT, env=installation.environment, check=True)
    try:
        page = tabs.open("/admin/providers/cloud", email=ADMIN)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_label("URL of the hook").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == page.get_by_label("URL of the hook").input_value()
    finally:
        subprocess.run([*providers, "remove", "cloud"], cwd=ROOT, env=installation.environment, check=True)


def test_the_overview_shows_what_is_sent_without_a_reload_and_leaves_the_reader_where_they_are(
    tabs: Tabs, installation: Up
) -> None:
    page = tabs.open(email=ADMIN)
    page.add_init_script(_NO_POLLING)
    page.goto("/admin/")
    expect(page.locator("#live-state")).to_have_text("Live")
    page.evaluate("window.isTheSamePage = true")
    chosen = page.get_by_role("link", name="Last 24 hours")
    chosen.focus()
    installation.call(
        "/api/v1/notifications",
        {
            "type": "order_shipped",
            "recipients": [{"id": "newcomer", "email": "newcomer@example.test"}],
            "data": {"order_id": "A1"},
        },
    )
    expect(page.get_by_role("row", name="newcomer")).to_be_visible()
    expect(chosen).to_be_focused()
    assert page.evaluate("window.isTheSamePage")


def test_a_finger_that_has_left_keeps_nothing_from_being_shown(tabs: Tabs) -> None:
    """After a tap a phone's browser takes a button for hovered until the next one."""
    page = tabs.open("/admin/queues", email=ADMIN, phone=True)
    expect(page.locator("#live-state")).to_have_text("Live")
    page.evaluate("addEventListener('click', (event) => event.preventDefault(), true)")
    page.locator("[data-live] a.btn:visible").first.tap()
    part = page.locator("[data-live]:has(a:hover)")
    expect(part).to_have_count(1)
    part.evaluate("part => { part.dataset.stale = ''; }")
    expect(page.locator("[data-stale]")).to_have_count(0)


def test_what_is_under_way_is_cancelled_without_leaving_the_page(tabs: Tabs, many: str) -> None:
    page = tabs.open("/admin/failed", email=ADMIN)
    page.get_by_role("button", name="Retry SMS: played · permanent · few").click()
    page.get_by_label("At most").select_option("1")
    page.get_by_role("button", name=f"Retry {FEW}").click()
    expect(page.locator("#live-state")).to_have_text("Live")
    page.evaluate("window.isTheSamePage = true")
    cancel = page.get_by_role("button", name="Cancel the rest")
    given = page.locator("form#cancel").evaluate("form => form.dataset.given")
    spoil = "form => { form.dataset.given = '{}'; form.requestSubmit(); }"  # at once: the next reading mends the form
    page.locator("form#cancel").evaluate(spoil)
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done: action:")
    expect(cancel).to_be_enabled()
    page.locator("form#cancel").evaluate("(form, given) => { form.dataset.given = given; }", given)
    cancel.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("#progress")).to_contain_text("Cancelled")
    assert page.evaluate("window.isTheSamePage")
    done, left, rest = (figure(page, words) for words in ("Queued again", "Left alone", "Not reached"))
    assert done + left + rest == FEW
    assert rest > 0


def test_a_viewer_hears_what_happens_and_may_do_nothing_over_the_socket(tabs: Tabs, many: str) -> None:
    page = tabs.open("/admin/", email="viewer@example.test")
    expect(page.locator("#live-state")).to_have_text("Live")
    ask = """async (event) => {
        const { socket } = await import("/static/CONSOLE_SOCKET");
        return socket.emitWithAck(event, { action: "blk_01k6z000000000000000000000" });
    }""".replace("CONSOLE_SOCKET", manifest()["files"]["js/console-socket.js"])
    assert page.evaluate(ask, "cancel") == {
        "error": {"code": "forbidden", "detail": "your role is viewer; this needs operator or admin"}
    }
    assert page.evaluate(ask, "pause")["error"]["code"] == "unknown_event"


# --- without Redis


@pytest.fixture
def lonely(installation: Up) -> Iterator[str]:
    """The address of another web process on the same database, which reaches no Redis."""
    port = free_port()
    environment = {**installation.environment, "PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "notifier", "web"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(address))
    yield address
    process.terminate()
    process.wait(30)


def answers(address: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{address}/healthz", timeout=30).status == 200)
    except OSError:
        return False


def test_without_redis_the_pages_say_so_and_show_what_the_database_knows(
    lonely: str, tabs: Tabs, many: str, installation: Up
) -> None:
    sent = installation.call(
        "/api/v1/notifications",
        {
            "type": "order_shipped",
            "recipients": [{"id": "witness", "email": "witness@example.test"}],
            "data": {"order_id": "A1"},
        },
    )
    tabs.base = lonely
    page = tabs.open("/admin/", email=ADMIN)
    main = page.locator("main")
    expect(main).to_contain_text("Redis cannot be reached. Notifications are still accepted")
    expect(page.get_by_role("row", name="witness")).to_be_visible()
    expect(page.locator("#live-state")).to_have_text("Updated every 5 s")
    page.goto("/admin/queues")
    expect(main).to_contain_text("Redis cannot be reached, so the queues cannot be shown")
    page.goto("/admin/failed")
    expect(main).to_contain_text("Redis cannot be reached. This page is read from the database")
    expect(page.get_by_role("link", name="Permanent · few")).to_be_visible()
    page.goto("/admin/failed/registry")
    expect(main).to_contain_text("Redis")
    page.goto("/admin/notifications?user=witness")
    page.get_by_role("row", name="witness").get_by_role("link").click()
    expect(main).to_contain_text(sent["notifications"][0]["id"])
