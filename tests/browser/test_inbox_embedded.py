"""The inbox in a page of somebody else's, from another origin: the example of docs/embedding.md, and pages that get it
wrong.
"""

import re
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, expect

from docs.embedding.serve import policy, shop
from tests.browser.conftest import Person, Tabs
from tests.browser.inbox_page import NewPerson
from tests.browser.test_pages import overflow, violations

Shop = Callable[[Person], str]
REFUSED = "status of 40[13]|CORS|Failed to load|ERR_FAILED|WebSocket"


@pytest.fixture
def shop_of(tabs: Tabs) -> Iterator[Shop]:
    """`shop_of(alice)` → the address of a shop in which Alice is signed in."""
    sites = []

    def _shop_of(person: Person) -> str:
        site = shop(tabs.base, person.id, person.server.key, port=0)
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        sites.append(site)
        return f"http://127.0.0.1:{site.server_port}/"

    yield _shop_of
    for site in sites:
        site.shutdown()
        site.server_close()


def script(tabs: Tabs, component: str = "inbox") -> str:
    source = f"{tabs.base}/static/{component}.js"
    return f'<!doctype html><title>Shop</title><script type="module" src="{source}"></script>'


def test_the_example_works_under_its_own_policy(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    """Loads without a console message, hears what arrives, marks, and lets the bell know."""
    alice = person()
    alice.notify("Before", url="https://example.com/")
    page = tabs.open(shop_of(alice))
    expect(page.locator("#whole .title")).to_have_text(["Before"])
    expect(page.locator("header .badge")).to_have_text("1")
    alice.notify("After")
    expect(page.locator("#whole .title")).to_have_text(["After", "Before"])
    expect(page.locator("header .badge")).to_have_text("2")
    row = page.locator("#whole li.row").first
    row.hover()
    row.get_by_role("button", name="Mark as read").click()
    expect(page.locator("header .badge")).to_have_text("1")
    page.locator("#whole").get_by_role("button", name="Mark all read").click()
    expect(page.locator("header .badge")).to_be_hidden()
    page.locator("#whole").get_by_role("button", name="Undo").click()
    expect(page.locator("header .badge")).to_have_text("1")
    expect(page).to_have_title("A shop")


def test_the_reason_is_told_in_place_and_the_shop_stays(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    """Our own page would ask to sign in, in the place of the shop."""
    alice = person()
    alice.notify("Green shoes")
    page = tabs.open(shop_of(alice))
    whole = page.locator("#whole")
    row = whole.locator("li.row")
    row.hover()
    expect(row.get_by_role("link", name="Why did I get this?")).to_have_count(0)
    row.get_by_role("button", name="Why did I get this?").click()
    reason = whole.get_by_role("dialog", name="Why did I get this?")
    expect(reason).to_contain_text("This channel is on unless it is switched off.")
    expect(reason).to_contain_text("Discounts and special offers.")
    change = reason.get_by_role("link", name="Change it")
    assert (change.get_attribute("href"), change.get_attribute("target")) == (
        f"{tabs.base}/preferences#promotional_offer-inapp",
        "_blank",
    )
    expect(page).to_have_title("A shop")
    page.keyboard.press("Escape")
    expect(reason).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_it_wears_the_colours_of_the_page(
    tabs: Tabs, person: NewPerson, shop_of: Shop, dark: bool, phone: bool
) -> None:
    alice = person()
    alice.notify("Something green", url="https://example.com/")
    page = tabs.open(shop_of(alice), dark=dark, phone=phone)
    expect(page.locator("header .badge")).to_have_css(
        "background-color", "rgb(111, 211, 174)" if dark else "rgb(11, 107, 79)"
    )
    expect(page.locator("#whole .head h2")).to_have_css("font-family", "Georgia, serif")
    page.get_by_role("button", name="Notifications, 1 unread").click()
    expect(page.get_by_role("dialog", name="Notifications").locator(".title")).to_be_visible()
    assert (violations(page), overflow(page)) == ([], 0)


def test_light_or_dark_can_be_said_by_attribute(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    page = tabs.open(shop_of(person()), dark=True)
    whole = page.locator("#whole")
    expect(whole.locator(".view")).to_have_css("color", "rgb(237, 237, 242)")
    whole.evaluate("inbox => inbox.setAttribute('theme', 'light')")
    expect(whole.locator(".view")).to_have_css("color", "rgb(27, 27, 34)")


def test_a_refused_token_is_told_and_a_new_one_brings_it_back(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    tabs.expect(REFUSED)
    alice = person()
    alice.notify_all("A blue one", "A red one")
    page = tabs.open(shop_of(alice))
    whole = page.locator("#whole")
    whole.get_by_label("Search notifications").fill("blue")
    expect(whole.locator(".title")).to_have_text(["A blue one"])
    with page.expect_response("**/token"):
        whole.evaluate("inbox => inbox.setAttribute('token', 'no longer good')")
    expect(whole.locator(".title")).to_have_text(["A blue one"])
    expect(whole.get_by_label("Search notifications")).to_have_value("blue")
    expect(whole.locator(".banner")).to_be_hidden()
    alice.notify("Another blue one")
    expect(whole.locator(".title")).to_have_text(["Another blue one", "A blue one"])


def test_a_token_of_somebody_else_shows_their_inbox_only(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    alice, bob = person(), person()
    alice.notify("For Alice")
    bob.notify("For Bob")
    page = tabs.open(shop_of(alice))
    expect(page.locator("#whole .title")).to_have_text(["For Alice"])
    page.locator("notifier-inbox").evaluate_all(
        "(all, token) => all.forEach((inbox) => inbox.setAttribute('token', token))", bob.token()
    )
    expect(page.locator("#whole .title")).to_have_text(["For Bob"])
    alice.notify("For Alice again")
    bob.notify("For Bob again")
    expect(page.locator("#whole .title")).to_have_text(["For Bob again", "For Bob"])
    expect(page.locator("header .badge")).to_have_text("2")


@pytest.mark.parametrize("component", ["inbox", "preferences"])
def test_a_page_whose_tokens_are_all_refused_is_asked_ever_more_rarely(
    tabs: Tabs, elsewhere: Callable[[str, str], str], component: str
) -> None:
    tabs.expect(REFUSED)
    page = tabs.open()
    page.goto(elsewhere(f"{script(tabs, component)}<main></main>", policy(tabs.base)))
    page.evaluate(
        """([server, component]) => new Promise((resolve) => {
             const asked = [];
             document.addEventListener("notifier-token-expired", ({ target }) => {
               asked.push(performance.now());
               window.pause = asked.at(-1) - asked[0];
               if (asked.length === 2) resolve();
               else target.setAttribute("token", `refused ${asked.length}`);
             });
             const element = document.createElement(`notifier-${component}`);
             element.setAttribute("server", server);
             element.setAttribute("token", "refused");
             document.querySelector("main").append(element);
           })""",
        [tabs.base, component],
    )
    assert page.evaluate("pause") >= 2000


def test_an_answer_that_comes_late_interrupts_nobody(tabs: Tabs, person: NewPerson, shop_of: Shop) -> None:
    """Neither who has gone on to something else, nor a page that has let go of the inbox."""
    alice = person()
    alice.notify("Green shoes")
    page = tabs.open(shop_of(alice))
    whole = page.locator("#whole")
    waiting: list[Route] = []
    page.route("**/why?*", lambda route: waiting.append(route))
    whole.locator("li.row").hover()
    whole.get_by_role("button", name="Why did I get this?").click()
    reason = whole.get_by_role("dialog", name="Why did I get this?")
    expect(reason).to_contain_text("Loading")
    page.keyboard.press("Escape")
    whole.get_by_role("button", name="Snooze").click()
    until = whole.get_by_role("dialog", name="Snooze until")
    expect(until).to_be_visible()
    with page.expect_response("**/why?*"):
        waiting.pop().continue_()
    expect(until).to_be_visible()
    page.keyboard.press("Escape")
    whole.locator("li.row").hover()
    whole.get_by_role("button", name="Why did I get this?").click()
    expect(reason).to_contain_text("Loading")
    page.locator("notifier-inbox").evaluate_all("all => all.forEach((inbox) => inbox.remove())")
    with page.expect_response("**/why?*"):
        waiting.pop().continue_()


def test_without_a_token_nothing_is_shown_though_the_cookie_is_there(
    tabs: Tabs, person: NewPerson, elsewhere: Callable[[str, str], str]
) -> None:
    tabs.expect(REFUSED)
    alice = person()
    alice.notify("Not for other sites")
    page = tabs.open(email=alice.email)
    page.goto(elsewhere(f'{script(tabs)}<notifier-inbox server="{tabs.base}"></notifier-inbox>', policy(tabs.base)))
    expect(page.get_by_text("We could not load your notifications")).to_be_visible()
    assert page.locator("li").count() == 0


def test_it_says_which_version_it_is(tabs: Tabs) -> None:
    page = tabs.open("/login")
    version = page.evaluate(
        "async () => [(await import('/static/inbox.js')).VERSION, customElements.get('notifier-inbox').version]"
    )
    assert version[0] == version[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version[0])
