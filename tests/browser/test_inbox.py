"""The inbox in a real browser: what arrives, what is read, and what happens when the line is cut."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person, Tabs
from tests.running import Up, eventually

NewPerson = Callable[[], Person]


def inbox(page: Page) -> Locator:
    """The full inbox; the bell in the header holds another one."""
    return page.locator("notifier-inbox.inbox-page")


def items(page: Page) -> Locator:
    return inbox(page).locator("li.row")


def titles(page: Page) -> Locator:
    return inbox(page).locator(".title")


def badge(page: Page) -> Locator:
    return page.locator(".top notifier-inbox .badge")


def tool(row: Locator, name: str) -> Locator:
    return row.get_by_role("button", name=re.compile(f"^{name}"))


def tab(page: Page, name: str) -> Locator:
    return inbox(page).get_by_role("tab", name=re.compile(name))


def connected(page: Page) -> Page:
    """Waits for the first answer, after which events are applied."""
    expect(inbox(page).locator("[aria-busy=true]")).to_have_count(0)
    return page


def test_what_is_sent_appears_without_a_reload(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = connected(tabs.open(email=alice.email))
    expect(inbox(page).get_by_text("Nothing here yet")).to_be_visible()
    expect(badge(page)).to_be_hidden()
    alice.notify("Winter sale", offer="30 % off")
    expect(titles(page)).to_have_text(["Winter sale"])
    expect(inbox(page).locator("[aria-live=polite]")).to_have_text("New notification: Winter sale")
    expect(badge(page)).to_have_text("1")
    expect(page).to_have_title("(1) Inbox · Notifier")
    alice.notify("Spring sale")
    expect(titles(page)).to_have_text(["Spring sale", "Winter sale"])
    expect(badge(page)).to_have_text("2")


def test_what_is_read_in_one_tab_is_read_in_another(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    for title in ("First", "Second"):
        alice.notify(title)
    one, other = (connected(tabs.open(email=alice.email)) for _ in range(2))
    expect(badge(other)).to_have_text("2")
    items(one).first.hover()
    tool(items(one).first, "Mark as read").click()
    for page in (one, other):
        expect(badge(page)).to_have_text("1")
        expect(items(page).first).not_to_have_class(re.compile("is-unread"))
    items(other).first.hover()
    tool(items(other).first, "Mark as unread").click()
    for page in (one, other):
        expect(badge(page)).to_have_text("2")
        expect(items(page).first).to_have_class(re.compile("is-unread"))


def test_what_came_while_offline_is_there_afterwards(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("ERR_INTERNET_DISCONNECTED|WebSocket connection")
    alice = person()
    page = connected(tabs.open(email=alice.email))
    alice.notify("Before")
    expect(titles(page)).to_have_text(["Before"])
    page.context.set_offline(True)
    expect(inbox(page).locator(".banner")).to_contain_text("You are offline")
    alice.notify("Meanwhile")
    alice.notify("And another")
    page.context.set_offline(False)
    expect(titles(page)).to_have_text(["And another", "Meanwhile", "Before"])
    expect(badge(page)).to_have_text("3")
    expect(inbox(page).locator(".banner")).to_be_hidden()


def test_a_restarted_server_is_found_again(tabs: Tabs, person: NewPerson, live_server: Up) -> None:
    tabs.expect("ERR_CONNECTION_REFUSED|WebSocket connection|WebSocket is closed|502|503")
    alice = person()
    page = connected(tabs.open(email=alice.email))
    alice.notify("Before")
    expect(titles(page)).to_have_text(["Before"])
    web = live_server.children()["web"]
    os.kill(web, signal.SIGKILL)
    eventually(lambda: live_server.children().get("web") not in (None, web) and live_server.is_whole())
    alice.notify("After")
    expect(titles(page)).to_have_text(["After", "Before"])


def test_nobody_sees_what_is_somebody_elses(tabs: Tabs, person: NewPerson) -> None:
    alice, bob = person(), person()
    hers, his = connected(tabs.open(email=alice.email)), connected(tabs.open(email=bob.email))
    alice.notify("For Alice")
    bob.notify("For Bob")
    expect(titles(hers)).to_have_text(["For Alice"])
    expect(titles(his)).to_have_text(["For Bob"])
    for page in (hers, his):
        page.reload()
        expect(items(connected(page))).to_have_count(1)
        expect(badge(page)).to_have_text("1")


def test_archived_ones_move_to_their_tab_and_back(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    for title in ("First", "Second"):
        alice.notify(title)
    page = connected(tabs.open(email=alice.email))
    items(page).first.hover()
    tool(items(page).first, "Archive").click()
    expect(titles(page)).to_have_text(["First"])
    expect(badge(page)).to_have_text("1")
    tab(page, "Archived").click()
    expect(titles(page)).to_have_text(["Second"])
    items(page).first.hover()
    tool(items(page).first, "Move back").click()
    expect(inbox(page).get_by_text("Nothing archived")).to_be_visible()
    tab(page, "All").click()
    expect(titles(page)).to_have_text(["Second", "First"])


def test_all_are_read_at_once(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    for title in ("First", "Second", "Third"):
        alice.notify(title)
    page = connected(tabs.open(email=alice.email))
    tab(page, "Unread").click()
    expect(items(page)).to_have_count(3)
    inbox(page).get_by_role("button", name="Mark all read").click()
    expect(inbox(page).get_by_text("You are all caught up")).to_be_visible()
    expect(badge(page)).to_be_hidden()
    expect(page).to_have_title("Inbox · Notifier")


def test_opening_one_reads_it_and_follows_its_link(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("With a link", url=f"{tabs.base}/preferences")
    page = connected(tabs.open(email=alice.email))
    titles(page).first.click()
    page.wait_for_url("**/preferences")
    expect(badge(page)).to_be_hidden()


def test_the_bell_shows_the_same_on_every_page_and_closes_by_escape(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("Under the bell")
    page = tabs.open("/preferences", email=alice.email)
    bell = page.get_by_role("button", name="Notifications, 1 unread")
    bell.click()
    panel = page.get_by_role("dialog", name="Notifications")
    expect(panel.locator(".title")).to_have_text(["Under the bell"])
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(bell).to_be_focused()


def test_older_ones_come_while_scrolling(tabs: Tabs, person: NewPerson, live_server: Up) -> None:
    alice = person()
    many = [{"type": "promotional_offer", "recipients": [alice.id], "channels": ["inapp"], "data": {"title": f"Offer {n}"}} for n in range(75)]
    live_server.call("/api/v1/notifications/bulk", {"notifications": many})
    page = connected(tabs.open(email=alice.email))
    expect(badge(page)).to_have_text("75")
    expect(items(page)).to_have_count(30)
    for count in (60, 75):
        page.mouse.wheel(0, 20_000)
        expect(items(page)).to_have_count(count)
    expect(inbox(page).locator(".more")).to_be_hidden()
    assert len(set(titles(page).all_inner_texts())) == 75


def test_text_is_shown_as_text(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    nasty = "<img src=x onerror=\"document.title='bad'\"><b>bold</b>"
    alice.notify(nasty, offer=nasty)
    page = connected(tabs.open(email=alice.email))
    expect(titles(page)).to_have_text([nasty])
    assert inbox(page).locator("img").count() == 0


ITEM = {
    "id": "dlv_1", "type": "like", "category": "social", "title": "From a strange server", "body": "", "action": {"label": "Go", "url": "javascript:alert(1)"},
    "image": "javascript:alert(2)", "data": {}, "created_at": "2026-01-01T00:00:00.000Z", "seen_at": None, "read_at": "2026-01-01T00:00:00.000Z",
    "archived_at": None, "snoozed_until": None, "why": "javascript:alert(3)",
}  # fmt: skip


def test_a_link_that_is_no_web_address_is_no_link(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open(email=person().email)
    page.route("**/api/v1/inbox?*", lambda route: route.fulfill(json={"data": [ITEM], "next": None, "unread": 0, "unseen": 0, "seq": 0}))
    page.reload()
    row = items(page).first
    expect(row.locator(".title")).to_have_text("From a strange server")
    assert row.locator("a, img").count() == 0


def test_a_list_that_cannot_be_loaded_says_so_and_is_tried_again(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 500")
    alice = person()
    alice.notify("There all along")
    page = tabs.open(email=alice.email)
    page.route("**/api/v1/inbox?*", lambda route: route.fulfill(status=500, body=""))
    page.route_web_socket("**/socket.io/*", lambda _: None)  # once connected it would try again by itself
    page.reload()
    expect(inbox(page).get_by_text("We could not load your notifications")).to_be_visible()
    page.unroute("**/api/v1/inbox?*")
    inbox(page).get_by_role("button", name="Try again").click()
    expect(titles(page)).to_have_text(["There all along"])


def test_a_mark_that_is_refused_is_taken_back(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 503")
    alice = person()
    alice.notify("Stubborn")
    page = connected(tabs.open(email=alice.email))
    page.route("**/api/v1/inbox/read", lambda route: route.fulfill(status=503, body=""))
    items(page).first.hover()
    tool(items(page).first, "Mark as read").click()
    expect(inbox(page).locator(".banner")).to_have_text("That was not saved. Try again.")
    expect(items(page).first).to_have_class(re.compile("is-unread"))


def test_a_session_that_has_ended_says_so(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 401")
    alice = person()
    alice.notify("Out of reach")
    page = connected(tabs.open(email=alice.email))
    page.wait_for_load_state("networkidle")  # an answer still on its way would bring the cookie back
    page.context.clear_cookies()
    items(page).first.hover()
    tool(items(page).first, "Archive").click()
    expect(inbox(page).locator(".banner")).to_contain_text("You are signed out")
    expect(titles(page)).to_have_text(["Out of reach"])


@pytest.mark.parametrize("has_token", [True, False])
def test_it_works_in_a_page_of_somebody_elses(tabs: Tabs, person: NewPerson, live_server: Up, elsewhere: Callable[[str, str], str], has_token: bool) -> None:
    """With a user's token, under a policy that allows our origin's scripts and connections and no styles; without one, nothing is shown."""
    alice = person()
    token = live_server.call(f"/api/v1/users/{alice.id}/token", method="POST")["token"] if has_token else ""
    html = f"""<!doctype html><title>Shop</title><script type="module" src="{tabs.base}/static/inbox.js"></script>
      <notifier-inbox class="inbox-page" server="{tabs.base}" token="{token}"></notifier-inbox>"""
    policy = f"default-src 'none'; script-src {tabs.base}; connect-src {tabs.base} {tabs.base.replace('http', 'ws')}"
    alice.notify("Before")
    page: Any = tabs.open(email=alice.email)  # the cookie is there, and is of no use to another site
    page.goto(elsewhere(html, policy))
    if not has_token:
        tabs.expect("status of 401|CORS|Failed to load|ERR_FAILED")
        expect(page.get_by_text("We could not load your notifications")).to_be_visible()
        return
    connected(page)
    expect(titles(page)).to_have_text(["Before"])
    alice.notify("After")
    expect(titles(page)).to_have_text(["After", "Before"])
    items(page).first.hover()
    tool(items(page).first, "Mark as read").click()
    expect(items(page).first).not_to_have_class(re.compile("is-unread"))
    expect(page).to_have_title("Shop")
