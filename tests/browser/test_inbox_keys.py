"""The inbox by keyboard alone: where the focus is, where it goes, and which keys do what."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import NewPerson, badge, connected, inbox, is_read, is_unread, items, tab, titles, toast


@pytest.fixture
def page(tabs: Tabs, person: NewPerson) -> Page:
    """An inbox with Third, Second and First."""
    alice = person()
    alice.notify_all("First", "Second", "Third")
    page = connected(tabs.open(email=alice.email))
    expect(titles(page)).to_have_text(["Third", "Second", "First"])
    return page


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_j_and_k_go_down_and_up(page: Page) -> None:
    for keys, place in (
        (["j"], 0),
        (["j", "j", "j"], 2),
        (["k"], 1),
        (["End"], 2),
        (["ArrowUp"], 1),
        (["Home"], 0),
        (["ArrowDown"], 1),
    ):
        press(page, *keys)
        expect(titles(page).nth(place)).to_be_focused()


def test_one_row_is_in_the_tab_order_with_all_of_its_parts(page: Page) -> None:
    press(page, "j", "j")
    reachable = (
        inbox(page)
        .locator("li.row")
        .evaluate_all(
            "rows => rows.map((row) => [...row.querySelectorAll('a, button, input')].some((part) => "
            "part.tabIndex === 0))"
        )
    )
    assert reachable == [False, True, False]
    press(page, "Tab")
    expect(items(page).nth(1).get_by_role("link", name="Why did I get this?")).to_be_focused()
    press(page, "Shift+Tab", "Shift+Tab")
    expect(items(page).nth(1).get_by_role("checkbox")).to_be_focused()


def test_enter_opens_and_reads(page: Page) -> None:
    press(page, "j", "Enter")
    is_read(items(page).nth(0))
    expect(badge(page)).to_have_text("2")
    expect(titles(page).nth(0)).to_be_focused()


def test_u_marks_as_read_and_as_unread(page: Page) -> None:
    press(page, "j", "u")
    is_read(items(page).nth(0))
    expect(badge(page)).to_have_text("2")
    press(page, "u")
    is_unread(items(page).nth(0))
    expect(badge(page)).to_have_text("3")


def test_e_archives_and_the_focus_goes_to_the_next_and_z_undoes(page: Page) -> None:
    press(page, "j", "e")
    expect(titles(page)).to_have_text(["Second", "First"])
    expect(titles(page).nth(0)).to_be_focused()
    press(page, "z")
    expect(titles(page)).to_have_text(["Third", "Second", "First"])
    press(page, "e", "e", "k", "e")
    expect(items(page)).to_have_count(0)
    expect(tab(page, "All")).to_be_focused()


def test_e_moves_back_what_is_archived(page: Page) -> None:
    press(page, "j", "e")
    tab(page, "Archived").click()
    expect(titles(page)).to_have_text(["Third"])
    press(page, "j", "s", "e")  # there is nothing to snooze there
    expect(items(page)).to_have_count(0)
    tab(page, "All").click()
    expect(titles(page)).to_have_text(["Third", "Second", "First"])


def test_x_selects_and_shift_x_up_to_here_and_escape_leaves(page: Page) -> None:
    bar = inbox(page).get_by_role("toolbar")
    press(page, "j", "x", "j", "j", "Shift+X")
    expect(bar).to_contain_text("3 selected")
    press(page, "Escape")
    expect(bar).to_be_hidden()
    press(page, "x", "k", "x", "e")
    expect(titles(page)).to_have_text(["Third"])
    expect(toast(page)).to_contain_text("2 notifications: archived")


def test_s_asks_until_when_and_escape_gives_the_focus_back(page: Page) -> None:
    choices = inbox(page).get_by_role("dialog", name="Snooze until")
    press(page, "j", "s")
    offers = choices.locator(".offer")  # which follow the first depends on the time of day
    expect(offers.nth(0)).to_be_focused()
    press(page, "ArrowDown")
    expect(offers.nth(1)).to_be_focused()
    press(page, "e", "Escape")  # no key of the list works in there
    expect(choices).to_be_hidden()
    expect(items(page)).to_have_count(3)
    expect(titles(page).nth(0)).to_be_focused()
    press(page, "s", "Enter")
    expect(titles(page)).to_have_text(["Second", "First"])
    expect(titles(page).nth(0)).to_be_focused()


def test_slash_searches_and_letters_are_letters_there(page: Page) -> None:
    press(page, "/")
    search = inbox(page).get_by_label("Search notifications")
    expect(search).to_be_focused()
    page.keyboard.type("jex")
    expect(search).to_have_value("jex")
    expect(items(page)).to_have_count(0)
    press(page, "Escape")
    expect(items(page)).to_have_count(3)
    expect(search).to_be_focused()


def test_where_there_are_only_fingers_the_dialog_has_what_they_can_switch(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open(email=person().email, phone=True)
    inbox(page).get_by_role("button", name="When something arrives").tap()
    dialog = inbox(page).get_by_role("dialog", name="When something arrives")
    dialog.get_by_label("Play a sound when something arrives").check()
    expect(dialog.locator("kbd").first).to_be_hidden()
    expect(dialog.get_by_label("Use these keys")).to_be_hidden()
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_a_question_mark_shows_the_keys_and_they_can_be_switched_off(page: Page) -> None:
    help_dialog = inbox(page).get_by_role("dialog", name="Keyboard shortcuts")
    press(page, "j", "?")
    expect(help_dialog).to_be_visible()
    press(page, "e", "Escape")
    expect(help_dialog).to_be_hidden()
    expect(titles(page).nth(0)).to_be_focused()
    expect(items(page)).to_have_count(3)
    press(page, "?")
    help_dialog.get_by_label("Use these keys").uncheck()
    press(page, "Escape", "e", "?")
    expect(help_dialog).to_be_hidden()
    expect(items(page)).to_have_count(3)
    press(page, "ArrowDown")
    expect(titles(page).nth(1)).to_be_focused()
    page.reload()
    connected(page)
    press(page, "j", "e")
    expect(items(page)).to_have_count(3)
    inbox(page).get_by_role("button", name="Keyboard shortcuts").click()
    help_dialog.get_by_label("Use these keys").check()
    help_dialog.get_by_role("button", name="Close").click()
    press(page, "j", "e")
    expect(items(page)).to_have_count(2)


def test_keys_with_ctrl_are_the_browsers(page: Page) -> None:
    press(page, "j", "Control+e", "Control+x", "Alt+u")
    expect(items(page)).to_have_count(3)
    expect(inbox(page).get_by_role("toolbar")).to_be_hidden()
    is_unread(items(page).nth(0))


def test_tabs_are_moved_between_by_arrows(page: Page) -> None:
    tab(page, "All").focus()
    press(page, "ArrowRight")
    expect(tab(page, "Unread")).to_be_focused()
    expect(tab(page, "Unread")).to_have_attribute("aria-selected", "true")
    press(page, "ArrowLeft", "ArrowLeft")
    expect(tab(page, "Archived")).to_be_focused()
    expect(inbox(page).get_by_text("Nothing archived")).to_be_visible()


def test_the_bell_keeps_its_keys_to_itself_and_closes_by_escape(page: Page) -> None:
    page.goto("/preferences")
    bell = page.get_by_role("button", name="Notifications, 3 unread")
    panel = page.get_by_role("dialog", name="Notifications")
    press(page, "j", "e")
    expect(bell).to_be_visible()
    bell.click()
    expect(panel.locator(".title")).to_have_text(["Third", "Second", "First"])
    press(page, "j", "e")
    expect(panel.locator(".title")).to_have_text(["Second", "First"])
    press(page, "x")
    expect(panel.get_by_role("toolbar")).to_be_visible()
    press(page, "Escape")
    expect(panel.get_by_role("toolbar")).to_be_hidden()
    press(page, "/")
    page.keyboard.type("First")
    expect(panel.locator(".title")).to_have_text(["First"])
    press(page, "Escape")
    expect(panel.locator(".title")).to_have_text(["Second", "First"])
    expect(panel).to_be_visible()
    press(page, "Escape")
    expect(panel).to_be_hidden()
    expect(page.get_by_role("button", name="Notifications, 2 unread")).to_be_focused()


def test_tabbing_out_of_the_bells_panel_closes_it(page: Page) -> None:
    page.goto("/preferences")
    page.get_by_role("button", name="Notifications, 3 unread").click()
    panel = page.get_by_role("dialog", name="Notifications")
    panel.get_by_role("link", name="Preferences").focus()
    press(page, "Tab")
    expect(panel).to_be_hidden()
