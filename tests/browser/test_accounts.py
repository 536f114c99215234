"""Somebody is invited, comes by the link in the mail, is given more to do, and is sent away again."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ADMIN, Tabs
from tests.browser.test_pages import overflow, violations
from tests.running import Up, eventually


def link_in_mail(server: Up, email: str) -> str:
    """The path of the link in what was captured for that address."""
    [mail] = eventually(
        lambda: [capture for capture in server.call("/api/v1/sandbox?channel=email")["data"] if capture["to"] == email]
    )
    return urlsplit(next(word for word in mail["text"].split() if "/invitation/" in word)).path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_somebody_is_invited_comes_and_is_sent_away(tabs: Tabs, installation: Up, dark: bool) -> None:
    tabs.expect("404")
    email = f"new.colleague.{'dark' if dark else 'light'}@example.test"
    found: dict[str, tuple[list[str], int]] = {}

    def look(page: Page, name: str) -> None:
        found[name] = (violations(page), overflow(page))

    admin = tabs.open("/admin/accounts", email=ADMIN, dark=dark, phone=dark)
    admin.get_by_label("E-mail", exact=True).fill(email)
    admin.get_by_label("Role").select_option("viewer")
    admin.get_by_role("button", name="Send the invitation").click()
    expect(admin.locator(".messages")).to_contain_text(f"An invitation is on its way to {email}.")
    look(admin, "accounts")
    admin.get_by_role("link", name=f"Withdraw the invitation to {email}").click()
    expect(admin.get_by_role("heading", level=1)).to_contain_text("Withdraw")
    look(admin, "withdraw")
    link = link_in_mail(installation, email)

    theirs = tabs.open(link, dark=dark, phone=dark)
    look(theirs, "invitation")
    theirs.get_by_label("Password").fill("correct horse battery staple")
    theirs.get_by_role("button", name="Accept and sign in").click()
    theirs.wait_for_url("**/admin/")
    expect(theirs.locator(".messages")).to_contain_text("Welcome. Your role here is viewer.")
    theirs.goto(link)
    expect(theirs.get_by_role("heading", level=1)).to_have_text("This invitation has already been used")
    look(theirs, "used")

    admin.goto("/admin/accounts")
    admin.get_by_role("link", name=email).click()
    admin.get_by_label("Role").select_option("operator")
    admin.get_by_role("button", name="Save the role").click()
    expect(admin.locator(".messages")).to_contain_text(f"{email} now has the role operator.")
    look(admin, "account")
    theirs.goto("/admin/queues/sms/pause")
    expect(theirs.get_by_role("heading", level=1)).to_contain_text("Pause")

    admin.get_by_role("link", name="Disable …").click()
    expect(admin.get_by_role("heading", level=1)).to_have_text(f"Disable {email}?")
    look(admin, "disable")
    admin.get_by_role("button", name="Disable this account").click()
    expect(admin.locator(".messages")).to_contain_text("signed out everywhere")
    theirs.goto("/admin/")
    theirs.wait_for_url("**/login?next=/admin/")
    assert found == dict.fromkeys(("accounts", "withdraw", "invitation", "used", "account", "disable"), ([], 0))
