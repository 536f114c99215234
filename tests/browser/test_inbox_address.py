"""The page's address says what the inbox lists: after a reload, by a bookmark, and on the way back from a link."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import NewPerson, connected, inbox, items, tab, titles


def is_chosen(page: Page, name: str) -> None:
    expect(tab(page, name)).to_have_attribute("aria-selected", "true")


def test_tab_category_and_search_are_in_the_address(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("Green shoes", "Red hats")
    alice.receive("like", actor="Green Bob")
    page = connected(tabs.open(email=alice.email))
    tab(page, "Unread").click()
    inbox(page).get_by_label("Category").select_option("marketing")
    inbox(page).get_by_label("Search notifications").fill("green")
    page.wait_for_url("**/inbox?tab=unread&category=marketing&search=green")
    expect(titles(page)).to_have_text(["Green shoes"])
    page.reload()
    expect(titles(page)).to_have_text(["Green shoes"])
    is_chosen(page, "Unread")
    expect(inbox(page).get_by_label("Category")).to_have_value("marketing")
    expect(inbox(page).get_by_label("Search notifications")).to_have_value("green")


def test_back_takes_back_the_last_tab_or_category(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("Green shoes")
    page = connected(tabs.open(email=alice.email))
    tab(page, "Archived").click()
    expect(inbox(page).get_by_text("Nothing archived")).to_be_visible()
    inbox(page).get_by_label("Category").select_option("social")
    page.wait_for_url("**/inbox?tab=archived&category=social")
    page.go_back()
    page.wait_for_url("**/inbox?tab=archived")
    expect(inbox(page).get_by_label("Category")).to_have_value("")
    page.go_back()
    expect(titles(page)).to_have_text(["Green shoes"])
    is_chosen(page, "All")
    page.go_forward()
    is_chosen(page, "Archived")


@pytest.mark.parametrize("query", ["tab=nowhere&category=gossip", "tab=&search=%20", "other=1"])
def test_what_the_address_says_wrongly_is_left_out(tabs: Tabs, person: NewPerson, query: str) -> None:
    alice = person()
    alice.notify("Green shoes")
    page = tabs.open(f"/inbox?{query}", email=alice.email)
    expect(titles(page)).to_have_text(["Green shoes"])
    is_chosen(page, "All")


def test_the_list_stands_where_it_stood_when_one_comes_back(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all(*(f"Offer {number}" for number in range(75)))
    page = connected(tabs.open(email=alice.email))
    for count in (60, 75):
        page.mouse.wheel(0, 20_000)
        expect(items(page)).to_have_count(count)
    row = items(page).filter(has_text="Offer 20")
    row.evaluate("row => row.scrollIntoView({block: 'center'})")
    before = row.bounding_box()
    page.get_by_role("link", name="Preferences").first.click()
    page.wait_for_url("**/preferences")
    page.go_back()
    expect(items(page)).to_have_count(75)
    expect(row).to_be_in_viewport()
    page.wait_for_timeout(200)  # rows that come into sight get their heights
    after = row.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 40


def test_an_inbox_in_another_page_leaves_the_address_alone(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open("/preferences", email=person().email)
    page.get_by_role("button", name="Notifications", exact=True).click()
    panel = page.get_by_role("dialog", name="Notifications")
    panel.get_by_role("tab", name="Archived").click()
    expect(panel.get_by_text("Nothing archived")).to_be_visible()
    assert page.url.endswith("/preferences")
