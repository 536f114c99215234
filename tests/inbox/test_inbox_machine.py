"""Never adrift: two browsers that keep the protocol of API.md, over a line that loses, delays and swaps events, and one
database.

A browser that has just asked for what it missed shows the list and the badge of the database; and one that
believes itself up to date is.
"""

from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse_many
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.queries import inbox as questions

MARKS = {
    "seen": marks.seen,
    "read": marks.read,
    "unread": marks.unread,
    "archive": marks.archive,
    "unarchive": marks.unarchive,
    "snooze": lambda user_id, chosen: marks.snooze(user_id, chosen, now() + timedelta(hours=1)),
    "put off": lambda user_id, chosen: marks.snooze(user_id, chosen, now() - timedelta(seconds=1)),
    "wake": lambda user_id, chosen: marks.snooze(user_id, chosen, None),
}
UNDO = {"read": marks.unread, "unread": marks.read, "archive": marks.unarchive, "unarchive": marks.archive}
COUNTS = ("unread", "unseen", "seq")


class Browser:
    """Loads the list, hears events, asks for the rest when it sees a gap,
    and reads again when it has missed too much.
    """

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.is_connected = True
        self.on_the_line: list[tuple[str, dict[str, Any]]] = []
        self.load()

    def load(self) -> None:
        page = questions.page(self.user_id, limit=200)
        self.items = {item["id"]: item for item in page["data"]}
        self.counts = {name: page[name] for name in COUNTS}

    def hear(self, event: str, payload: dict[str, Any]) -> None:
        changed = [payload["item"]] if event == "item" else payload["changed"]
        if payload["seq"] <= self.counts["seq"]:
            return
        if payload["seq"] > self.counts["seq"] + len(changed):
            self.sync()
        else:
            self._learn(changed, payload)

    def sync(self) -> None:
        answer = questions.changes(self.user_id, self.counts["seq"])
        if answer.get("reset"):
            self.load()
        else:
            self._learn(answer["changed"], answer)

    def _learn(self, changed: list[dict[str, Any]], counts: dict[str, Any]) -> None:
        self.items |= {item["id"]: item for item in changed}
        self.counts = {name: counts[name] for name in COUNTS}

    def shown(self) -> list[dict[str, Any]]:
        """What tab `all` shows, newest first."""
        shown = [item for item in self.items.values() if not item["archived_at"] and not item["snoozed_until"]]
        return sorted(shown, key=lambda item: (item["created_at"], item["id"]), reverse=True)

    def badge(self) -> tuple[int, int]:
        shown = self.shown()
        return sum(not item["read_at"] for item in shown), sum(not item["seen_at"] for item in shown)


@pytest.mark.slow
def test_two_browsers_and_the_database_agree_after_every_sync(
    app: APIFlask, arrive: Any, ear: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that events without items, and having missed too much, are everyday matters
    monkeypatch.setattr(marks, "MAX_SHOWN", 3)
    monkeypatch.setattr(questions, "MAX_BEHIND", 6)

    class Person(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.user_id = new_id().hex
            arrive(self.user_id)
            ear.heard()
            self.browsers = [Browser(self.user_id), Browser(self.user_id)]

        def tell(self) -> None:
            """What was published reaches the lines of those who are connected."""
            for user_id, event, payload in ear.heard():
                if user_id != self.user_id:  # of an earlier example, whose snoozed items come back while this one runs
                    continue
                for browser in self.browsers:
                    if browser.is_connected:
                        browser.on_the_line.append((event, payload))

        @rule(number=st.integers(1, 4), category=st.sampled_from(["social", "marketing"]))
        def items_arrive(self, number: int, category: str) -> None:
            arrive(*[self.user_id] * number, category=category)
            self.tell()

        @rule(
            who=st.integers(0, 1),
            mark=st.sampled_from(sorted(MARKS)),
            picked=st.sets(st.integers(0, 9), min_size=1, max_size=5),
        )
        def some_are_marked(self, who: int, mark: str, picked: set[int]) -> None:
            known = sorted(self.browsers[who].items)
            MARKS[mark](
                self.user_id,
                Chosen(tuple(parse_many("dlv", (known[number] for number in picked if number < len(known))))),
            )
            self.tell()

        @rule(
            mark=st.sampled_from(sorted(MARKS)),
            filter=st.sampled_from(["all", "unread", "archived", "snoozed"]),
            category=st.sampled_from([None, "social"]),
        )
        def all_in_view_are_marked(self, mark: str, filter: str, category: str | None) -> None:
            MARKS[mark](self.user_id, Chosen(None, filter, category))
            self.tell()

        @rule(mark=st.sampled_from(sorted(UNDO)), filter=st.sampled_from(["all", "archived"]))
        def a_mark_is_undone(self, mark: str, filter: str) -> None:
            before = questions.counts(self.user_id)
            changed = MARKS[mark](self.user_id, Chosen(None, filter))["changed_ids"]
            after = UNDO[mark](self.user_id, Chosen(tuple(parse_many("dlv", changed))))
            assert after["changed_ids"] == changed
            assert after["unread"] == before["unread"]
            self.tell()

        @rule()
        def the_scheduler_passes_by(self) -> None:
            marks.wake_snoozed(now())
            self.tell()

        @rule(who=st.integers(0, 1), number=st.integers(1, 5))
        def events_come_through(self, who: int, number: int) -> None:
            browser = self.browsers[who]
            for event, payload in browser.on_the_line[:number]:
                browser.hear(event, payload)
            del browser.on_the_line[:number]

        @rule(who=st.integers(0, 1), which=st.integers(0, 3))
        def an_event_is_lost(self, who: int, which: int) -> None:
            del self.browsers[who].on_the_line[which : which + 1]

        @rule(who=st.integers(0, 1))
        def events_overtake_each_other(self, who: int) -> None:
            self.browsers[who].on_the_line.reverse()

        @rule(who=st.integers(0, 1))
        def a_browser_goes_away(self, who: int) -> None:
            self.browsers[who].is_connected = False
            self.browsers[who].on_the_line.clear()

        @rule(who=st.integers(0, 1))
        def a_browser_comes_back_and_syncs(self, who: int) -> None:
            browser = self.browsers[who]
            browser.is_connected = True
            db.session.rollback()
            browser.sync()
            assert browser.counts == questions.counts(self.user_id)

        @invariant()
        def who_is_up_to_date_shows_what_the_database_holds(self) -> None:
            db.session.rollback()
            page = questions.page(self.user_id, limit=200)
            unread = questions.page(self.user_id, filter="unread", limit=200)["data"]
            assert (page["unread"], page["unseen"]) == (len(unread), sum(not item["seen_at"] for item in page["data"]))
            for browser in self.browsers:
                if browser.counts["seq"] == page["seq"]:
                    assert browser.shown() == page["data"]
                    assert (
                        browser.badge()
                        == (page["unread"], page["unseen"])
                        == (browser.counts["unread"], browser.counts["unseen"])
                    )

        def teardown(self) -> None:
            for browser in self.browsers:
                for event, payload in browser.on_the_line:
                    browser.hear(event, payload)
                browser.sync()
            self.who_is_up_to_date_shows_what_the_database_holds()
            assert self.browsers[0].counts == self.browsers[1].counts == questions.counts(self.user_id)
            marks.snooze(
                self.user_id,
                Chosen(tuple(parse_many("dlv", {key for browser in self.browsers for key in browser.items}))),
                None,
            )
            ear.heard()

    run_state_machine_as_test(
        Person,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
