"""The preference page as people use it: with and without JavaScript, by keyboard, on a phone, and from a message's
link.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person, Tabs
from tests.browser.test_pages import AXE, overflow, violations
from tests.running import Up, eventually

NewPerson = Callable[[], Person]


def chosen(person: Person) -> dict[str, Any]:
    """What the person has chosen, as a producer sees it."""
    answer = person.server.call(f"/api/v1/users/{person.id}/preferences")
    return {name: answer[name] for name in ("channels", "categories", "types", "quiet_hours", "caps") if answer[name]}


def toast(page: Page) -> Locator:
    return page.locator("#save-state")


def over(page: Page, name: str) -> Locator:
    return page.get_by_role("checkbox", name=name, exact=True)


@pytest.fixture
def letter(installation: Up, person: NewPerson) -> Callable[[], tuple[Person, str]]:
    """→ somebody, and the "Why did I get this?" link of a newsletter they were sent."""

    def _letter() -> tuple[Person, str]:
        reader = person()
        installation.call(
            f"/api/v1/users/{reader.id}", {"email": f"{reader.id}@reader.example", "verified": True}, "PATCH"
        )
        newsletter = {"type": "newsletter", "recipients": [reader.id], "data": {"title": "Autumn", "body": "Leaves."}}
        installation.call("/api/v1/notifications", newsletter)
        [mail] = eventually(lambda: installation.call(f"/api/v1/sandbox?user={reader.id}&channel=email")["data"])
        [link] = re.findall(r"Why did I get this\?\s+(\S+)", mail["text"])
        return reader, link

    return _letter


def test_a_choice_after_the_session_has_ended_leads_to_the_sign_in(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 401")
    alice = person()
    page, elsewhere = tabs.open(email=alice.email), tabs.open(email=alice.email)
    page.goto("/preferences")
    elsewhere.goto("/account")
    elsewhere.get_by_role("button", name="Sign out everywhere").click()
    elsewhere.wait_for_url("**/login")
    page.locator("#like-email").click()
    page.wait_for_url("**/login?next=/preferences")
    assert chosen(alice) == {}


@pytest.mark.parametrize("script", [True, False], ids=["at once", "without JavaScript"])
def test_a_choice_is_saved_said_and_taken_back(tabs: Tabs, person: NewPerson, script: bool) -> None:
    alice = person()
    page = tabs.open(email=alice.email, script=script)
    page.goto("/preferences")
    switch = page.locator("#like-email")
    expect(switch).to_be_checked()
    switch.uncheck()
    if not script:
        page.get_by_role("button", name="Save what reaches you").click()
    expect(toast(page)).to_contain_text("Saved. Switched off: Like by e-mail.")
    assert chosen(alice) == {"types": {"like": {"email": False}}}
    expect(over(page, "All social messages by e-mail")).to_have_attribute("aria-checked", "mixed")
    toast(page).get_by_role("button", name="Undo").click()
    expect(toast(page)).to_contain_text("Undone.")
    expect(page.locator("#like-email")).to_be_checked()
    assert chosen(alice) == {}


@pytest.mark.parametrize("script", [True, False], ids=["at once", "without JavaScript"])
def test_a_switch_over_several_sets_all_below_it_and_never_opts_in(tabs: Tabs, person: NewPerson, script: bool) -> None:
    alice = person()
    page = tabs.open(email=alice.email, script=script)
    page.goto("/preferences")
    over(page, "All marketing messages by e-mail").click()
    expect(toast(page)).to_contain_text("Saved.")
    expect(page.locator("#newsletter-email")).not_to_be_checked()
    expect(page.locator("#promotional_offer-email")).not_to_be_checked()
    expect(over(page, "Everything by e-mail")).to_have_attribute("aria-checked", "mixed")
    over(page, "Everything by e-mail").click()
    expect(over(page, "Everything by e-mail")).to_have_attribute("aria-checked", "false")
    assert chosen(alice) == {"channels": {"email": False}}
    over(page, "Everything by e-mail").click()
    expect(over(page, "All marketing messages by e-mail")).to_have_attribute("aria-checked", "true")
    expect(page.locator("#newsletter-email")).to_be_checked()
    assert chosen(alice) == {"channels": {"email": True}}
    over(page, "All social messages").click()
    expect(over(page, "All social messages")).to_have_attribute("aria-checked", "false")
    expect(page.locator("#like-inapp")).not_to_be_checked()
    over(page, "All social messages").click()
    expect(toast(page)).to_contain_text(
        "Saved. Switched on: all social messages in the app, by e-mail, and by mobile push."
    )
    expect(page.locator("#like-inapp")).to_be_checked()
    if script:
        expect(page.locator("#like-sms")).to_be_hidden()
        more = page.get_by_role("button", name="More channels: Social")
        more.click()
        expect(more).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#like-sms")).to_be_visible()
    expect(over(page, "All social messages by SMS")).to_be_disabled()
    expect(page.locator("#like-sms")).not_to_be_checked()
    expect(page.locator("#security_alert-email")).to_be_checked()


def test_several_quick_changes_are_all_saved(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = tabs.open("/preferences", email=alice.email)
    names = ("like", "comment", "follow", "newsletter")
    for name in names:
        page.locator(f"#{name}-email").uncheck()
    eventually(lambda: chosen(alice) == {"types": {key: {"email": False} for key in names}})
    for name in names:
        expect(page.locator(f"#{name}-email")).not_to_be_checked()


def test_a_switch_that_could_not_be_saved_goes_back_and_says_so(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 503|htmx:response:error")
    page = tabs.open("/preferences", email=person().email)
    page.route(
        "**/preferences",
        lambda route: (
            route.fulfill(status=503, body="<h1>out of order</h1>")
            if route.request.method == "POST"
            else route.continue_()
        ),
    )
    page.locator("#like-email").click()
    expect(page.get_by_text("That was not saved.")).to_be_visible()
    expect(page.locator("#like-email")).to_be_checked()
    expect(page.get_by_text("out of order")).to_have_count(0)


def test_hours_caps_and_mute_are_saved_told_in_words_and_refused_beside_the_field(
    tabs: Tabs, person: NewPerson
) -> None:
    tabs.expect("status of 422|htmx:response:error")
    alice = person()
    page = tabs.open("/preferences", email=alice.email)
    page.get_by_label("Keep these hours quiet").check()
    words = page.locator("#quiet-words")
    expect(words).to_contain_text(
        "From 10:00\u202fPM to 7:00\u202fAM (UTC), every night, we hold everything but security alerts"
    )
    page.get_by_label("To", exact=True).fill("22:00")
    expect(page.locator("#fault-quiet_end")).to_have_text("Quiet hours begin and end at different times.")
    expect(words).to_contain_text("From 10:00\u202fPM to 7:00\u202fAM")
    page.get_by_label("To", exact=True).fill("06:00")
    expect(words).to_contain_text("From 10:00\u202fPM to 6:00\u202fAM")
    expect(page.locator("#fault-quiet_end")).to_have_count(0)
    toast(page).get_by_role("button", name="Undo").click()
    expect(page.get_by_label("To", exact=True)).to_have_value("07:00")

    most = page.get_by_role("group", name="Marketing").get_by_label("At most a day")
    most.fill("0")
    most.press("Enter")
    expect(page.locator("#fault-caps-marketing-day")).to_contain_text("At least 1.")
    most.fill("2")
    most.press("Enter")
    expect(toast(page)).to_contain_text("Saved. Most marketing messages in one day: the usual limit → 2.")
    expect(page.locator("#fault-caps-marketing-day")).to_have_count(0)

    panel = page.locator("#mute-panel")
    panel.get_by_role("button", name="For an hour").click()
    expect(panel).to_contain_text("Muted until")
    panel.get_by_role("button", name="Unmute now").click()
    expect(panel).not_to_contain_text("Muted until")
    assert chosen(alice) == {
        "quiet_hours": {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5, 6, 7]},
        "caps": {"marketing": {"day": 2}},
    }


# Walks along each line of switches to its end and back, and down to the next.
_MISSED_BY_ARROWS = """choices => {
    const reached = new Set();
    const press = (key) => {
        const before = document.activeElement;
        before.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
        reached.add(document.activeElement);
        return document.activeElement !== before;
    };
    choices.querySelector("button.switch").focus();
    reached.add(document.activeElement);
    do {
        while (press("ArrowRight"));
        while (press("ArrowLeft"));
    } while (press("ArrowDown"));
    const wanted = choices.querySelectorAll("button.switch:enabled, input.switch:enabled");
    return [...wanted].filter((part) => !reached.has(part)).map((part) => part.id);
}"""


def tab_stops(page: Page) -> list[str]:
    """What Tab stops at on its way through the page; the parts of a date or time count each."""
    stops: list[str] = []
    page.evaluate("document.activeElement.blur()")
    while len(stops) < 400:
        page.keyboard.press("Tab")
        stop = page.evaluate("document.activeElement === document.body ? null : document.activeElement.id || 'unnamed'")
        if stop is None:
            break
        stops.append(stop)
    return stops


def test_the_keyboard_alone_is_enough(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = tabs.open("/preferences", email=alice.email)
    stops = tab_stops(page)
    assert len(stops) < 60, stops
    assert [stop for stop in stops if stop.startswith("all-")] == [
        "all-inapp",
        *(f"all-{category}" for category in ("transactional", "marketing", "social", "system")),
    ]
    for more in page.get_by_role("button", name="More channels").all():
        more.press("Enter")
    missed: list[str] = page.locator("#choices").evaluate(_MISSED_BY_ARROWS)
    assert missed == []
    page.get_by_role("button", name="More channels: Marketing").press("Enter")
    over(page, "All marketing messages").focus()
    expect(page.get_by_text("Arrow keys move within this group.")).to_be_visible()
    for key, id in (
        ("ArrowRight", "all-marketing-inapp"),
        ("ArrowDown", "newsletter-email"),  # the nearest: it has none for the app
        ("ArrowDown", "promotional_offer-email"),
        ("ArrowUp", "newsletter-email"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"#{id}")).to_be_focused()
    page.keyboard.press("Space")
    expect(toast(page)).to_contain_text("Saved. Switched off: Newsletter by e-mail.")
    expect(page.locator("#newsletter-email")).to_be_focused()
    page.keyboard.press("Enter")  # sends no form: what is saved is said still
    undo = toast(page).get_by_role("button", name="Undo")
    undo.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#newsletter-email")).to_be_checked()
    expect(page.locator("#newsletter-email")).to_be_focused()
    assert chosen(alice) == {}


def test_an_address_that_names_nothing_breaks_nothing(tabs: Tabs, person: NewPerson) -> None:
    page = tabs.open("/preferences#%", email=person().email)  # tabs look for errors
    expect(page.locator("#like-email")).to_be_visible()


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_a_mail_leads_to_the_very_switch_without_signing_in(
    tabs: Tabs, letter: Callable[[], tuple[Person, str]], script: bool
) -> None:
    reader, link = letter()
    page = tabs.open(script=script)
    page.goto(link)
    switch = page.locator("#newsletter-email")
    expect(switch).to_be_in_viewport()
    why = page.locator("#newsletter-email-why")
    expect(why).to_be_visible()
    expect(why).to_have_text("On by default: you have not chosen.")
    assert "went through this switch" in why.evaluate("element => getComputedStyle(element, '::before').content")
    if script:
        expect(switch).to_be_focused()
        expect(page.locator("#arrival")).to_have_text(
            re.compile("went through this switch: E-mail for Newsletter. On by default")
        )
        page.evaluate(AXE.read_text())
        assert page.evaluate("axe.run('#row-newsletter', {runOnly: ['wcag2a', 'wcag2aa']})")["violations"] == []
    switch.uncheck()
    if not script:
        page.get_by_role("button", name="Save what reaches you").click()
    expect(toast(page)).to_contain_text("Saved. Switched off: Newsletter by e-mail.")
    assert chosen(reader) == {"types": {"newsletter": {"email": False}}}


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light desktop", "dark phone"])
def test_axe_finds_nothing_whatever_the_page_says(
    tabs: Tabs, letter: Callable[[], tuple[Person, str]], dark: bool, phone: bool
) -> None:
    tabs.expect("status of 422|htmx:response:error")
    _, link = letter()
    page = tabs.open(link.partition("#")[0], dark=dark, phone=phone)
    # What the bars lie over while one scrolls is no finding
    page.set_viewport_size({"width": 390 if phone else 1440, "height": 6000})
    found = {"by link": (violations(page), overflow(page))}
    for fold in page.locator("h2 > .fold").all():
        fold.click()
    found["unfolded"] = (violations(page), overflow(page))
    page.locator("#like-email").uncheck()
    over(page, "All marketing messages").click()
    page.get_by_role("button", name="For an hour").click()
    expect(page.locator("#mute-panel")).to_contain_text("Muted until")
    found["chosen"] = (violations(page), overflow(page))
    page.locator("#mute_date").fill("2020-01-01")
    page.get_by_role("button", name="Until this date").click()
    expect(page.locator("#fault-mute_date")).to_be_visible()
    found["refused"] = (violations(page), overflow(page))
    assert {state: trouble for state, trouble in found.items() if trouble != ([], 0)} == {}


def test_on_a_phone_all_of_it_is_three_screens_and_a_link_unfolds_its_part(
    tabs: Tabs, person: NewPerson, letter: Callable[[], tuple[Person, str]]
) -> None:
    page = tabs.open("/preferences", email=person().email, phone=True)
    expect(page.locator("#like-email")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollHeight / innerHeight") <= 3
    page.get_by_role("button", name="Social", exact=True).click()
    page.locator("#like-email").uncheck()
    expect(toast(page)).to_contain_text("Switched off: Like by e-mail")
    expect(page.locator("#like-email")).to_be_visible()
    expect(page.get_by_role("button", name="Social", exact=True)).to_have_attribute("aria-expanded", "true")
    page.get_by_role("button", name="Reset: Like").click()
    expect(page.locator("#like-email")).to_be_checked()
    _, link = letter()
    page = tabs.open(phone=True)
    page.goto(link)
    expect(page.locator("#newsletter-email")).to_be_in_viewport()


def test_somebody_who_erases_themselves_is_gone_and_signed_out(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = tabs.open("/preferences", email=alice.email)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export my data").click()
    assert download.value.suggested_filename == "notifications-export.json"
    page.get_by_label(f"Type {alice.email} to confirm").fill(alice.email)
    page.get_by_role("button", name=f"Erase {alice.email}").click()
    page.wait_for_url("**/login")
    expect(page.get_by_text("Your data has been erased, and you have been signed out.")).to_be_visible()
