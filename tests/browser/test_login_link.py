"""Signing in by a link, from the sign-in page over the mail to the inbox; with and without JavaScript."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, Tabs
from tests.browser.test_pages import overflow, violations
from tests.running import Up, eventually


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_link_in_a_mail_signs_in_once(tabs: Tabs, person: Callable[[], Person], installation: Up, dark: bool) -> None:
    tabs.expect("404")
    alice = person()
    page = tabs.open("/login", dark=dark, phone=dark)
    page.get_by_label("E-mail").fill(alice.email)
    page.get_by_role("button", name="E-mail me a sign-in link").click()
    expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    found = [(violations(page), overflow(page))]
    [mail] = eventually(lambda: installation.call(f"/api/v1/sandbox?user={alice.id}&channel=email")["data"])
    link = urlsplit(next(word for word in mail["text"].split() if "/login/link/" in word)).path
    page.goto(link)
    found.append((violations(page), overflow(page)))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/inbox")
    page.goto(link)
    expect(page.get_by_role("heading", name="This link no longer works")).to_be_visible()
    found.append((violations(page), overflow(page)))
    assert found == [([], 0)] * 3


def test_it_works_without_javascript(tabs: Tabs, person: Callable[[], Person], installation: Up) -> None:
    alice = person()
    page = tabs.open("/login", script=False)
    page.get_by_label("E-mail").fill(alice.email)
    page.get_by_role("button", name="E-mail me a sign-in link").click()
    [mail] = eventually(lambda: installation.call(f"/api/v1/sandbox?user={alice.id}&channel=email")["data"])
    page.goto(urlsplit(next(word for word in mail["text"].split() if "/login/link/" in word)).path)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/inbox")
