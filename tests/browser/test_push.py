"""Browser push where there is no push service: the worker is real and is given what one would deliver; only the
subscription is played.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, Tabs
from tests.channels.pushing import Browser

NewPerson = Callable[[], Person]
PAGE = "/preferences/addresses"

# Chromium without Google's keys reaches no push service, so what it would answer is put in its place.
_PLAYED = """
(() => {
  const value = SUBSCRIPTION;
  const made = () => ({
    ...value,
    toJSON: () => value,
    unsubscribe: async () => { localStorage.removeItem("played"); return true; },
  });
  PushManager.prototype.getSubscription = async () => (localStorage.getItem("played") ? made() : null);
  PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
    localStorage.setItem("played", applicationServerKey.length);
    return made();
  };
})();
"""


def opened(tabs: Tabs, person: Person, *, may: bool = True, init: str | None = None, **options: Any) -> Page:
    page = tabs.open(email=person.email, **options)
    if may:
        page.context.grant_permissions(["notifications"])
    if init:
        page.add_init_script(init)
    page.goto(PAGE)
    return page


def says(page: Page) -> Any:
    return page.locator("[data-push-says]")


def test_without_a_push_service_it_says_that_it_did_not_work(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("does not support the Push API in incognito mode")
    page = opened(tabs, person())
    page.get_by_role("button", name="Enable notifications in this browser").click()
    expect(says(page)).to_contain_text("That did not work: the browser could not reach its push service")
    expect(page.get_by_role("button", name="Enable notifications in this browser")).to_be_enabled()


def test_a_refused_permission_is_explained(tabs: Tabs, person: NewPerson) -> None:
    page = opened(
        tabs, person(), may=False, init="Object.defineProperty(Notification, 'permission', {get: () => 'denied'})"
    )
    expect(says(page)).to_contain_text("blocked in this browser")
    expect(page.get_by_role("button", name="Enable notifications in this browser")).to_be_hidden()


def test_a_browser_that_cannot_says_so(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person(), init="delete window.PushManager")
    expect(says(page)).to_have_text("This browser cannot show notifications from websites.")


def test_without_script_it_says_that_it_needs_it(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person(), script=False)
    expect(says(page)).to_contain_text("This needs JavaScript")
    expect(page.get_by_role("button", name="Enable notifications in this browser")).to_be_hidden()


def test_a_browser_is_switched_on_knows_itself_and_is_switched_off_with_its_entry(
    tabs: Tabs, person: NewPerson
) -> None:
    subscription = Browser("https://push.test/chromium").subscription
    page = opened(tabs, person(), init=_PLAYED.replace("SUBSCRIPTION", subscription))
    page.get_by_role("button", name="Enable notifications in this browser").press("Enter")
    expect(page.locator("#devices")).to_contain_text("Chrome on Linux This browser")
    expect(says(page)).to_have_text("Notifications are on in this browser.")
    assert page.evaluate("localStorage.getItem('played')") == "65"  # an uncompressed point
    page.get_by_role("link", name=re.compile("Remove.*Chrome on Linux")).click()
    page.wait_for_load_state("load")  # from here on the script listens
    page.get_by_role("button", name="Remove Chrome on Linux").click()
    expect(page.locator("main")).to_contain_text("Chrome on Linux has been removed.")
    assert page.evaluate("localStorage.getItem('played')") is None
    expect(page.get_by_role("button", name="Enable notifications in this browser")).to_be_visible()


# `ready` is told while the worker is still activating, and a push that comes then may be lost.
_ACTIVATED = """async () => {
  const registration = await navigator.serviceWorker.register("/service-worker.js", { scope: "/" });
  await navigator.serviceWorker.ready;
  const worker = registration.active;
  while (worker.state !== "activated") {
    await new Promise((changed) => worker.addEventListener("statechange", changed, { once: true }));
  }
}"""

_SHOWN = """async (title) => {
  const registration = await navigator.serviceWorker.ready;
  for (let tries = 0; tries < 250; tries += 1) {
    const all = await registration.getNotifications();
    const shown = all.map(({ title, body, tag, data }) => ({ title, body, tag, data }));
    if (shown.some((one) => one.title === title)) return shown;
    await new Promise((later) => setTimeout(later, 20));
  }
  return null;
}"""


@pytest.fixture
def push(tabs: Tabs, person: NewPerson) -> Callable[[str, str], list[dict[str, Any]]]:
    """`push(payload, title)` → what stands there once the worker, being given it, has shown that title.

    Chromium's DevTools hand over a push once and say nothing when it was lost on the way to a worker that was about to
    stop, so it is handed over again.
    """
    page = opened(tabs, person())
    page.evaluate(_ACTIVATED)
    session = page.context.new_cdp_session(page)
    found: list[str] = []
    origin = page.evaluate("location.origin")
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: found.extend(
            one["registrationId"]
            for one in event["registrations"]
            if one["scopeURL"].startswith(origin) and not one["isDeleted"]
        ),
    )
    session.send("ServiceWorker.enable")
    # The registration is told in an event of its own, which only arrives while the page is listened to
    while not found:
        page.wait_for_timeout(20)

    def _push(payload: str, title: str) -> list[dict[str, Any]]:
        given = {"origin": origin, "registrationId": found[-1], "data": payload}
        for _ in range(20):
            session.send("ServiceWorker.deliverPushMessage", given)
            shown: list[dict[str, Any]] | None = page.evaluate(_SHOWN, title)
            if shown is not None:
                return shown
        raise AssertionError("it is never shown")

    return _push


def test_the_worker_shows_what_is_pushed(push: Any) -> None:
    payload = {
        "title": "On its way",
        "body": "<b>A123</b> \u202e left us.",
        "url": "https://shop.test/track",
        "tag": "dlv_1",
        "delivery": "dlv_1",
    }
    shown = {
        "title": "On its way",
        "body": payload["body"],
        "tag": "dlv_1",
        "data": {"url": "https://shop.test/track", "delivery": "dlv_1"},
    }
    assert push(json.dumps(payload), "On its way") == [shown]


@pytest.mark.parametrize("payload", ["", "no JSON", "{}", "null"], ids=["empty", "junk", "no-title", "null"])
def test_whatever_is_pushed_something_is_shown(push: Any, payload: str) -> None:
    assert push(payload, "You have a new notification")


def test_a_click_leads_to_web_addresses_only(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person())
    page.evaluate(
        "navigator.serviceWorker.register('/service-worker.js', {scope: '/'}).then(() => navigator.serviceWorker.ready)"
    )
    [worker] = page.context.service_workers
    urls = [
        "https://shop.test/x",
        "http://shop.test/x",
        "/inbox",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://[",
    ]
    home = page.evaluate("location.origin") + "/inbox"
    assert worker.evaluate("(urls) => urls.map(webAddress)", urls) == [
        "https://shop.test/x",
        "http://shop.test/x",
        home,
        None,
        None,
        None,
        None,
    ]


# Nobody can click in the system's own list of notifications here: the worker is given the event that a click makes.
# (Opening a window needs a true click, and fails.)
_CLICK = """async (delivery) => {
  await registration.showNotification("On its way", { data: { delivery, url: "/inbox" } });
  const [notification] = await registration.getNotifications();
  const event = new NotificationEvent("notificationclick", { notification });
  const waited = new Promise((done) => { event.waitUntil = done; });
  self.dispatchEvent(event);
  await Promise.allSettled([await waited.catch(() => null)]);
}"""


def test_a_click_on_what_was_pushed_marks_it_as_read_everywhere(tabs: Tabs, person: NewPerson) -> None:
    somebody = person()
    call = somebody.server.call
    call(f"/api/v1/users/{somebody.id}/addresses", {"channel": "push", "value": f"token-of-{somebody.id}"})
    sent = call(
        "/api/v1/notifications",
        {
            "type": "promotional_offer",
            "recipients": [somebody.id],
            "channels": ["inapp", "push"],
            "data": {"title": "Sale"},
        },
    )
    [pushed] = [one["id"] for one in sent["notifications"][0]["deliveries"] if one["channel"] == "push"]
    page = opened(tabs, somebody)
    page.evaluate(_ACTIVATED)
    inbox = tabs.watch(page.context.new_page())
    inbox.goto("/inbox")
    expect(inbox).to_have_title(re.compile(r"^\(1\)"))
    [worker] = page.context.service_workers
    worker.evaluate(_CLICK, pushed)
    expect(inbox).not_to_have_title(re.compile(r"^\(1\)"))


_RENEWAL = """async (after) => {
  PushManager.prototype.subscribe = async () => ({ toJSON: () => JSON.parse(after) });
  const before = { endpoint: "https://push.test/chromium", options: { applicationServerKey: new Uint8Array(65) } };
  const event = Object.assign(new ExtendableEvent("pushsubscriptionchange"), { oldSubscription: before });
  const waited = new Promise((done) => { event.waitUntil = done; });
  self.dispatchEvent(event);
  await (await waited);
}"""


def test_a_subscription_that_the_browser_renews_goes_on_under_its_name(tabs: Tabs, person: NewPerson) -> None:
    subscription = Browser("https://push.test/chromium").subscription
    page = opened(tabs, person(), init=_PLAYED.replace("SUBSCRIPTION", subscription))
    page.get_by_role("button", name="Enable notifications in this browser").press("Enter")
    devices = page.locator("#devices li")
    expect(devices).to_contain_text("Chrome on Linux This browser")
    before = devices.get_attribute("data-browser")
    page.evaluate(_ACTIVATED)
    [worker] = page.context.service_workers
    worker.evaluate(_RENEWAL, Browser("https://push.test/renewed").subscription)
    page.reload()
    expect(devices).to_contain_text("Chrome on Linux")
    expect(devices).to_have_count(1)
    assert devices.get_attribute("data-browser") not in (None, before)
