"""A law of the inbox: whatever people do in whatever order, the counts are those of a recount, and a client
that only hears events knows the same as the database.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import InboxItem, InboxState
from notifier.queries import inbox as questions


class Client:
    """A browser: knows the items it was told of, and notices a gap in `seq`."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.counts = {"unread": 0, "unseen": 0, "seq": 0}

    def hear(self, event: str, payload: dict[str, Any]) -> None:
        changed = [payload["item"]] if event == "item" else payload["changed"]
        assert payload["seq"] == self.counts["seq"] + len(changed), "a gap"
        self.items |= {item["id"]: item for item in changed}
        self.counts = {name: payload[name] for name in ("unread", "unseen", "seq")}

    def recount(self) -> dict[str, int]:
        shown = [item for item in self.items.values() if not item["archived_at"] and not item["snoozed_until"]]
        return {
            "unread": sum(not item["read_at"] for item in shown),
            "unseen": sum(not item["seen_at"] for item in shown),
            "seq": self.counts["seq"],
        }


@pytest.mark.slow
def test_counts_never_drift_and_events_tell_all(app: APIFlask, arrive: Any, ear: Any) -> None:
    class Inbox(RuleBasedStateMachine):
        keys = Bundle("keys")

        def __init__(self) -> None:
            super().__init__()
            self.user_id, self.other_id = new_id().hex, new_id().hex
            self.client = Client()
            arrive(self.other_id)
            ear.heard()

        @rule(target=keys, number=st.integers(1, 3), category=st.sampled_from(["social", "marketing"]))
        def items_arrive(self, number: int, category: str) -> Any:
            return multiple(*arrive(*[self.user_id] * number, category=category))

        @rule(
            mark=st.sampled_from([marks.seen, marks.read, marks.unread, marks.archive, marks.unarchive]),
            some=st.lists(keys, min_size=1, max_size=4),
        )
        def some_are_marked(self, mark: Any, some: list[UUID]) -> None:
            mark(self.user_id, Chosen(tuple(some)))

        @rule(
            mark=st.sampled_from([marks.seen, marks.read, marks.unread, marks.archive, marks.unarchive]),
            filter=st.sampled_from(["all", "unread", "archived", "snoozed"]),
            category=st.sampled_from([None, "social"]),
        )
        def all_in_view_are_marked(self, mark: Any, filter: str, category: str | None) -> None:
            mark(self.user_id, Chosen(None, filter, category))

        @rule(some=st.lists(keys, min_size=1, max_size=4), hours=st.sampled_from([None, -1, 1]))
        def some_are_snoozed(self, some: list[UUID], hours: int | None) -> None:
            marks.snooze(self.user_id, Chosen(tuple(some)), None if hours is None else now() + timedelta(hours=hours))

        @rule()
        def the_scheduler_passes_by(self) -> None:
            marks.wake_snoozed(now())

        @rule(some=keys)
        def somebody_else_tries(self, some: UUID) -> None:
            marks.archive(self.other_id, Chosen((some,)))

        @invariant()
        def all_agree(self) -> None:
            for user_id, event, payload in ear.heard():
                assert user_id == self.user_id
                self.client.hear(event, payload)
            db.session.rollback()
            stored = questions.counts(self.user_id)
            assert stored == self.client.counts == self.client.recount()
            rows = db.session.scalars(sa.select(InboxItem.id).where(InboxItem.user_id == self.user_id)).all()
            assert set(self.client.items) == {show("dlv", key) for key in rows}
            listed = questions.page(self.user_id, limit=200)
            assert listed["unread"] == sum(not item["read_at"] for item in listed["data"])
            assert listed["unseen"] == sum(not item["seen_at"] for item in listed["data"])
            for item in listed["data"]:
                assert item == self.client.items[item["id"]]

        def teardown(self) -> None:
            marks.snooze(
                self.user_id,
                Chosen(tuple(db.session.scalars(sa.select(InboxItem.id).where(InboxItem.user_id == self.user_id)))),
                None,
            )
            ear.heard()
            other = db.session.execute(
                sa.select(InboxState.unread, InboxState.unseen, InboxState.seq).where(
                    InboxState.user_id == self.other_id
                )
            ).one()
            assert tuple(other) == (1, 1, 1)

    run_state_machine_as_test(
        Inbox,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
