"""The wall: hangs by its link alone, follows the figures by itself, and says when the link has ended."""

from urllib.parse import urlsplit

from playwright.sync_api import expect

from tests.browser.conftest import ADMIN, Tabs
from tests.browser.test_pages import overflow, violations


def test_a_wall_follows_the_figures_until_its_link_is_revoked(tabs: Tabs) -> None:
    admin = tabs.open("/admin/walls", email=ADMIN)
    admin.get_by_label("Name", exact=True).fill("Berlin")
    admin.get_by_role("button", name="Make link").click()
    link = urlsplit(admin.locator("#made").input_value()).path
    wall = tabs.open(phone=True, dark=True)
    wall.clock.install()
    wall.goto(link)
    expect(wall.locator("#wall-state")).to_contain_text("Live")
    expect(wall.get_by_role("heading", name="By priority")).to_be_visible()
    assert (violations(wall), overflow(wall)) == ([], 0)
    with wall.expect_response(lambda answer: link in answer.url):
        wall.clock.run_for(16_000)
    expect(wall.locator("#wall-state")).to_contain_text("Live")
    expect(wall.get_by_role("heading", name="By priority")).to_be_visible()
    admin.get_by_role("button", name="Revoke Berlin").click()
    expect(admin.get_by_text("The link has been revoked.")).to_be_visible()
    tabs.expect("404")
    wall.clock.run_for(16_000)
    expect(wall.locator("#wall-state")).to_have_text("This link no longer works")
