"""The inbox in a real browser: what arrives, what is marked, and what happens when the line is cut."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.conftest import Person, Tabs
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
    titles,
    use,
)
from tests.running import Up, eventually


def test_what_is_sent_appears_without_a_reload(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page = connected(tabs.open(email=alice.email))
    expect(inbox(page).get_by_text("Nothing here yet")).to_be_visible()
    expect(badge(page)).to_be_hidden()
    alice.notify("Winter sale", offer="30 % off")
    expect(titles(page)).to_have_text(["Winter sale"])
    spoken = page.locator("[aria-live=polite]", has_text="Winter sale")  # of the bell and the inbox one speaks
    expect(spoken).to_have_text("New notification: Winter sale")
    expect(badge(page)).to_have_text("1")
    expect(page).to_have_title("(1) Inbox · Notifier")
    alice.notify("Spring sale")
    expect(titles(page)).to_have_text(["Spring sale", "Winter sale"])
    expect(badge(page)).to_have_text("2")


def test_what_is_read_in_one_tab_is_read_in_another(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    for title in ("First", "Second"):
        alice.notify(title)
    one, other = (connected(tabs.open(email=alice.email)) for _ in range(2))
    expect(badge(other)).to_have_text("2")
    use(items(one).first, "Mark as read")
    for page in (one, other):
        expect(badge(page)).to_have_text("1")
        is_read(items(page).first)
    use(items(other).first, "Mark as unread")
    for page in (one, other):
        expect(badge(page)).to_have_text("2")
        is_unread(items(page).first)


def test_what_came_while_offline_is_there_afterwards(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("ERR_INTERNET_DISCONNECTED|WebSocket connection")
    alice = person()
    page = connected(tabs.open(email=alice.email))
    alice.notify("Before")
    expect(titles(page)).to_have_text(["Before"])
    page.evaluate("addEventListener('notifier-count', ({ detail }) => { window.unseen = detail.unseen; })")
    page.context.set_offline(True)
    expect(banner(page)).to_contain_text("You are offline")
    alice.notify("Meanwhile")
    alice.notify("And another")
    page.context.set_offline(False)
    expect(titles(page)).to_have_text(["And another", "Meanwhile", "Before"])
    expect(page.locator("[aria-live=polite]", has_text="2 new notifications")).to_have_count(1)
    eventually(lambda: page.evaluate("unseen") == 0)
    expect(badge(page)).to_have_text("3")
    expect(banner(page)).to_be_hidden()


def test_a_restarted_server_is_found_again(tabs: Tabs, person: NewPerson, installation: Up) -> None:
    tabs.expect("ERR_CONNECTION_REFUSED|WebSocket connection|WebSocket is closed|502|503")
    alice = person()
    page = connected(tabs.open(email=alice.email))
    alice.notify("Before")
    expect(titles(page)).to_have_text(["Before"])
    web = installation.children()["web"]
    os.kill(web, signal.SIGKILL)
    eventually(lambda: installation.children().get("web") not in (None, web) and installation.is_whole())
    alice.notify("After")
    expect(titles(page)).to_have_text(["After", "Before"])


def test_nobody_sees_what_is_somebody_elses(tabs: Tabs, person: NewPerson) -> None:
    alice, bob = person(), person()
    hers, his = connected(tabs.open(email=alice.email)), connected(tabs.open(email=bob.email))
    alice.notify("For Alice")
    bob.notify("For Bob")
    expect(titles(hers)).to_have_text(["For Alice"])
    expect(titles(his)).to_have_text(["For Bob"])
    for page in (hers, his):
        page.reload()
        expect(items(connected(page))).to_have_count(1)
        expect(badge(page)).to_have_text("1")


def test_a_list_that_cannot_be_loaded_says_so_and_is_tried_again(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 500")
    alice = person()
    alice.notify("There all along")
    page = tabs.open(email=alice.email)
    page.route("**/api/v1/inbox?*", lambda route: route.fulfill(status=500, body=""))
    page.route_web_socket("**/socket.io/*", lambda _: None)  # once connected it would try again by itself
    page.reload()
    expect(inbox(page).get_by_text("We could not load your notifications")).to_be_visible()
    page.unroute("**/api/v1/inbox?*")
    button(page, "Try again").click()
    expect(titles(page)).to_have_text(["There all along"])


def test_a_mark_that_is_refused_is_taken_back(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 503")
    alice = person()
    alice.notify("Stubborn")
    page = connected(tabs.open(email=alice.email))
    page.route("**/api/v1/inbox/read", lambda route: route.fulfill(status=503, body=""))
    use(items(page).first, "Mark as read")
    expect(banner(page)).to_have_text("That was not saved. Try again.")
    is_unread(items(page).first)


def test_a_session_that_has_ended_says_so(tabs: Tabs, person: NewPerson) -> None:
    tabs.expect("status of 401")
    alice = person()
    alice.notify("Out of reach")
    page = connected(tabs.open(email=alice.email))
    page.wait_for_load_state("networkidle")  # an answer still on its way would bring the cookie back
    page.context.clear_cookies()
    use(items(page).first, "Archive")
    expect(banner(page)).to_contain_text("You are signed out")
    expect(titles(page)).to_have_text(["Out of reach"])


class Line:
    """The Socket.IO line of a page, with a hand on it: `is_deaf` loses what the server says, `say` puts words in its
    mouth.
    """

    def __init__(self, page: Page) -> None:
        self.is_deaf = False
        self.asked: list[str] = []
        self.heard: list[str] = []
        self.lost: list[str] = []
        self._page = page
        self._routes: list[WebSocketRoute] = []
        page.route_web_socket("**/socket.io/*", self._open)

    def _open(self, route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        route.on_message(lambda words: (self.asked.append(str(words)), server.send(words)))
        server.on_message(lambda words: self._hear(route, str(words)))
        self._routes.append(route)

    def _hear(self, route: WebSocketRoute, words: str) -> None:
        is_lost = self.is_deaf and words.startswith("42")
        (self.lost if is_lost else self.heard).append(words)
        if not is_lost:
            route.send(words)

    def events(self) -> list[Any]:
        """What was told and not lost, oldest first."""
        return [json.loads(words.partition(",")[2])[1] for words in self.heard if words.startswith("42")]

    def say(self, event: str, **payload: Any) -> None:
        self._routes[-1].send(f"42/inbox,{json.dumps([event, payload])}")

    def until(self, question: Callable[[], bool]) -> None:
        """Waits, and lets the line speak meanwhile."""
        for _ in range(300):
            if question():
                return
            self._page.wait_for_timeout(50)
        raise AssertionError("it never came true")


def overheard(tabs: Tabs, alice: Person) -> tuple[Page, Line]:
    page = tabs.open("/preferences", email=alice.email)
    line = Line(page)
    page.goto("/inbox")
    line.until(lambda: any(words.startswith("43") for words in line.heard))  # the first sync is answered
    return connected(page), line


def test_a_lost_event_is_asked_for_when_the_next_one_shows_the_gap(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page, line = overheard(tabs, alice)
    alice.notify("Heard")
    expect(titles(page)).to_have_text(["Heard"])
    line.is_deaf = True
    alice.notify("Lost")
    line.until(lambda: any("Lost" in words for words in line.lost))
    expect(titles(page)).to_have_text(["Heard"])
    line.is_deaf = False
    alice.notify("Heard again")
    expect(titles(page)).to_have_text(["Heard again", "Lost", "Heard"])
    expect(badge(page)).to_have_text("3")


def test_a_tab_that_is_looked_at_again_asks_for_what_it_has_lost(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page, line = overheard(tabs, alice)
    line.is_deaf = True
    alice.notify("Lost")
    line.until(lambda: any("Lost" in words for words in line.lost))
    line.is_deaf = False
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(titles(page)).to_have_text(["Lost"])
    expect(badge(page)).to_have_text("1")


def test_an_item_that_another_has_replaced_leaves_the_list(tabs: Tabs, person: NewPerson) -> None:
    alice = person()
    page, line = overheard(tabs, alice)
    alice.notify_all("Old", "New")
    line.until(lambda: bool(line.events()) and line.events()[-1]["unread"] == 2 and line.events()[-1]["unseen"] == 0)
    old, new = (event["item"] for event in line.events() if "item" in event)
    line.say(
        "state", seq=line.events()[-1]["seq"] + 2, unread=1, unseen=0, changed=[new, {**old, "replaced_by": new["id"]}]
    )
    expect(titles(page)).to_have_text(["New"])
    expect(badge(page)).to_have_text("1")


def test_after_too_much_was_missed_the_list_is_read_again(tabs: Tabs, person: NewPerson) -> None:
    """Also if that fails at first. And a badge of three figures keeps them to its label."""
    tabs.expect("status of 500")
    alice = person()
    page, line = overheard(tabs, alice)
    line.is_deaf = True
    alice.notify_all(*(f"Number {number}" for number in range(501)))
    line.until(lambda: len(line.lost) >= 501)
    line.is_deaf = False
    refused: list[Route] = []
    page.route("**/api/v1/inbox?*", lambda route: (refused.append(route), route.fulfill(status=500, body="")))
    alice.notify("The last one")
    line.until(lambda: len(refused) == 2)  # that of the bell, too
    page.unroute("**/api/v1/inbox?*")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(titles(page).first).to_have_text("The last one")
    expect(items(page)).to_have_count(30)
    expect(badge(page)).to_have_text("99+")
    expect(page.get_by_role("button", name="Notifications, 502 unread")).to_be_visible()
