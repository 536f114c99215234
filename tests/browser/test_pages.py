"""All pages: nothing for axe to find, nothing wider than a phone, nothing a strict policy refuses (every test's tabs
watch for that).
"""

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.browser.conftest import ADMIN, Person, Tabs
from tests.running import ROOT, Up, eventually

NewPerson = Callable[[], Person]
DESKTOP = ViewportSize(width=1440, height=900)
PHONE = (390, 844)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PAGES = [
    *("/inbox", "/preferences", "/preferences/addresses", "/problems", "/problems/validation_failed"),
    *(
        "/admin/",
        "/admin/failed",
        "/admin/failed/jobs",
        "/admin/failed/registry",
        "/admin/failed/actions",
        "/admin/failed/actions/new?kind=retry",
    ),
    *(
        "/admin/queues",
        "/admin/queues/sms/pause",
        "/admin/queues/waiting/retry",
        "/admin/notifications",
        "/admin/sandbox",
    ),
    *("/admin/types", "/admin/types/order_shipped", "/admin/types/new"),
    *(
        "/admin/templates",
        "/admin/templates/order_shipped",
        "/admin/templates/order_shipped/1",
        "/admin/templates/order_shipped/1/publish",
        "/admin/images",
    ),
    *(
        "/admin/producers",
        "/admin/subscriptions",
        "/admin/costs",
        "/admin/providers",
        "/admin/providers/webhook",
        "/admin/providers/new/smtp",
        "/admin/broadcasts",
        "/admin/broadcasts/new?type=newsletter",
        "/admin/broadcasts/lists",
        "/admin/users",
        "/admin/users/ada",
        "/admin/accounts?show=all",
        "/admin/audit",
        "/admin/walls",
    ),
]


@pytest.fixture(scope="module")
def dead(installation: Up) -> str:
    """A delivery whose provider has refused it; and on the way a captured mail, a text message and items for the
    admin's inbox.
    """
    refused = {
        "type": "order_shipped",
        "recipients": [{"id": "zoe", "email": "rejected@sandbox.test"}],
        "channels": ["email"],
        "data": {"order_id": "Z1"},
    }
    answer = installation.call("/api/v1/notifications", refused)
    alert = {
        "type": "security_alert",
        "recipients": [{"id": "ada", "email": "ada@example.test", "phone": "+4915112345678"}],
        "data": {"event": "New sign-in"},
    }
    installation.call("/api/v1/notifications", alert)
    for title in ("Winter sale", "Spring sale"):
        installation.call(
            "/api/v1/notifications",
            {
                "type": "promotional_offer",
                "recipients": ["admin"],
                "channels": ["inapp"],
                "data": {"title": title, "offer": "30 % off", "url": "https://example.com/"},
            },
        )
    notification = answer["notifications"][0]["id"]
    eventually(
        lambda: installation.call(f"/api/v1/notifications/{notification}")["deliveries"][0]["status"] == "failed"
    )
    eventually(lambda: len(installation.call("/api/v1/sandbox?user=ada")["data"]) >= 2)
    return str(answer["notifications"][0]["deliveries"][0]["id"])


@pytest.fixture(scope="module")
def captures(installation: Up, dead: str) -> list[str]:
    return [f"/admin/sandbox/{capture['id']}" for capture in installation.call("/api/v1/sandbox?user=ada")["data"]]


def every_page(dead: str, captures: list[str]) -> list[str]:
    return [*PAGES, f"/admin/failed/{dead}", f"/admin/notifications?id={dead}", *captures, "/nowhere"]


def settle(page: Page) -> None:
    page.wait_for_load_state("load")
    if page.locator("notifier-inbox.inbox-page").count():
        expect(page.locator("notifier-inbox.inbox-page [aria-busy=true]")).to_have_count(0)


EVERY_RULE = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"


def violations(page: Page, within: str = "html", rules: str = EVERY_RULE) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    run = f"within => axe.run(within, {{...{rules}, resultTypes: ['violations']}})"
    found: list[dict[str, Any]] = page.evaluate(run, within)["violations"]
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


