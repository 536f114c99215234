"""On a phone, by touch; with and without motion; and in every state nothing for axe to find."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import (
    NewPerson,
    badge,
    button,
    connected,
    inbox,
    is_read,
    items,
    select,
    tab,
    titles,
    toast,
    use,
)
from tests.browser.test_pages import overflow, violations


def swipe(page: Page, row: Locator, by: int, down: int = 0) -> None:
    """Draws a finger across a row, as the browser's own touch events tell it."""
    box: dict[str, Any] = row.evaluate("row => row.getBoundingClientRect().toJSON()")
    wire = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2 - by / 2, box["y"] + box["height"] / 2

    def touch(type: str, *points: dict[str, float]) -> None:
        wire.send("Input.dispatchTouchEvent", {"type": type, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    for step in range(1, 9):
        touch("touchMove", {"x": x + by * step / 8, "y": y + down * step / 8})
    page.wait_for_timeout(120)  # at rest: the browser takes a tap after a flick for the end of the flick
    touch("touchEnd")
    wire.detach()


@pytest.fixture
def phone(tabs: Tabs, person: NewPerson) -> Page:
    """An inbox on a phone with Second and First."""
    alice = person()
    alice.notify_all("First", "Second")
    page = connected(tabs.open(email=alice.email, phone=True))
    expect(titles(page)).to_have_text(["Second", "First"])
    return page


def test_a_swipe_to_the_end_reads_and_one_to_the_start_archives(phone: Page) -> None:
    swipe(phone, items(phone).first, 120)
    is_read(items(phone).first)
    expect(badge(phone)).to_have_text("1")
    swipe(phone, items(phone).first, -120)
    expect(titles(phone)).to_have_text(["First"])
    expect(toast(phone)).to_contain_text("Archived")


def test_where_lines_begin_at_the_right_swipes_and_arrow_keys_go_the_other_way(phone: Page) -> None:
    phone.evaluate("document.documentElement.dir = 'rtl'")
    swipe(phone, items(phone).first, -120)
    is_read(items(phone).first)
    swipe(phone, items(phone).first, 120)
    expect(titles(phone)).to_have_text(["First"])
    tab(phone, "All").press("ArrowLeft")
    expect(tab(phone, "Unread")).to_be_focused()
    tab(phone, "Unread").press("ArrowRight")
    expect(tab(phone, "All")).to_be_focused()


def test_a_long_swipe_asks_until_when_to_snooze(phone: Page) -> None:
    swipe(phone, items(phone).first, -300)
    inbox(phone).get_by_role("button", name="Tomorrow morning").tap()
    expect(titles(phone)).to_have_text(["First"])


def test_a_short_swipe_and_one_that_scrolls_change_nothing(phone: Page) -> None:
    swipe(phone, inbox(phone).locator("li.day").first, 120)
    swipe(phone, items(phone).first, -40)
    swipe(phone, items(phone).first, 20, down=200)
    expect(titles(phone)).to_have_text(["Second", "First"])
    expect(inbox(phone).locator(".behind")).to_have_count(0)
    expect(badge(phone)).to_have_text("2")


def test_all_that_a_swipe_does_is_in_a_menu_too(phone: Page) -> None:
    dots = items(phone).first.get_by_role("button", name="Actions")
    menu = inbox(phone).get_by_role("dialog", name="Actions")
    dots.tap()
    expect(menu.get_by_role("link", name="Why did I get this?")).to_be_visible()
    menu.get_by_role("button", name="Mark as read").tap()
    expect(badge(phone)).to_have_text("1")
    dots.tap()
    menu.get_by_role("button", name="Snooze").tap()
    expect(inbox(phone).get_by_role("dialog", name="Snooze until")).to_be_visible()
    phone.keyboard.press("Escape")
    dots.tap()
    menu.get_by_role("button", name="Archive").tap()
    expect(titles(phone)).to_have_text(["First"])


def test_a_tap_on_the_picture_selects(phone: Page) -> None:
    for row in items(phone).all():
        row.locator(".pick").tap()
    expect(inbox(phone).get_by_role("toolbar")).to_contain_text("2 selected")
    inbox(phone).get_by_role("toolbar").get_by_role("button", name="Archive").tap()
    expect(items(phone)).to_have_count(0)


def test_what_arrives_slides_in_unless_motion_is_unwanted(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = connected(tabs.open(email=alice.email))
    alice.notify("Still")
    expect(items(page).first).to_have_css("animation-name", "none")
    page.emulate_media(reduced_motion="no-preference")
    inbox(page).evaluate(
        "inbox => inbox.shadowRoot.addEventListener('animationstart', (event) => "
        "inbox.classList.add(event.animationName))"
    )
    alice.notify("Moving")
    expect(titles(page)).to_have_text(["Moving", "Still"])
    for movement in ("make-room", "slide-in"):
        expect(inbox(page)).to_have_class(re.compile(movement))
    expect(items(page).first).not_to_have_class(re.compile("is-arriving"))


def states(page: Page) -> dict[str, Any]:
    """Everything the inbox can show, one after the other, and what is wrong with each."""
    found = {"the list": trouble(page)}
    items(page).nth(1).hover()
    found["the tools of a row"] = trouble(page)
    use(items(page).nth(0), "Snooze")
    found["the choices of snoozing"] = trouble(page)
    page.keyboard.press("Escape")
    select(items(page).nth(0))
    select(items(page).nth(1))
    found["a selection"] = trouble(page)
    inbox(page).get_by_role("toolbar").get_by_role("button", name="Mark as read").click()
    expect(toast(page)).to_be_visible()
    found["a toast"] = trouble(page)
    button(page, "Keyboard shortcuts").click()
    found["the help"] = trouble(page)
    page.keyboard.press("Escape")
    inbox(page).get_by_label("Search notifications").fill("nothing at all")
    expect(inbox(page).get_by_text("Nothing found")).to_be_visible()
    found["nothing found"] = trouble(page)
    inbox(page).get_by_label("Search notifications").fill("")
    tab(page, "Archived").click()
    expect(inbox(page).get_by_text("Nothing archived")).to_be_visible()
    found["nothing there"] = trouble(page)
    return found


def trouble(page: Page) -> Any:
    return violations(page), overflow(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_any_state(tabs: Tabs, person: NewPerson, dark: bool) -> None:
    alice = person()
    alice.receive("like", actor="Bob")
    alice.receive("order_shipped", order_id="A1", tracking_url="https://example.com/track")
    alice.notify("An offer", offer="30 % off", url="https://example.com/")
    page = connected(tabs.open(email=alice.email, dark=dark))
    expect(items(page)).to_have_count(3)
    assert {state: wrong for state, wrong in states(page).items() if wrong != ([], 0)} == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_on_a_phone(tabs: Tabs, person: NewPerson, dark: bool) -> None:
    alice = person()
    alice.notify_all("One " * 30, "x" * 180)
    page = connected(tabs.open(email=alice.email, dark=dark, phone=True))
    expect(items(page)).to_have_count(2)
    found = {"the list": trouble(page)}
    items(page).first.get_by_role("button", name="Actions").tap()
    found["the menu"] = trouble(page)
    inbox(page).get_by_role("button", name="Select", exact=True).tap()
    found["a selection"] = trouble(page)
    inbox(page).get_by_role("toolbar").get_by_role("button", name="Snooze").tap()
    found["the choices of snoozing"] = trouble(page)
    assert {state: wrong for state, wrong in found.items() if wrong != ([], 0)} == {}


_OUTSIDE = """[...document.querySelector("notifier-inbox.inbox-page").shadowRoot.querySelectorAll("button:not(.tab)")]
  .filter((button) => button.checkVisibility({ visibilityProperty: true }))
  .filter((button) => {
    const { left, right } = button.getBoundingClientRect();
    return left < 0 || right > innerWidth;
  }).map((button) => button.ariaLabel ?? button.textContent)"""


def test_in_long_words_on_a_narrow_phone_all_that_is_pressed_is_within_reach(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("First", "Second")
    page = tabs.open(email=alice.email, phone=True)
    page.set_viewport_size({"width": 320, "height": 640})
    page.set_extra_http_headers({"Accept-Language": "de"})
    connected(page).reload()
    for number in (0, 1):
        items(page).nth(number).locator(".pick").tap()
    bar = inbox(page).get_by_role("toolbar")
    expect(bar).to_contain_text("2 ausgewählt")
    found = {"a selection": page.evaluate(_OUTSIDE)}
    bar.get_by_role("button", name="Archivieren").tap()
    expect(toast(page)).to_contain_text("2 Benachrichtigungen")
    found["what was done"] = page.evaluate(_OUTSIDE)
    assert found == {"a selection": [], "what was done": []}


def test_the_list_that_cannot_be_loaded_and_the_lost_line_are_shown_for_all(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 500|ERR_INTERNET_DISCONNECTED|WebSocket")
    page = tabs.open("/preferences", email=person().email)
    page.route("**/api/v1/inbox?*", lambda route: route.fulfill(status=500, body=""))
    page.goto("/inbox")
    expect(inbox(page).get_by_text("We could not load your notifications")).to_be_visible()
    found = {"a list that cannot be loaded": trouble(page)}
    page.context.set_offline(True)
    expect(inbox(page).get_by_text("You are offline.")).to_be_visible()
    found["offline"] = trouble(page)
    assert {state: wrong for state, wrong in found.items() if wrong != ([], 0)} == {}
