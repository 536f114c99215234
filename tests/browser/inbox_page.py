"""Where things are in the inbox, for the tests that use it."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person

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


def tab(page: Page, name: str) -> Locator:
    return inbox(page).get_by_role("tab", name=re.compile(name))


def toast(page: Page) -> Locator:
    return inbox(page).locator(".toast")


def banner(page: Page) -> Locator:
    return inbox(page).locator(".banner")


def button(page: Page, name: str) -> Locator:
    return inbox(page).get_by_role("button", name=name)


def use(row: Locator, name: str) -> None:
    """Presses one of the tools that a row shows under the pointer."""
    row.hover()
    row.get_by_role("button", name=re.compile(f"^{name}")).click()


def select(row: Locator, shift: bool = False) -> None:
    row.hover()
    row.get_by_role("checkbox").click(modifiers=["Shift"] if shift else [])


def is_unread(row: Locator) -> None:
    expect(row).to_have_class(re.compile("is-unread"))


def is_read(row: Locator) -> None:
    expect(row).not_to_have_class(re.compile("is-unread"))


def connected(page: Page) -> Page:
    """Waits for the first answer, after which events are applied."""
    expect(inbox(page).locator("[aria-busy=true]")).to_have_count(0)
    return page