_CUT_OFF = """() => {
    const found = [], scrolls = new Set(["auto", "scroll"]);
    const walk = (node, canScroll) => {
        for (const one of node.children) {
            const style = getComputedStyle(one);
            if (style.display === "none" || style.visibility === "hidden") continue;
            const box = one.getBoundingClientRect(), isLeaf = !one.shadowRoot && one.childElementCount === 0;
            const isCut = box.right > innerWidth + 1 || box.left < -1;
            // The links that skip something come into view with the focus.
            const isSeen = box.width > 1 && box.height > 1 && !one.matches("a.skip, a.skip-section");
            if (isLeaf && !canScroll && isCut && isSeen) found.push(one.textContent.trim() || one.outerHTML);
            walk(one.shadowRoot ?? one, canScroll || scrolls.has(style.overflowX));
        }
    };
    walk(document.body, false);
    return found;
}"""


def cut_off(page: Page) -> list[str]:
    """What stands beyond an edge, also where a frame around it hides that, and cannot be scrolled to. (A chart takes a
    moment to fit another size.)
    """
    with contextlib.suppress(PlaywrightTimeoutError):
        page.wait_for_function(f"() => ({_CUT_OFF})().length === 0")
    found: list[str] = page.evaluate(_CUT_OFF)
    return found


NARROW, ZOOMED = (320, 640), (720, 450)  # 1440 x 900 at 200 % has room for 720 x 450
CONTRAST = "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}}"
SEEN: list[dict[str, Any]] = [{"color_scheme": "dark"}, {"color_scheme": "light", "forced_colors": "active"}]


def looked_over(page: Page) -> dict[str, Any]:
    """What is wrong with an open page at its size: by axe in full, by its contrasts in the dark and in high contrast
    (nothing else differs there), and too wide.
    """
    found: dict[str, Any] = {"light": violations(page)}
    for media in SEEN:
        page.emulate_media(**media)
        page.evaluate("() => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))")
        found[str(media)] = violations(page, rules=CONTRAST)
    page.emulate_media(color_scheme="light", forced_colors="none")
    return {**found, "too wide": overflow(page)}


