"""A passkey of a virtual device in a real Chromium: added, used, and removed."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from apiflask import APIFlask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from tests.browser.conftest import PASSWORD
from tests.browser.test_pages import overflow, violations
from tests.web.conftest import Visitor, signed_in  # noqa: F401 (a fixture)

EMAIL = "ann@example.test"


@pytest.fixture
def site(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app by a name: browsers allow no passkeys at an address of numbers."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    url = f"http://localhost:{server.server_port}"
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], public_url=url))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


def plug_in_device(page: Page) -> None:
    """One that keeps passkeys and always recognises its owner."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = {**kind, "isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_added_signs_in_confirms_a_password_and_is_removed(
    browser: Browser,
    site: str,
    signed_in: Callable[..., Visitor],  # noqa: F811
) -> None:
    signed_in("admin", "ann")
    context = browser.new_context(base_url=site, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page, trouble = context.new_page(), list[str]()
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    plug_in_device(page)

    def give_password() -> None:
        page.goto("/login")
        page.get_by_label("E-mail").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()

    def forget() -> None:
        page.goto("about:blank")  # the inbox asks for what is new
        context.clear_cookies()

    give_password()
    page.wait_for_url("**/inbox")
    page.goto("/account/second-factor")
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_label("Name, by which you recognise it").fill("My laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovery codes")
    page.goto("/account/second-factor")
    expect(page.get_by_text("My laptop", exact=True)).to_be_visible()
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey for your account already.")
    assert (violations(page), overflow(page)) == ([], 0)

    forget()
    page.goto("/login")
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_role("button", name="Sign in with a passkey").press("Enter")
    page.wait_for_url("**/inbox")

    forget()
    give_password()
    page.wait_for_url("**/login/code")
    assert (violations(page), overflow(page)) == ([], 0)
    page.get_by_role("button", name="Confirm with your passkey").click()
    page.wait_for_url("**/inbox")

    page.goto("/account/second-factor")
    page.get_by_role("button", name="Remove My laptop").click()
    expect(page.locator(".messages")).to_contain_text("The passkey has been removed.")
    forget()
    page.goto("/login")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.locator(".messages")).to_contain_text("That passkey was not accepted.")
    context.close()
    assert trouble == []
