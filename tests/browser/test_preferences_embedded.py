"""`<notifier-preferences>` in a page of somebody else's: switches, mute and quiet hours, saved at once, and undone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from docs.embedding.serve import policy
from tests.browser.conftest import Person, Tabs
from tests.browser.inbox_page import NewPerson
from tests.browser.test_pages import overflow, violations
from tests.browser.test_preferences import chosen
from tests.running import eventually

Open = Callable[..., Page]


@pytest.fixture
def opened(tabs: Tabs, elsewhere: Callable[[str, str], str]) -> Open:
    """`opened(alice)` → a page with her preferences."""

    def _opened(person: Person, attributes: str = "", width: int = 800, dark: bool = False) -> Page:
        page = tabs.open(dark=dark)
        page.set_viewport_size({"width": width, "height": 900})
        html = f"""<!doctype html><html lang="en"><title>Shop</title><meta name="viewport" content="width=device-width">
            <script type="module" src="{tabs.base}/static/preferences.js"></script><main><h1>Shop</h1><h2>Messages</h2>
            <notifier-preferences server="{tabs.base}" token="{person.token()}" {attributes}></notifier-preferences>
            </main>"""
        page.goto(elsewhere(html, policy(tabs.base)))
        expect(page.locator("[aria-busy=false]")).to_have_count(1)
        return page

    return _opened


def test_a_switch_is_saved_said_and_taken_back(person: NewPerson, opened: Open) -> None:
    alice = person()
    page = opened(alice)
    page.evaluate("addEventListener('notifier-preferences-change', ({ detail }) => { window.told = detail.choice; })")
    page.get_by_role("heading", name="Social").click()
    switch = page.get_by_role("switch", name="Like by E-mail")
    expect(switch).to_be_checked()
    switch.click()
    expect(page.locator(".toast")).to_contain_text("Switched off: Like by E-mail")
    expect(switch).not_to_be_checked()
    expect(switch).to_be_focused()
    assert chosen(alice) == {"types": {"like": {"email": False}}}
    assert page.evaluate("told") == {"switch": {"on": False, "type": "like", "channel": "email"}}
    expect(page.get_by_text("Some on, some off").first).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("switch", name="Like by E-mail")).to_be_checked()
    assert chosen(alice) == {}


def test_a_section_goes_off_in_full_and_never_opts_in(person: NewPerson, opened: Open) -> None:
    alice = person()
    page = opened(alice)
    whole = page.get_by_role("checkbox", name="All Marketing", exact=True)
    whole.click()
    expect(page.get_by_role("checkbox", name="All Marketing", exact=True)).to_have_attribute("aria-checked", "false")
    assert chosen(alice) == {"categories": {"marketing": {"*": False}}}
    page.get_by_role("checkbox", name="All Marketing", exact=True).click()
    page.get_by_role("heading", name="Marketing").click()
    expect(page.get_by_role("switch", name="Newsletter by E-mail")).to_be_checked()
    expect(page.get_by_text("Articles and news, sent from time to time.")).to_be_visible()
    expect(page.get_by_role("switch", name="Newsletter by SMS")).to_have_count(0)
    page.get_by_role("button", name="More channels").click()
    expect(page.get_by_role("button", name="More channels")).to_be_focused()
    expect(page.get_by_role("switch", name="Newsletter by SMS")).to_have_count(1)
    for name in ("SMS", "WhatsApp", "Voice"):
        for switch in page.get_by_role("switch", name=f"Newsletter by {name}").all():
            expect(switch).not_to_be_checked()


def test_mute_and_quiet_hours_are_set(person: NewPerson, opened: Open) -> None:
    alice = person()
    page = opened(alice)
    page.get_by_role("button", name="For an hour").click()
    expect(page.locator(".toast")).to_contain_text(re.compile("Muted until to(day|morrow)"))
    page.get_by_role("button", name="Unmute now").click()
    expect(page.locator(".muted-until")).to_have_count(0)
    page.get_by_label("Keep these hours quiet").check()
    expect(page.locator(".toast")).to_contain_text("Quiet from 22:00 to 07:00")
    page.get_by_label("To", exact=True).fill("06:30")
    eventually(lambda: chosen(alice).get("quiet_hours", {}).get("end") == "06:30")


def test_quiet_hours_are_typed_with_pauses_and_are_never_without_length(person: NewPerson, opened: Open) -> None:
    alice = person()
    page = opened(alice)
    page.get_by_label("Keep these hours quiet").check()
    expect(page.locator(".toast")).to_contain_text("Quiet from 22:00 to 07:00")
    end = page.get_by_label("To", exact=True)
    end.focus()
    page.keyboard.type("05")
    expect(page.locator(".toast")).to_contain_text("Quiet from 22:00 to 05:00")
    page.keyboard.type("30PM")
    end.blur()
    expect(page.locator(".toast")).to_contain_text("Quiet from 22:00 to 17:30")
    end.fill("22:00")
    end.blur()
    message = "Quiet hours begin and end at different times."
    assert end.evaluate("field => field.validationMessage") == message
    assert chosen(alice)["quiet_hours"]["end"] == "17:30"


def test_a_choice_that_could_not_be_saved_goes_back(tabs: Tabs, person: NewPerson, opened: Open) -> None:
    tabs.expect("status of 503")
    page = opened(person(), attributes="open='all'")
    page.route("**/inbox/preferences*", lambda route: route.fulfill(status=503, body=""))
    switch = page.get_by_role("switch", name="Like by E-mail")
    switch.click()
    expect(page.locator(".banner")).to_have_text("That was not saved. Try again.")
    expect(switch).to_be_checked()


def test_choices_that_overtake_each_other_are_shown_as_they_were_saved(person: NewPerson, opened: Open) -> None:
    """The answer to the first is late. It says nothing of the second, and is not what is shown in the end."""
    alice = person()
    page = opened(alice, attributes="open='all'")
    held: list[Route] = []
    page.route("**/inbox/preferences*", lambda route: route.continue_() if held else held.append(route))
    page.get_by_role("switch", name="Like by E-mail").click()
    page.get_by_role("switch", name="Comment by E-mail").click()
    expect(page.get_by_role("switch", name="Comment by E-mail")).not_to_be_checked()
    held[0].continue_()
    expect(page.locator(".toast")).to_contain_text("Switched off: Comment by E-mail")
    for name in ("Like", "Comment"):
        expect(page.get_by_role("switch", name=f"{name} by E-mail")).not_to_be_checked()
    assert chosen(alice) == {"types": {"like": {"email": False}, "comment": {"email": False}}}


def test_what_one_person_typed_is_not_saved_for_the_next(person: NewPerson, opened: Open) -> None:
    alice, bob = person(), person()
    page = opened(alice, attributes="open='all'")
    page.get_by_role("switch", name="Keep these hours quiet").check()
    expect(page.locator(".toast")).to_be_visible()
    page.locator("notifier-preferences").evaluate(
        """(element, token) => {
            window.typed = element.shadowRoot.querySelector("[data-name=quiet-start]");
            typed.value = "21:15";
            typed.dispatchEvent(new Event("change"));
            element.setAttribute("token", token);
        }""",
        bob.token(),
    )
    expect(page.get_by_role("switch", name="Keep these hours quiet")).not_to_be_checked()
    page.evaluate("typed.dispatchEvent(new Event('blur'))")  # as if its time had come
    page.get_by_role("switch", name="Like by E-mail").click()  # comes after whatever has been chosen before
    expect(page.locator(".toast")).to_contain_text("Switched off: Like by E-mail")
    assert chosen(bob) == {"types": {"like": {"email": False}}}


def test_what_could_not_be_loaded_is_asked_for_again(tabs: Tabs, person: NewPerson, opened: Open) -> None:
    tabs.expect("ERR_FAILED")
    page = opened(person())
    page.route("**/inbox/preferences*", lambda route: route.abort())
    page.locator("notifier-preferences").evaluate("element => element.setAttribute('locale', 'en-GB')")
    expect(page.locator(".banner")).not_to_be_empty()
    again = page.get_by_role("button", name="Try again")
    again.press("Enter")
    expect(again).to_be_focused()
    page.unroute_all()
    again.press("Enter")
    expect(page.get_by_role("heading", name="Social")).to_be_visible()
    expect(page.locator(".banner")).to_be_empty()
    expect(page.locator("summary").first).to_be_focused()


def test_what_one_token_showed_is_gone_with_the_next(tabs: Tabs, person: NewPerson, opened: Open) -> None:
    tabs.expect("status of 401")
    page = opened(person())
    expect(page.get_by_role("heading", name="Social")).to_be_visible()
    page.locator("notifier-preferences").evaluate("element => element.setAttribute('token', 'no longer good')")
    expect(page.locator(".banner")).not_to_be_empty()
    expect(page.get_by_role("heading", name="Social")).to_have_count(0)


def test_it_speaks_the_language_of_the_page(person: NewPerson, opened: Open) -> None:
    page = opened(person(), attributes="locale='de' labels='{\"mute\": \"Ruhe!\"}'")
    expect(page.get_by_role("heading", name="Werbung")).to_be_visible()
    expect(page.get_by_role("heading", name="Ruhe!")).to_be_visible()


def test_an_element_that_is_defined_late_begins_once_with_what_was_set_before(
    tabs: Tabs, person: NewPerson, elsewhere: Callable[[str, str], str]
) -> None:
    page = tabs.open()
    given = f'server="{tabs.base}" token="{person().token()}" locale="de"'
    html = f"<!doctype html><title>Shop</title><notifier-preferences {given}></notifier-preferences>"
    page.goto(elsewhere(html, policy(tabs.base)))
    asked = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(tabs.base)))
    page.evaluate("document.querySelector('notifier-preferences').labels = { mute: 'Ruhe!' }")
    page.evaluate("address => import(address)", f"{tabs.base}/static/preferences.js")
    expect(page.locator("[aria-busy=false]")).to_have_count(1)
    expect(page.get_by_role("heading", name="Werbung")).to_be_visible()
    expect(page.get_by_role("heading", name="Ruhe!")).to_be_visible()
    assert [path for path in asked if path.startswith("/labels/")] == ["/labels/de.json"]


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390), (False, 320)])
def test_axe_finds_nothing_and_nothing_is_too_wide(person: NewPerson, opened: Open, dark: bool, width: int) -> None:
    page = opened(person(), attributes="open='all'", width=width, dark=dark)
    assert (violations(page), overflow(page)) == ([], 0)
