"""When things came and when they come back: calendar days, repeats, snoozing; and what a row shows of itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import NewPerson, button, connected, inbox, is_read, items, tab, titles, use

NOW = datetime.fromisoformat("2026-06-17T10:30:00+00:00")  # a Wednesday
ITEM = {
    "type": "order_shipped", "category": "transactional", "title": "Parcel", "body": "It is on its way to you.",
    "action": {"label": "Track it", "url": "https://example.com/"}, "image": None, "data": {}, "seen_at": None,
    "read_at": None, "archived_at": None, "snoozed_until": None, "why": "/preferences#order_shipped-inapp",
}  # fmt: skip


def showing(tabs: Tabs, person: NewPerson, *each: dict[str, Any], phone: bool = False) -> Page:
    """The inbox on that Wednesday in London's summer, with these items."""
    page = tabs.open("/preferences", email=person().email, phone=phone)
    data = [{**ITEM, "id": f"dlv_{number}", **one} for number, one in enumerate(each)]
    answer = {"data": data, "next": None, "unread": 0, "unseen": 0, "seq": 0}
    page.route("**/api/v1/inbox?*", lambda route: route.fulfill(json=answer))
    page.clock.set_fixed_time(NOW)
    page.goto("/inbox")
    inbox(page).evaluate("inbox => inbox.setAttribute('locale', 'en-GB')")
    expect(inbox(page).locator(".row").first).to_be_visible()
    return page


def at(text: str) -> dict[str, str]:
    return {"created_at": f"{text}:00.000Z", "title": text}


def test_items_stand_under_their_calendar_days(tabs: Tabs, person: NewPerson) -> None:
    times = {
        "2026-06-17T10:25": "5 min ago",
        "2026-06-17T00:05": "10 hr ago",
        "2026-06-16T23:55": "Yesterday 23:55",
        "2026-06-16T17:40": "Yesterday 17:40",
        "2026-06-12T03:44": "Fri 03:44",
        "2026-06-10T10:00": "10 Jun",
        "2025-12-31T10:00": "31 Dec 2025",
    }
    page = showing(tabs, person, *map(at, times))
    expect(inbox(page).locator("time")).to_have_text([*times.values()])
    days = ["Today", "Yesterday", "Friday", "Wednesday 10 June", "Wednesday, 31 December 2025"]
    expect(inbox(page).get_by_role("heading", level=3)).to_have_text(days)
    expect(inbox(page).locator(".day + .row .title")).to_have_text([[*times][number] for number in (0, 2, 4, 5, 6)])


def test_a_day_begins_at_midnight_while_one_looks_at_it(tabs: Tabs, person: NewPerson) -> None:
    page = showing(tabs, person, at("2026-06-17T10:25"))
    page.clock.set_fixed_time(NOW + timedelta(days=1))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(inbox(page).locator(".day")).to_have_text(["Yesterday"])
    expect(inbox(page).locator("time")).to_have_text(["Yesterday 10:25"])


@pytest.mark.parametrize(
    ("now", "offered"),
    [
        ("2026-06-17T10:30", ["In an hour", "This evening", "Tomorrow morning", "Next week"]),
        ("2026-06-17T17:10", ["In an hour", "Tomorrow morning", "Next week"]),
        ("2026-06-21T20:00", ["In an hour", "Tomorrow morning"]),
        ("2026-06-20T20:00", ["In an hour", "Tomorrow morning", "Next week"]),
    ],
)
def test_no_two_times_to_snooze_until_are_the_same(tabs: Tabs, person: NewPerson, now: str, offered: list[str]) -> None:
    page = showing(tabs, person, at("2026-06-17T10:25"))
    page.clock.set_fixed_time(f"{now}:00Z")
    use(items(page).first, "Snooze")
    choices = inbox(page).get_by_role("dialog", name="Snooze until")
    expect(choices.locator(".offer span:first-child")).to_have_text(offered)
    told = choices.locator(".offer .hint").all_text_contents()
    assert len(set(told)) == len(offered)
    assert choices.get_by_label("Date and time").input_value()[5:] not in told


