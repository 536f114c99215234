"""What the inbox lists: tabs, categories, search, older ones while scrolling; and what stands there when there is
nothing.
"""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import NewPerson, badge, button, connected, inbox, items, tab, titles


def test_a_search_narrows_the_list_and_what_arrives_meanwhile(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("Blue shoes", "Red shoes")
    alice.notify("Hats", offer="in blue")
    page = connected(tabs.open(email=alice.email))
    expect(items(page)).to_have_count(3)
    inbox(page).get_by_label("Search notifications").press_sequentially("BLUE")
    expect(titles(page)).to_have_text(["Hats", "Blue shoes"])
    alice.notify("A green one")
    alice.notify("Another blue one")
    expect(titles(page)).to_have_text(["Another blue one", "Hats", "Blue shoes"])
    expect(badge(page)).to_have_text("5")
    inbox(page).get_by_label("Search notifications").press("Escape")
    expect(items(page)).to_have_count(5)


def test_typing_asks_once(tabs: Tabs, person: NewPerson) -> None:
    page = connected(tabs.open(email=person().email))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "q=" in request.url else None)
    inbox(page).get_by_label("Search notifications").press_sequentially("anything", delay=10)
    expect(inbox(page).get_by_text("Nothing matches “anything”.")).to_be_visible()
    assert len(asked) == 1


