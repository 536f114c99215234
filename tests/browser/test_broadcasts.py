"""A broadcast in a browser: a list of people uploaded, a message written to them, looked at once more, and followed."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMIN, Tabs
from tests.browser.test_pages import overflow, violations

Upload = Callable[[Page, str, int], None]


@pytest.fixture
def upload() -> Upload:
    """`upload(page, "spring", 30)`: so many people with that attribute `crowd`, by a list, whose page is open then."""

    def _upload(page: Page, crowd: str, number: int) -> None:
        rows = "".join(f"{crowd}-{n},{crowd}-{n}@x.test,{crowd}\n" for n in range(number))
        content = f"id,email,attributes.crowd\n{rows}no id,,\n".encode()
        page.goto("/admin/broadcasts/lists")
        page.get_by_label("CSV file").set_input_files({"name": "p.csv", "mimeType": "text/csv", "buffer": content})
        page.get_by_role("button", name="Upload").click()
        expect(page.locator("#progress")).to_contain_text(re.compile(r"Read .*People on the list", re.DOTALL))
        expect(page.locator("#progress")).to_contain_text(str(number))

    return _upload


def write(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Title", exact=True).fill("Schöne Grüße")
    page.get_by_label("Body", exact=True).fill("Es ist so weit.")


def choose_type(page: Page, key: str) -> None:
    page.get_by_label("Event type").select_option(key)
    expect(page.get_by_label("Body", exact=True)).to_be_visible()
    page.wait_for_load_state("load")  # from here on the script listens


def test_a_message_to_an_uploaded_list_is_written_confirmed_followed_and_done(tabs: Tabs, upload: Upload) -> None:
    page = tabs.open(email=ADMIN)
    upload(page, "spring", 30)
    expect(page.locator("#bad")).to_contain_text("32")
    found = {"the list": (violations(page), overflow(page))}
    page.get_by_role("link", name="Write to these people").click()
    expect(page.locator("#count")).to_contain_text("30 people")
    expect(page.get_by_label("Field 1")).to_be_hidden()
    choose_type(page, "newsletter")
    write(page, "Frühling")
    expect(page.locator("#count")).to_contain_text("30 people")
    page.get_by_role("button", name="Have a last look").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Send “Frühling” to 30 people?")
    expect(page.locator("main")).to_contain_text("That is thirty people.")
    found["the last look"] = (violations(page), overflow(page))
    page.get_by_role("button", name="Change something").click()
    expect(page.get_by_label("Title", exact=True)).to_have_value("Schöne Grüße")
    page.get_by_role("button", name="Have a last look").last.click()
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator("#standing")).to_contain_text("Finished", timeout=120_000)
    expect(page.locator("#figures")).to_contain_text("30 of 30 have ended")
    expect(page.locator("#status-delivered")).to_contain_text("30")
    expect(page.locator("#controls button")).to_have_count(0)
    found["it"] = (violations(page), overflow(page))
    page.get_by_role("link", name="30 delivered").click()
    found["its people"] = (violations(page), overflow(page))
    page.get_by_role("link", name="spring-7", exact=True).click()
    expect(page.locator("main")).to_contain_text("spring-7")
    assert {name: trouble for name, trouble in found.items() if trouble != ([], 0)} == {}


def test_it_is_paused_resumed_and_cancelled_with_the_keyboard_alone(tabs: Tabs, upload: Upload) -> None:
    page = tabs.open(email=ADMIN)
    upload(page, "autumn", 40)
    page.goto("/admin/broadcasts/new?type=newsletter")
    page.wait_for_load_state("load")
    write(page, "Herbst")
    page.get_by_label("People of whom something is true").press("Space")
    page.get_by_label("Field 1").fill("attributes.crowd")
    page.get_by_label("Value 1").fill("autumn")
    page.get_by_label("Value 1").press("Tab")
    expect(page.locator("#count")).to_contain_text("40 people")
    page.get_by_label("People a second").fill("1")
    page.get_by_role("button", name="Have a last look").last.press("Enter")
    page.get_by_role("button", name="Send it now").press("Enter")
    expect(page.locator("#status-all")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.locator("#standing")).to_have_text("Paused")
    path = page.url
    other = tabs.open(path, email=ADMIN)
    other.get_by_role("button", name="Resume").press("Enter")
    expect(other.locator("#standing")).to_contain_text("Under way")
    expect(page.locator("#standing")).to_contain_text("Under way", timeout=60_000)  # as others have done it
    page.get_by_role("link", name="Cancel …").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel “Herbst”?")
    assert violations(page) == []
    page.get_by_role("button", name="Cancel this broadcast").press("Enter")
    expect(page.locator("#standing")).to_contain_text(re.compile(r"Cancelled \w"), timeout=60_000)


def test_without_javascript_a_broadcast_is_written_counted_and_started(tabs: Tabs) -> None:
    page = tabs.open("/admin/broadcasts/new", email=ADMIN, script=False)
    page.get_by_label("Event type").select_option("newsletter")
    page.get_by_role("button", name="Use this type").click()
    write(page, "Ohne Skript")
    page.get_by_label("People by their ids").check()
    page.get_by_label("Ids", exact=True).fill("admin, nobody-at-all")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count")).to_contain_text("There is no user 'nobody-at-all'.")
    page.get_by_label("Ids", exact=True).fill("admin")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count")).to_contain_text("1 person")
    page.get_by_role("button", name="Have a last look").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Send “Ohne Skript” to 1 person?")
    page.get_by_role("button", name="Send it now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ohne Skript")
