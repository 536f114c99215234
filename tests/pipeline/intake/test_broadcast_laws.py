"""Whatever happens to a broadcast, in whatever order, its counts are what a full count finds after every step."""

import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.core.broadcasts import CANCELLED, FINISHED
from notifier.core.errors import Rejected
from notifier.core.lifecycle import OPEN
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.inbox import marks
from notifier.ledgers.broadcast_counts import AddingUp
from notifier.models import Delivery, Digest, Notification
from notifier.operations import broadcast_retries
from notifier.people import preferences, profiles
from notifier.pipeline.delivery import kept_receipts
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.delivery.outages import Outages
from notifier.pipeline.intake import broadcasts, chunks
from notifier.pipeline.intake.broadcasts import Draft
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import broadcasts as watching
from notifier.pipeline.upkeep import due, lapsed, summaries
from notifier.queries.broadcasts import one
from notifier.queries.notifications import Sight
from tests.stored import rows

# Each an address of the sandbox that behaves in its own way, and somebody without one
WORDS = ("delivered", "rejected", "soft-fail", "dead", "timeout", "flaky-2", "bounced", "opened", "late", None)


class Walk:
    """A broadcast to ten people, and what may happen to it."""

    def __init__(self, caller: Caller, routing: str) -> None:
        prefix = new_id().hex
        self.people = [f"{prefix}-{number}" for number in range(len(WORDS))]
        with transaction():
            profiles.upsert(
                InlineRecipient(
                    user_id, {"phone": "+4915112345678", **({"email": f"{word}@sandbox.test"} if word else {})}
                )
                for user_id, word in zip(self.people, WORDS, strict=True)
            )
        preferences.change(self.people[0], {"digest": {"marketing": "daily"}}, replace=False, source="test")
        for user_id in self.people[1:8]:
            preferences.change(user_id, {"channels": {"sms": True}}, replace=False, source="test")
        channels = ("email", "sms") if routing == "first" else ("inapp", "email", "sms")
        said = Submission("promotional_offer", (), {"title": "T"}, channels, routing=routing, dedupe=False)
        self.key = broadcasts.create(caller, Draft("Walk", said, {"users": self.people})).broadcast_id

    def expand_some(self) -> None:
        if chunk := chunks.next_chunk(self.key):
            chunks.store_chunk(chunk)

    def send_all(self) -> None:
        deliver(self._ids("queued"))

    def send_one(self) -> None:
        deliver(self._ids("queued")[:1])

    def die_sending(self) -> None:
        claim(self._ids("queued")[:2])
        self._wake("sending")
        lapsed.free_lapsed()

    def let_time_pass(self) -> None:
        self._wake("waiting")
        due.ring_due()

    def hear_from_providers(self) -> None:
        with time_machine.travel(now() + timedelta(minutes=1), tick=False):
            kept_receipts.apply_due()

    def read(self) -> None:
        for user_id in self.people[2:5]:
            marks.read(user_id, marks.Chosen())

    def erase_somebody(self) -> None:
        profiles.erase(self.people[5])

    def close_digests(self) -> None:
        with transaction() as session:
            session.execute(sa.update(Digest).values(due_at=now() - timedelta(minutes=10)))
        summaries.close_due()

    def opt_out(self) -> None:
        preferences.change(self.people[0], {"channels": {"email": False}}, replace=False, source="test")

    def pause(self) -> None:
        broadcasts.pause(self.key)

    def resume(self) -> None:
        broadcasts.resume(self.key)
        Outages().let_out()

    def cancel(self) -> None:
        broadcasts.cancel(self.key)

    def look_after(self) -> None:
        watching.cancel_rest()
        watching.watch()
        AddingUp().add_up()

    def retry_failed(self) -> None:
        broadcast_retries.begin(self.key)
        broadcast_retries.work()

    def expire(self) -> None:
        with transaction() as session:
            mine = sa.update(Delivery).where(Delivery.broadcast_id == self.key, Delivery.status == "waiting")
            session.execute(mine.values(expires_at=now()))

    def check(self) -> None:
        db.session.close()
        shown = one(self.key, Sight())
        mine = rows(Delivery, broadcast_id=self.key)
        found: dict[str, Counter[str]] = {}
        for delivery in mine:
            found.setdefault(delivery.channel, Counter())[delivery.status] += 1
        counts = shown["counts"]
        assert {name: +Counter(by_status) for name, by_status in counts["channels"].items()} == found
        assert counts["skipped"] == Counter(delivery.reason for delivery in mine if delivery.status == "skipped")
        people = Counter(row.user_id for row in rows(Notification, submission_id=self.key))
        assert counts["notifications"] == shown["expanded"] == len(people) == people.total()
        if shown["status"] == FINISHED or (shown["status"] == CANCELLED and shown["finished_at"]):
            assert not [delivery for delivery in mine if delivery.status in OPEN]

    def _ids(self, status: str) -> list[UUID]:
        return [row.id for row in rows(Delivery, broadcast_id=self.key, status=status)]

    def _wake(self, status: str) -> None:
        with transaction() as session:
            mine = sa.update(Delivery).where(Delivery.broadcast_id == self.key, Delivery.status == status)
            session.execute(mine.where(Delivery.wake_at.is_not(None)).values(wake_at=now() - timedelta(seconds=1)))


STEPS: list[Callable[[Walk], Any]] = [
    *(Walk.expand_some, Walk.send_all, Walk.send_one, Walk.die_sending, Walk.let_time_pass, Walk.retry_failed),
    *(Walk.hear_from_providers, Walk.read, Walk.erase_somebody, Walk.close_digests, Walk.opt_out, Walk.pause),
    *(Walk.resume, Walk.look_after, Walk.expire, Walk.cancel),
]
# What a broadcast goes through that is left alone, in between
USUAL = (Walk.expand_some, Walk.send_all, Walk.let_time_pass, Walk.send_all, Walk.look_after)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 4)


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("routing", ["all", "first"])
@settings(max_examples=12)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=4, max_size=16))
def test_the_counts_add_up_after_every_step(
    app: APIFlask, caller: Caller, routing: str, steps: list[Callable[[Walk], Any]]
) -> None:
    walk = Walk(caller, routing)
    for place, step in enumerate(steps):
        for taken in (USUAL[place % len(USUAL)], step):
            with contextlib.suppress(Rejected):  # what makes no sense any more
                taken(walk)
            walk.check()