def test_what_is_snoozed_says_until_when_and_is_brought_back(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("Green shoes", "Red hats")
    page = connected(tabs.open(email=alice.email))
    use(items(page).filter(has_text="Green shoes"), "Snooze")
    button(page, "Tomorrow morning").click()
    tab(page, "Snoozed").click()
    expect(titles(page)).to_have_text(["Green shoes"])
    expect(items(page).locator(".until-when")).to_contain_text("Snoozed until tomorrow 8:00")
    items(page).get_by_role("button", name="Bring back: Green shoes").click()
    expect(inbox(page).get_by_text("Nothing snoozed")).to_be_visible()
    tab(page, "All").click()
    expect(titles(page)).to_have_text(["Red hats", "Green shoes"])


def test_repeats_are_folded_and_done_with_together(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("Before")
    for number in range(3):
        alice.receive("like", actor="Bob", url=f"https://example.com/{number}")
    page = connected(tabs.open(email=alice.email))
    expect(titles(page).locator("visible=true")).to_have_text(["Bob likes your post", "Before"])
    more = button(page, "2 more like this")
    expect(more).to_have_attribute("aria-expanded", "false")
    titles(page).first.focus()
    page.keyboard.press("j")
    expect(titles(page).last).to_be_focused()  # a folded one is passed over
    more.click()
    expect(titles(page).locator("visible=true")).to_have_count(4)
    use(items(page).nth(1), "Mark as read")
    is_read(items(page).nth(1))
    expect(inbox(page).locator(".is-unread")).to_have_count(3)
    use(items(page).nth(1), "Mark as unread")
    button(page, "Show one").click()
    use(items(page).first, "Archive")
    expect(inbox(page).locator(".toast")).to_contain_text("3 notifications: archived")
    expect(titles(page)).to_have_text(["Before"])


@pytest.mark.parametrize("where", ["the page", "the bell"])
def test_the_tools_of_a_row_cover_no_text(tabs: Tabs, person: NewPerson, where: str) -> None:
    alice = person()
    alice.notify("A title of many words that fills its line to the very end and goes on", offer="words " * 40)
    alice.notify("Short")
    page = connected(tabs.open(email=alice.email))
    whole = inbox(page)
    if where == "the bell":
        page.get_by_role("button", name="Notifications, 2 unread").click()
        whole = page.get_by_role("dialog", name="Notifications")
    for row in (whole.locator("li.row").nth(0), whole.locator("li.row").nth(1)):
        row.hover()
        expect(row.locator(".tools")).to_have_css("opacity", "1")
        covered = row.evaluate(
            """row => {
                 const tools = row.querySelector(".tools").getBoundingClientRect();
                 return [...row.querySelectorAll("h4, .body, time, .action")].filter((part) => {
                   const range = document.createRange();
                   range.selectNodeContents(part);
                   return [...range.getClientRects()].some((at) => at.width > 1 &&
                     at.left < tools.right && at.right > tools.left && at.top < tools.bottom && at.bottom > tools.top);
                 }).map((part) => part.className || part.localName);
               }"""
        )
        assert covered == []


def test_a_row_shows_who_did_it_or_what_it_is_about(tabs: Tabs, person: NewPerson) -> None:
    like = {"type": "like", "category": "social", **at("2026-06-17T10:25"), "title": "Liked"}
    each = [{**like, "data": {"actor": "Ada King"}}, {**like, "data": {}}, at("2026-06-17T10:20")]
    page = showing(tabs, person, *each)
    expect(items(page).nth(0).locator(".picture")).to_have_text("AK")
    drawn = items(page).locator(".picture path").evaluate_all("all => all.map((path) => path.getAttribute('d'))")
    assert len(set(drawn)) == 2


def test_the_bell_leads_to_the_inbox_and_to_the_preferences(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open("/inbox", email=person().email)
    page.get_by_role("button", name="Notifications", exact=True).click()
    panel = page.get_by_role("dialog", name="Notifications")
    expect(panel.get_by_role("link", name="Open inbox")).to_have_attribute("href", "/inbox")
    panel.get_by_role("link", name="Preferences").click()
    page.wait_for_url("**/preferences")
