"""What a person does to the items of their inbox, and undoes: one, several, or all of a list."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Tabs
from tests.browser.inbox_page import (
    NewPerson,
    badge,
    banner,
    button,
    connected,
    inbox,
    is_read,
    is_unread,
    items,
    select,
    tab,
    titles,
    toast,
    use,
)


def opened(tabs: Tabs, person: NewPerson, *told: str) -> Page:
    alice = person()
    alice.notify_all(*told)
    page = connected(tabs.open(email=alice.email))
    expect(items(page)).to_have_count(len(told))
    return page


def wednesday_night() -> datetime:
    """The next one. On a Sunday the next week begins tomorrow."""
    now = datetime.now(UTC)
    wednesday = (now + timedelta(days=(2 - now.weekday()) % 7)).replace(hour=23, minute=30)
    return wednesday if wednesday > now else wednesday + timedelta(days=7)


def test_archived_ones_move_to_their_tab_and_back(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "First", "Second")
    use(items(page).first, "Archive")
    expect(titles(page)).to_have_text(["First"])
    expect(badge(page)).to_have_text("1")
    tab(page, "Archived").click()
    expect(titles(page)).to_have_text(["Second"])
    use(items(page).first, "Move back")
    expect(inbox(page).get_by_text("Nothing archived")).to_be_visible()
    tab(page, "All").click()
    expect(titles(page)).to_have_text(["Second", "First"])


def test_what_is_archived_comes_back_by_undo(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "First", "Second")
    use(items(page).first, "Archive")
    expect(toast(page)).to_contain_text("Archived")
    expect(badge(page)).to_have_text("1")
    button(page, "Undo").click()
    expect(titles(page)).to_have_text(["Second", "First"])
    expect(badge(page)).to_have_text("2")
    expect(toast(page)).to_be_hidden()


def test_what_is_read_in_one_window_is_gone_from_the_unread_of_another(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("First", "Second")
    one, other = (connected(tabs.open(email=alice.email)) for _ in range(2))
    tab(other, "Unread").click()
    expect(titles(other)).to_have_text(["Second", "First"])
    use(items(one).first, "Mark as read")
    expect(titles(other)).to_have_text(["First"])


def test_what_was_heard_before_a_mark_is_saved_does_not_take_it_from_view(tabs: Tabs, person: NewPerson) -> None:
    alice, held = person(), list[Route]()
    alice.notify_all("First", "Second")
    page = tabs.open("/preferences", email=alice.email)
    page.route("**/api/v1/inbox/seen", lambda route: route.fulfill(json={"seq": 0, "unread": 0, "unseen": 0}))
    page.route("**/api/v1/inbox/read", lambda route: held.append(route))
    page.goto("/inbox")
    connected(page)
    use(items(page).first, "Mark as read")
    is_read(items(page).first)
    alice.mark("seen", str(items(page).first.get_attribute("data-id")))  # says of the item that it is unread
    alice.notify("Third")
    expect(titles(page)).to_have_text(["Third", "Second", "First"])
    is_read(items(page).nth(1))
    held[0].continue_()
    expect(badge(page)).to_have_text("2")
    is_read(items(page).nth(1))


def test_of_two_marks_the_later_one_is_sent_when_the_earlier_one_is_saved(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "First", "Second")
    held, sent = list[Route](), list[str]()
    page.on(
        "request", lambda request: sent.append(request.url.rpartition("/")[2]) if request.method == "POST" else None
    )
    page.route("**/api/v1/inbox/read", lambda route: held.append(route))
    use(items(page).first, "Mark as read")
    is_read(items(page).first)
    use(items(page).first, "Mark as unread")
    is_unread(items(page).first)
    use(items(page).nth(1), "Archive")
    expect(toast(page)).to_contain_text("Archived")
    expect(badge(page)).to_have_text("1")
    assert [mark for mark in sent if mark != "seen"] == ["read", "archive"]
    with page.expect_response("**/api/v1/inbox/unread"):
        held[0].continue_()
    expect(badge(page)).to_have_text("1")
    is_unread(items(page).first)


def test_all_are_read_at_once_and_unread_again_by_undo(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "First", "Second", "Third")
    use(items(page).nth(1), "Mark as read")
    expect(badge(page)).to_have_text("2")
    tab(page, "Unread").click()
    expect(titles(page)).to_have_text(["Third", "First"])
    button(page, "Mark all read").click()
    expect(inbox(page).get_by_text("You are all caught up")).to_be_visible()
    expect(badge(page)).to_be_hidden()
    expect(page).to_have_title("Inbox · Notifier")
    expect(toast(page)).to_contain_text("2 notifications: marked as read")
    expect(button(page, "Mark all read")).to_have_attribute("aria-disabled", "true")
    button(page, "Undo").click()
    expect(titles(page)).to_have_text(["Third", "First"])  # and not the one that had been read before
    expect(badge(page)).to_have_text("2")


def test_all_of_a_list_means_that_list_and_no_other(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify_all("Blue shoes", "Red shoes", "Blue hat")
    alice.receive("like", actor="Blue Bob")
    page = connected(tabs.open(email=alice.email))
    inbox(page).get_by_label("Category").select_option("marketing")
    inbox(page).get_by_label("Search notifications").fill("blue")
    expect(titles(page)).to_have_text(["Blue hat", "Blue shoes"])
    button(page, "Mark all read").click()
    expect(badge(page)).to_have_text("2")
    inbox(page).get_by_label("Search notifications").fill("")
    inbox(page).get_by_label("Category").select_option("")
    expect(items(page)).to_have_count(4)
    expect(inbox(page).locator(".is-unread .title")).to_have_text(["Blue Bob likes your post", "Red shoes"])


def test_more_than_can_be_named_is_marked_without_an_undo(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One of very many")
    answer = {"unread": 0, "unseen": 0, "seq": 2, "changed_ids": None}
    page.route("**/api/v1/inbox/read", lambda route: route.fulfill(json=answer))
    button(page, "Mark all read").click()
    expect(toast(page)).to_contain_text("All marked as read")
    expect(button(page, "Undo")).to_be_hidden()


@pytest.mark.parametrize("words", ["In an hour", "Tomorrow morning", "Next week"])
def test_a_snoozed_one_is_put_away_and_comes_back_by_undo(tabs: Tabs, person: NewPerson, words: str) -> None:
    page = opened(tabs, person, "First", "Second")
    page.clock.set_fixed_time(wednesday_night())
    use(items(page).first, "Snooze")
    with page.expect_request("**/api/v1/inbox/snooze") as asked:
        inbox(page).get_by_role("dialog", name="Snooze until").get_by_role("button", name=words).click()
    until = datetime.fromisoformat(asked.value.post_data_json["until"])
    now = datetime.fromisoformat(page.evaluate("new Date().toISOString()"))
    assert timedelta(minutes=59) < until - now <= timedelta(days=8)
    assert words == "In an hour" or (until.hour, until.minute) == (8, 0)
    assert words != "Next week" or until.isoweekday() == 1
    expect(titles(page)).to_have_text(["First"])
    expect(badge(page)).to_have_text("1")
    expect(toast(page)).to_contain_text("Snoozed until")
    button(page, "Undo").click()
    expect(titles(page)).to_have_text(["Second", "First"])
    expect(badge(page)).to_have_text("2")


def test_any_date_ahead_will_do_for_snoozing_and_none_behind(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "Later")
    use(items(page).first, "Snooze")
    choices = inbox(page).get_by_role("dialog", name="Snooze until")
    field = choices.get_by_label("Date and time")
    field.fill("")
    choices.get_by_role("button", name="Snooze", exact=True).click()
    assert field.evaluate("field => field.validationMessage") != ""
    field.fill("2020-01-01T08:00")
    choices.get_by_role("button", name="Snooze", exact=True).click()
    assert field.evaluate("field => field.validationMessage") == "Choose a time in the future, within a year."
    expect(titles(page)).to_have_text(["Later"])
    tomorrow = (datetime.fromisoformat(page.evaluate("new Date().toISOString()")) + timedelta(days=1)).strftime(
        "%Y-%m-%dT%H:%M"
    )
    field.fill(tomorrow)
    choices.get_by_role("button", name="Snooze", exact=True).click()
    expect(items(page)).to_have_count(0)
    expect(choices).to_be_hidden()


def test_snoozing_goes_by_the_clocks_of_the_zone_that_the_person_has_chosen(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One", "Two")
    page.clock.set_fixed_time(wednesday_night())
    page.evaluate(
        """document.documentElement.dataset.zone = "Asia/Tokyo";
           document.querySelector("notifier-inbox.inbox-page").setAttribute("locale", "en");"""  # so it begins anew
    )
    connected(page)
    choices = inbox(page).get_by_role("dialog", name="Snooze until")
    for press in ("Tomorrow morning", "Snooze"):
        use(items(page).first, "Snooze")
        if press == "Snooze":
            tomorrow = choices.get_by_label("Date and time").input_value()
            assert tomorrow.endswith("T08:00")
            choices.get_by_label("Date and time").fill(tomorrow.replace("T08:00", "T09:30"))
        with page.expect_request("**/api/v1/inbox/snooze") as asked:
            choices.get_by_role("button", name=press, exact=press == "Snooze").click()
        until = datetime.fromisoformat(asked.value.post_data_json["until"]).astimezone(ZoneInfo("Asia/Tokyo"))
        assert (until.hour, until.minute) == ((8, 0) if press != "Snooze" else (9, 30))


def test_several_are_selected_and_marked_together(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One", "Two", "Three", "Four", "Five")
    bar = inbox(page).get_by_role("toolbar")
    select(items(page).nth(0))
    select(items(page).nth(3), shift=True)
    expect(bar).to_contain_text("4 selected")
    select(items(page).nth(1))
    expect(bar).to_contain_text("3 selected")
    bar.get_by_role("button", name="Mark as read").click()
    expect(badge(page)).to_have_text("2")
    is_read(items(page).nth(0))
    is_unread(items(page).nth(1))
    expect(bar).to_be_hidden()
    expect(toast(page)).to_contain_text("3 notifications: marked as read")
    button(page, "Undo").click()
    expect(badge(page)).to_have_text("5")
    select(items(page).nth(4))
    bar.get_by_role("button", name="Select all").click()
    expect(bar).to_contain_text("5 selected")
    bar.get_by_role("button", name="Archive").click()
    expect(inbox(page).get_by_text("Nothing here yet")).to_be_visible()
    expect(badge(page)).to_be_hidden()


def test_selected_ones_are_snoozed_together(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One", "Two", "Three")
    select(items(page).nth(0))
    select(items(page).nth(2))
    inbox(page).get_by_role("toolbar").get_by_role("button", name="Snooze").click()
    inbox(page).get_by_role("button", name="Tomorrow morning").click()
    expect(titles(page)).to_have_text(["Two"])
    expect(inbox(page).get_by_role("toolbar")).to_be_hidden()


def test_what_was_away_until_different_times_comes_back_to_each_by_undo(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One", "Two")
    page.clock.set_fixed_time(wednesday_night())
    for until in ("Tomorrow morning", "Next week"):
        use(items(page).first, "Snooze")
        with page.expect_response("**/api/v1/inbox/snooze"):
            button(page, until).click()
    tab(page, "Snoozed").click()
    times = items(page).locator(".until-when")
    expect(times).to_have_count(2)
    before = times.all_text_contents()
    assert before[0] != before[1]
    for row in items(page).all():
        select(row)
    inbox(page).get_by_role("toolbar").get_by_role("button", name="Snooze").click()
    with page.expect_response("**/api/v1/inbox/snooze"):
        button(page, "In an hour").click()
    expect(times.first).not_to_have_text(before[0])
    button(page, "Undo").click()
    page.wait_for_load_state("networkidle")
    page.reload()
    expect(times).to_have_text(before)


def test_what_leaves_the_list_is_selected_no_longer(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "One", "Two")
    select(items(page).nth(0))
    use(items(page).nth(0), "Archive")
    expect(inbox(page).get_by_role("toolbar")).to_be_hidden()
    button(page, "Undo").click()
    expect(items(page).nth(0).get_by_role("checkbox")).not_to_be_checked()


def test_opening_one_reads_it_and_follows_its_link(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("With a link", url=f"{tabs.base}/preferences")
    page = connected(tabs.open(email=alice.email))
    titles(page).first.click()
    page.wait_for_url("**/preferences")
    expect(badge(page)).to_be_hidden()


def test_the_action_leads_where_the_title_does(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("With a link", url=f"{tabs.base}/preferences")
    page = connected(tabs.open(email=alice.email))
    items(page).first.get_by_role("link", name="See the offer").click()
    page.wait_for_url("**/preferences")
    expect(badge(page)).to_be_hidden()


def test_one_without_a_link_shows_all_of_its_text(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    alice.notify("A long story", offer="And then. " * 80)
    page = connected(tabs.open(email=alice.email))
    body = items(page).first.locator(".body")
    height = body.evaluate("body => body.offsetHeight")
    titles(page).first.click()
    expect(titles(page).first).to_have_attribute("aria-expanded", "true")
    is_read(items(page).first)
    assert body.evaluate("body => body.offsetHeight") > 2 * height


def test_why_leads_to_the_switch_that_let_it_through(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "Why me?")
    items(page).first.hover()
    items(page).first.get_by_role("link", name="Why did I get this?").click()
    page.wait_for_url(re.compile("/preferences#promotional_offer-inapp$"))
    expect(page.locator("#promotional_offer-inapp")).to_be_visible()


def test_a_row_without_an_action_has_no_empty_line(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "Short")
    expect(items(page).first.locator(".body")).to_be_visible()
    left = items(page).first.evaluate(
        "row => row.getBoundingClientRect().bottom - row.querySelector('.body').getBoundingClientRect().bottom"
    )
    assert 0 < left < 20


def test_a_selection_that_could_not_be_marked_is_as_it_was(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 503")
    page = opened(tabs, person, "One", "Two")
    page.route("**/api/v1/inbox/archive", lambda route: route.fulfill(status=503, body=""))
    select(items(page).nth(0))
    select(items(page).nth(1))
    inbox(page).get_by_role("toolbar").get_by_role("button", name="Archive").click()
    expect(banner(page)).to_have_text("That was not saved. Try again.")
    expect(titles(page)).to_have_text(["Two", "One"])
    expect(toast(page)).to_be_hidden()


def test_what_is_snoozed_is_found_in_a_list_of_its_own_and_by_words(tabs: Tabs, person: NewPerson) -> None:
    page = opened(tabs, person, "Green shoes", "Red hats")
    use(items(page).filter(has_text="Green shoes"), "Snooze")
    inbox(page).get_by_role("dialog", name="Snooze until").get_by_role("button", name="Tomorrow morning").click()
    expect(titles(page)).to_have_text(["Red hats"])
    tab(page, "Snoozed").click()
    expect(titles(page)).to_have_text(["Green shoes"])
    expect(items(page).locator(".until-when")).to_contain_text("Snoozed until")
    tab(page, "All").click()
    inbox(page).get_by_label("Search notifications").fill("shoes")
    expect(titles(page)).to_have_text(["Green shoes"])
    items(page).get_by_role("button", name="Bring back").click()
    expect(items(page).locator(".until-when")).to_have_count(0)
    inbox(page).get_by_label("Search notifications").fill("")
    expect(titles(page)).to_have_text(["Red hats", "Green shoes"])
    tab(page, "Snoozed").click()
    expect(inbox(page)).to_contain_text("Nothing snoozed")
    button(page, "Undo").click()
    expect(titles(page)).to_have_text(["Green shoes"])