def test_an_older_search_never_overtakes_a_newer_one(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("First", "Second")
    page = connected(tabs.open(email=alice.email))
    held: list[Route] = []
    page.route("**/api/v1/inbox?*q=First*", lambda route: held.append(route))
    search = inbox(page).get_by_label("Search notifications")
    search.fill("First")
    with page.expect_request("**/api/v1/inbox?*q=First*"):
        search.press("Enter")
    search.fill("Second")
    search.press("Enter")
    expect(titles(page)).to_have_text(["Second"])
    with page.expect_response("**/api/v1/inbox?*q=First*"):
        held[0].continue_()
    expect(titles(page)).to_have_text(["Second"])


def test_a_category_shows_its_own_only(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("An offer")
    alice.receive("like", actor="Bob")
    page = connected(tabs.open(email=alice.email))
    inbox(page).get_by_label("Category").select_option("social")
    expect(titles(page)).to_have_text(["Bob likes your post"])
    inbox(page).get_by_label("Category").select_option("system")
    expect(inbox(page).get_by_text("Nothing found")).to_be_visible()
    button(page, "Show everything").click()
    expect(items(page)).to_have_count(2)
    expect(inbox(page).get_by_label("Category")).to_have_value("")


@pytest.mark.parametrize(
    ("name", "words"),
    [("All", "Nothing here yet"), ("Unread", "You are all caught up"), ("Archived", "Nothing archived")],
)
def test_each_tab_says_what_its_emptiness_means(tabs: Tabs, person: NewPerson, name: str, words: str) -> None:
    page = connected(tabs.open(email=person().email))
    tab(page, name).click()
    expect(inbox(page).locator(".notice-title")).to_have_text(words)


def test_older_ones_come_while_scrolling(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all(*(f"Offer {number}" for number in range(75)))
    page = connected(tabs.open(email=alice.email))
    expect(badge(page)).to_have_text("75")
    expect(items(page)).to_have_count(30)
    for count in (60, 75):
        page.mouse.wheel(0, 20_000)
        expect(items(page)).to_have_count(count)
    expect(inbox(page).locator(".more")).to_be_hidden()
    assert len(set(titles(page).all_text_contents())) == 75


def test_older_ones_that_cannot_be_loaded_wait_for_another_try(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 500")
    alice = person()
    alice.notify_all(*(f"Offer {number}" for number in range(40)))
    page = tabs.open("/preferences", email=alice.email)
    page.route("**/api/v1/inbox?*after=*", lambda route: route.fulfill(status=500, body=""))
    page.goto("/inbox")
    connected(page)
    page.mouse.move(700, 500)
    page.mouse.wheel(0, 20_000)
    expect(inbox(page).locator(".banner")).to_have_text("Older notifications could not be loaded.")
    page.unroute("**/api/v1/inbox?*after=*")
    button(page, "Show older").click()
    expect(items(page)).to_have_count(40)


def test_many_rows_are_only_laid_out_where_they_are_seen(tabs: Tabs, person: NewPerson) -> None:
    """And one that changes leaves the others untouched."""
    alice = person()
    alice.notify_all(*(f"Offer {number}" for number in range(60)))
    page = connected(tabs.open(email=alice.email))
    page.mouse.wheel(0, 20_000)
    expect(items(page)).to_have_count(60)
    expect(items(page).first).to_have_css("content-visibility", "auto")
    items(page).evaluate_all("rows => rows.forEach((row) => { row.isTheSame = true; })")
    alice.notify("The newest")
    expect(titles(page).first).to_have_text("The newest")
    # The oldest may have gone with the page
    assert items(page).evaluate_all("rows => rows.filter((row) => row.isTheSame).length") >= 59


def test_while_the_list_is_on_its_way_there_is_something_in_its_shape(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("On its way")
    page = tabs.open("/preferences", email=alice.email)
    held: list[Route] = []
    page.route("**/api/v1/inbox?*", lambda route: held.append(route))
    page.goto("/inbox")
    expect(inbox(page).locator(".skeleton").first).to_be_visible()
    expect(inbox(page).locator(".instead")).to_have_attribute("aria-busy", "true")
    for route in held:
        route.continue_()
    expect(titles(page)).to_have_text(["On its way"])
    expect(inbox(page).locator(".skeleton")).to_have_count(0)


def test_text_is_shown_as_text(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    nasty = "<img src=x onerror=\"document.title='bad'\"><b>bold</b>"
    alice.notify(nasty, offer=nasty)
    page = connected(tabs.open(email=alice.email))
    expect(titles(page)).to_have_text([nasty])
    assert inbox(page).locator("img, .title b, .body b").count() == 0
    expect(page).to_have_title("(1) Inbox · Notifier")


def test_text_from_right_to_left_keeps_to_itself(tabs: Tabs, person: NewPerson) -> None:
    """Neither Arabic nor a stray override turns anything around it."""
    alice = person()
    alice.notify("\u202eoverride", offer="plain words")
    alice.notify("\u062e\u0635\u0645 30 % !", offer="\u0639\u0631\u0636")
    page = connected(tabs.open(email=alice.email))
    arabic, override = (titles(page).nth(place) for place in (0, 1))
    expect(arabic).to_have_css("direction", "rtl")
    expect(override).to_have_css("direction", "ltr")
    for part in (arabic, override, items(page).first.locator(".body")):
        expect(part).to_have_css("unicode-bidi", "isolate")
    expect(items(page).first.locator("time")).to_have_css("direction", "ltr")


ITEM = {
    "id": "dlv_1", "type": "like", "category": "social", "title": "From a strange server", "body": "",
    "action": {"label": "Go", "url": "javascript:alert(1)"},
    "image": "javascript:alert(2)", "data": {}, "created_at": "2026-01-01T00:00:00.000Z", "seen_at": None,
    "read_at": "2026-01-01T00:00:00.000Z",
    "archived_at": None, "snoozed_until": None, "why": "javascript:alert(3)",
}  # fmt: skip


def test_a_link_that_is_no_web_address_is_no_link(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open("/preferences", email=person().email)
    page.route(
        "**/api/v1/inbox?*",
        lambda route: route.fulfill(json={"data": [ITEM], "next": None, "unread": 0, "unseen": 0, "seq": 0}),
    )
    page.goto("/inbox")
    row = items(page).first
    expect(row.locator(".title")).to_have_text("From a strange server")
    assert row.locator("a, img").count() == 0


def test_times_are_near_in_words_and_exact_in_their_tooltip(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open("/preferences", email=person().email)
    page.route(
        "**/api/v1/inbox?*",
        lambda route: route.fulfill(json={"data": [ITEM], "next": None, "unread": 0, "unseen": 0, "seq": 0}),
    )
    page.clock.set_fixed_time("2026-01-01T02:10:00Z")
    page.goto("/inbox")
    time = items(page).first.locator("time")
    expect(time).to_have_text("2 hr. ago")
    exact = time.evaluate(
        "time => new Intl.DateTimeFormat(undefined, {dateStyle: 'full', timeStyle: 'medium'}).format(new "
        "Date(time.dateTime))"
    )
    expect(time).to_have_attribute("title", exact)