def narrowed(page: Page) -> dict[str, Any]:
    """What of an open page is too wide at 320 pixels, at 200 % and on a phone, and a header that takes too much."""
    found: dict[str, Any] = {}
    for width, height in (NARROW, ZOOMED, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        found[f"at {width}"] = overflow(page) or cut_off(page)
    share = page.evaluate("(document.querySelector('.top')?.getBoundingClientRect().height ?? 0) / innerHeight")
    return {**found, "header": share if share > 0.15 else 0}


def wrong(found: dict[tuple[str, ...], dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    left = {place: {name: fault for name, fault in faults.items() if fault} for place, faults in found.items()}
    return {place: faults for place, faults in left.items() if faults}


def test_axe_finds_nothing_and_nothing_is_too_wide(tabs: Tabs, dead: str, captures: list[str]) -> None:
    """Each page is opened once at each size."""
    tabs.expect("404")
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for size in ("desktop", "phone"):
        page = tabs.open(email=ADMIN, phone=size == "phone")
        for path in every_page(dead, captures):
            page.goto(path)
            settle(page)
            found[size, path] = looked_over(page)
            if size == "desktop":
                found["narrowed", path] = narrowed(page)
                page.set_viewport_size(DESKTOP)
        page.goto("/admin/")
        page.get_by_role("button", name=re.compile("Notifications")).click()
        expect(page.get_by_role("dialog", name="Notifications").locator(".title").first).to_be_visible()
        # What it covers can be reached again by Escape
        found[size, "the bell's panel"] = {"light": violations(page, ".top notifier-inbox")}
        page.keyboard.press("Escape")
        page.locator("details.menu summary").click()
        found[size, "the menu"] = {"light": violations(page), "too wide": overflow(page)}
    assert wrong(found) == {}


def test_axe_finds_nothing_on_peoples_pages_in_each_language(installation: Up, tabs: Tabs, person: NewPerson) -> None:
    """In one window, whose person learns languages."""
    reader = person()
    reader.receive("comment", actor="Mira", url="https://example.com/post", reply_url="https://example.com/reply")
    page = tabs.open(email=reader.email)
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for locale in ("en", "de", "fr", "es"):
        installation.call(f"/api/v1/users/{reader.id}", {"locale": locale, "email": reader.email}, "PATCH")
        for path in ("/inbox", "/preferences?history=all", "/preferences/addresses", "/why", "/account"):
            page.goto(path)
            assert page.locator("html").get_attribute("lang") == locale
            settle(page)
            found[locale, "desktop", path] = looked_over(page)
            page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            found[locale, "phone", path] = looked_over(page)
            page.set_viewport_size(DESKTOP)
    for path in ("/login", "/login/link/broken", "/u/broken", "/p/broken", "/api/docs"):
        tabs.expect("404")
        page = tabs.open(path)
        settle(page)
        if path == "/api/docs":
            expect(page.locator(".opblock").first).to_be_visible()
        found["signed out", path] = looked_over(page)
    assert wrong(found) == {}


@pytest.mark.parametrize("locale", ["de", "ar"])
def test_peoples_pages_are_not_too_wide_in_other_languages(
    installation: Up, tabs: Tabs, person: NewPerson, locale: str
) -> None:
    reader = person()
    installation.call(f"/api/v1/users/{reader.id}", {"locale": locale, "email": reader.email}, "PATCH")
    page = tabs.open(email=reader.email, phone=True)
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    found = {}
    for path in ("/inbox", "/preferences?history=all", "/preferences/addresses", "/why", "/account"):
        page.goto(path)
        settle(page)
        page.evaluate("document.querySelectorAll('.fold[aria-expanded=false]').forEach(fold => fold.click())")
        page.locator("details.menu summary").click()
        menu = page.locator(".menu-body").bounding_box()
        assert menu is not None
        beside = max(-menu["x"], menu["x"] + menu["width"] - NARROW[0], 0)
        page.locator("details.menu summary").click()
        # A phone shows all that is too wide.
        found[path] = (page.evaluate("innerWidth"), overflow(page), beside, cut_off(page))
    assert found == dict.fromkeys(found, (NARROW[0], 0, 0, []))


def test_english_sentences_end_on_their_right_for_a_right_to_left_reader(
    installation: Up, tabs: Tabs, person: NewPerson
) -> None:
    reader = person()
    installation.call(f"/api/v1/users/{reader.id}", {"locale": "ar", "email": reader.email}, "PATCH")
    page = tabs.open(email=reader.email)
    for path, sentence in (
        ("/preferences", ".lead .with-script"),
        ("/inbox", "notifier-inbox.inbox-page .notice p:last-of-type"),
    ):
        page.goto(path)
        last, full_stop = page.locator(sentence).evaluate(
            """element => [-2, -1].map((end) => {
                 const range = document.createRange();
                 const text = element.firstChild;
                 range.setStart(text, text.data.trimEnd().length + end);
                 range.setEnd(text, text.data.trimEnd().length + end + 1);
                 return range.getBoundingClientRect().left; })"""
        )
        assert full_stop > last, path


def test_the_rows_of_a_table_are_cards_on_a_phone_with_their_names(tabs: Tabs, dead: str) -> None:
    page = tabs.open("/admin/notifications?q=zoe", email=ADMIN, phone=True)
    row = page.locator(".table tbody tr").first
    cell = row.locator("td").nth(1)
    expect(cell).to_have_attribute("data-label", "User")
    widths = row.evaluate("row => [...row.cells].map(cell => cell.getBoundingClientRect().width)")
    assert len(set(widths)) == 1
    expect(row.get_by_role("link").first).to_be_in_viewport()
    page.goto("/admin/users/ada")
    row = page.locator(".table tbody tr").first
    expect(row.locator("td").nth(2)).to_have_attribute("data-label", "State")
    expect(row.locator("td").nth(3)).not_to_have_attribute("data-label", re.compile(".*"))


def test_states_are_seen_in_high_contrast(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("Winter sale")
    page = tabs.open(email=alice.email)
    page.emulate_media(forced_colors="active", reduced_motion="reduce")
    expect(page.locator("notifier-inbox.inbox-page .is-unread").first).to_be_visible()

    def drawn(locator: str, property: str, part: str = "") -> str:
        read = "(element, [name, part]) => getComputedStyle(element, part || null)[name]"
        return str(page.locator(locator).first.evaluate(read, [property, part]))

    ground = drawn("body", "backgroundColor")
    inbox = "notifier-inbox.inbox-page"
    for locator, property, part in (
        (f"{inbox} .is-unread .item", "backgroundColor", "::before"),
        ("notifier-inbox[mode=bell] .badge", "color", ""),
        ("notifier-inbox[mode=bell] .badge", "outlineColor", ""),
        (f"{inbox} .tab[aria-selected=true]", "borderBottomColor", ""),
        (".top-nav a[aria-current]", "borderBottomColor", ""),
    ):
        assert (locator, drawn(locator, property, part)) != (locator, ground)
    assert drawn(f"{inbox} .tab[aria-selected=false]", "borderBottomColor") == ground
    page.goto("/preferences")
    looks = {
        drawn(switch, "backgroundColor") + drawn(switch, "backgroundColor", "::before")
        for switch in ("#order_placed-email", "#order_placed-sms", "#all-transactional")
    }
    assert len(looks) == 3
    for switch in ("#order_placed-email", "#order_placed-sms", "#all-transactional"):
        assert drawn(switch, "backgroundColor", "::before") != drawn(switch, "backgroundColor")


def test_the_docs_page_runs_under_the_same_policy(tabs: Tabs) -> None:
    page = tabs.open("/api/docs")
    expect(page.locator(".opblock").get_by_text("/api/v1/notifications", exact=True).first).to_be_visible()
    expect(page.get_by_role("link", name="Notifier")).to_have_count(0)  # nobody is signed in
    expect(page.locator("header.top")).to_be_visible()


def test_a_mail_is_shown_in_its_frame(tabs: Tabs, captures: list[str], installation: Up) -> None:
    [mail] = [capture for capture in installation.call("/api/v1/sandbox?user=ada")["data"] if capture["html"]]
    page = tabs.open(f"/admin/sandbox/{mail['id']}", email=ADMIN)
    expect(page.frame_locator("iframe.mail").get_by_role("heading", name="New sign-in")).to_be_visible()


def test_selected_jobs_are_retried(tabs: Tabs, dead: str, installation: Up) -> None:
    page = tabs.open("/admin/failed/jobs?user=zoe", email=ADMIN)
    button = page.get_by_role("button", name="Retry selected")
    expect(button).to_be_disabled()
    page.get_by_label("Select all").check()
    expect(button).to_have_text("Retry selected (1)")
    button.click()
    page.get_by_role("button", name="Retry 1").click()
    expect(page.locator("#progress")).to_contain_text("Finished")
    notification = installation.call("/api/v1/notifications?user=zoe")["data"][0]["id"]
    eventually(
        lambda: len(installation.call(f"/api/v1/notifications/{notification}")["deliveries"][0]["attempts"]) == 2
    )


def test_the_pages_but_the_inbox_work_without_javascript(tabs: Tabs, dead: str) -> None:
    page = tabs.open(email=ADMIN, script=False)
    for path in PAGES[1:]:
        page.goto(path)
        expect(page.locator("h1")).to_be_visible()
    page.goto("/admin/")
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto("/inbox")
    page.wait_for_url("**/login?next=/inbox")


def test_times_are_in_the_readers_zone(browser: Any, tabs: Tabs, dead: str) -> None:
    context = browser.new_context(base_url=tabs.base, timezone_id="Asia/Tokyo", locale="en-GB")
    tabs.contexts.append(context)
    page = tabs.watch(context.new_page())
    page.goto("/login?next=/admin/failed/jobs")
    page.fill("[name=email]", ADMIN)
    page.fill("[name=password]", "correct horse battery staple")
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/failed/jobs")
    time = page.locator("time").first
    expected = time.evaluate(
        "element => new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short', timeZone: "
        "'Asia/Tokyo'}).format(new Date(element.dateTime))"
    )
    expect(time).to_have_text(expected)
    expect(time).to_have_attribute("title", re.compile("UTC$"))


def test_the_page_can_be_used_by_keyboard_alone(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("By keyboard")
    page = tabs.open("/preferences", email=alice.email)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.get_by_role("button", name=re.compile("Notifications")).focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Notifications")
    expect(panel).to_be_focused()
    mark = panel.get_by_role("button", name=re.compile("^Mark as read"))
    mark.focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name=re.compile("^Mark as unread"))).to_be_focused()
