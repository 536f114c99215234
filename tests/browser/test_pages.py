"""All pages: nothing for axe to find, nothing wider than a phone, nothing a strict policy refuses (every test's tabs
watch for that).
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.conftest import ADMIN, PASSWORD, Person, Tabs, becomes_true
from tests.browser.every_page import CONSOLE, FOR_PROGRAMMERS, IDS, PEOPLES, SIGNED_OUT
from tests.running import ROOT, Up, eventually

NewPerson = Callable[[], Person]
DESKTOP = ViewportSize(width=1440, height=900)
PHONE = (390, 844)
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


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
    gone = {**refused, "recipients": [{"id": "ida", "email": "dead@sandbox.test"}]}
    installation.call("/api/v1/notifications", gone)
    eva = {"id": "eva", "email": "eva@example.test"}
    letter = {"type": "newsletter", "recipients": [eva], "data": {"title": "Autumn", "body": "Leaves."}}
    installation.call("/api/v1/notifications", letter)
    installation.call("/api/v1/users/eva/addresses", {"channel": "webhook", "value": "https://example.com/eva"})
    quiet = {"url": "https://example.com/hook", "events": ["broadcast.paused"]}
    subscription = installation.call("/api/v1/subscriptions", quiet)["id"]
    installation.call(f"/api/v1/subscriptions/{subscription}/test", method="POST")
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
def ids(installation: Up, browser: Browser, dead: str) -> dict[str, str]:
    """What stands in the braces of the pages' addresses."""
    captures = installation.call("/api/v1/sandbox?user=ada")["data"]
    [letter] = eventually(lambda: installation.call("/api/v1/sandbox?user=eva")["data"])
    known = {
        "dead": dead,
        "mail": next(capture["id"] for capture in captures if capture["html"]),
        "sms": next(capture["id"] for capture in captures if not capture["html"]),
        "unsubscribing": re.findall(r"/u/([\w.-]+)", letter["text"])[0],
    }
    page = browser.new_page(base_url=f"http://127.0.0.1:{installation.port}")
    page.goto("/login?next=/admin/images")
    page.fill("[name=email]", ADMIN)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url("**/admin/images")
    page.set_input_files("input[type=file]", ROOT / "docs" / "console.png")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".messages")).to_be_visible()
    for name in (*("notification", "producer", "subscription"), *IDS):  # others stand on their pages
        at, pattern = IDS[name]
        found = eventually(
            lambda at=at, pattern=pattern: re.search(pattern, page.request.get(at.format(**known)).text())
        )
        known[name] = found[1]
    page.close()
    return known


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
    becomes_true(page, f"({_CUT_OFF})().length === 0")
    found: list[str] = page.evaluate(_CUT_OFF)
    return found


NARROW, ZOOMED = (320, 640), (720, 450)  # 1440 x 900 at 200 % has room for 720 x 450
CONTRAST = "{runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}}"
SEEN: list[dict[str, Any]] = [{"color_scheme": "dark"}, {"color_scheme": "light", "forced_colors": "active"}]


def looked_over(page: Page) -> dict[str, Any]:
    """What is wrong with an open page at its size: by axe in full, by its contrasts in the dark and in high contrast
    (nothing else differs there), and too wide.
    """
    found: dict[str, Any] = {"as it is": violations(page)}
    if not (page.viewport_size or {}).get("width", 0) > PHONE[0]:  # where the colours are those of the desktop
        return {**found, "too wide": overflow(page)}
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


def test_axe_finds_nothing_and_nothing_is_too_wide(tabs: Tabs, ids: dict[str, str]) -> None:
    """Each page is opened once at each size, on a phone in the dark."""
    tabs.expect("404")
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for size in ("desktop", "phone"):
        page = tabs.open(email=ADMIN, phone=size == "phone", dark=size == "phone")
        for path in (*CONSOLE, *FOR_PROGRAMMERS, "/nowhere"):
            page.goto(path.format(**ids))
            settle(page)
            if path == "/api/docs":
                expect(page.locator(".opblock").first).to_be_visible()
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


def test_axe_finds_nothing_on_peoples_pages_in_each_language(
    installation: Up, tabs: Tabs, person: NewPerson, ids: dict[str, str]
) -> None:
    """In one window, whose person learns languages; on a phone, where words have the least room."""
    tabs.expect("404")
    reader = person()
    reader.receive("comment", actor="Mira", url="https://example.com/post", reply_url="https://example.com/reply")
    page = tabs.open(email=reader.email)
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for locale in ("en", "de", "fr", "es"):
        installation.call(f"/api/v1/users/{reader.id}", {"locale": locale, "email": reader.email}, "PATCH")
        for path in PEOPLES:
            page.goto(path)
            assert page.locator("html").get_attribute("lang") == locale
            settle(page)
            if locale == "en":
                found[locale, "desktop", path] = looked_over(page)
            page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            found[locale, "phone", path] = looked_over(page)
            page.set_viewport_size(DESKTOP)
    page = tabs.open()
    for path in SIGNED_OUT:
        page.goto(path.format(**ids))
        found["signed out", path] = looked_over(page)
    assert wrong(found) == {}


@pytest.mark.parametrize("locale", ["de", "ar"])
def test_peoples_pages_are_not_too_wide_in_other_languages(
    installation: Up, tabs: Tabs, person: NewPerson, locale: str
) -> None:
    reader = person()
    installation.call(f"/api/v1/users/{reader.id}", {"locale": locale, "email": reader.email}, "PATCH")
    reader.notify("Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnung")
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
    reader.notify("Winter sale")
    expect(page.locator("notifier-inbox.inbox-page .row time")).to_have_css("direction", "ltr")  # "5 min. ago"


def test_the_current_page_of_the_console_is_in_view_on_a_phone(tabs: Tabs) -> None:
    page = tabs.open(email=ADMIN, phone=True)
    for path in ("/admin/audit", "/admin/sandbox", "/admin/subscriptions", "/admin/providers"):
        page.goto(path)
        expect(page.locator(".sub-nav a[aria-current]")).to_be_in_viewport(ratio=0.95)


def test_a_long_name_of_a_cell_is_read_in_full_on_a_phone(tabs: Tabs) -> None:
    page = tabs.open("/admin/producers", email=ADMIN, phone=True)
    cell = page.locator("td[data-label='Sites that may show the inbox']").first
    one_line = page.locator("td[data-label='Keys in use']").first
    heights = [at.evaluate("cell => cell.getBoundingClientRect().height") for at in (one_line, cell)]
    assert heights[1] > 2 * heights[0]


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


def test_a_mail_is_shown_in_its_frame(tabs: Tabs, ids: dict[str, str]) -> None:
    page = tabs.open(f"/admin/sandbox/{ids['mail']}", email=ADMIN)
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


def test_the_pages_but_the_inbox_work_without_javascript(tabs: Tabs, ids: dict[str, str]) -> None:
    page = tabs.open(email=ADMIN, script=False)
    for path in (*CONSOLE, *FOR_PROGRAMMERS, *PEOPLES[1:]):
        page.goto(path.format(**ids))
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
