"""An opt-out holds from the moment "saved" is shown, whatever was on its way and whichever process sends it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.people import preferences, profiles
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Item
from tests.commands import Program
from tests.stored import deliveries
from tests.submitting import submission

WAITING = 300  # for each process
BEFORE, AFTER = 8, 25  # rounds of each process


class Sender:
    """One `tests.pipeline.delivery.sending`. `rounds` are those it has told of."""

    def __init__(self, environment: dict[str, str], waiting: list[str]) -> None:
        self.process = Program([], {**os.environ, **environment}, module="tests.pipeline.delivery.sending", talks=True)
        self.rounds: list[dict[str, Any]] = []
        self.process.say(json.dumps(waiting))

    def until(self, is_enough: Callable[[list[dict[str, Any]]], bool]) -> None:
        while not is_enough(self.rounds):
            line = self.process.stdout.readline()
            assert line, "the process has ended"
            if line.startswith("{"):  # the rest is the log
                self.rounds.append(json.loads(line))

    def end(self) -> None:
        self.rounds += [json.loads(line) for line in self.process.rest(30) if line.startswith("{")]
        assert self.process.returncode == 0


@pytest.fixture
def senders(app: APIFlask, environment: dict[str, str], caller: Any) -> Iterator[list[Sender]]:
    """Two, with as much waiting to be sent to Erin as they cannot have done when she opts out."""
    with transaction():
        profiles.upsert([InlineRecipient("erin", {"email": "erin@example.test"})])
    accept(
        [
            Item(caller, submission("erin", data={"order_id": f"A{number}"}, channels=("email",)))
            for number in range(2 * WAITING)
        ]
    )
    ids = [delivery.id.hex for delivery in deliveries()]
    started = [Sender(environment, ids[::2]), Sender(environment, ids[1::2])]
    yield started
    for sender in started:
        sender.process.kill()
        sender.process.wait()


@pytest.mark.slow
def test_nothing_that_begins_after_saved_was_shown_is_sent(senders: list[Sender]) -> None:
    for sender in senders:
        sender.until(lambda rounds: len(rounds) >= BEFORE)
    preferences.change("erin", {"channels": {"email": False, "inapp": False}}, replace=False, source="page")
    saved_at = time.monotonic()
    for sender in senders:
        sender.until(lambda rounds: sum(told["began_at"] > saved_at for told in rounds) >= AFTER)
        sender.end()
    told = [entry for sender in senders for entry in sender.rounds]
    before = [entry for entry in told if entry["began_at"] < saved_at]
    after = [entry for entry in told if entry["began_at"] > saved_at]
    # Both go on as long as they may
    assert all(entry["sent"] >= 3 and entry["shown"] == 1 for entry in before[: BEFORE - 1])
    assert {(entry["sent"], entry["shown"]) for entry in after} == {(0, 0)}
    # Planned before, and asked again
    assert sum(entry["opted_out"] for entry in after) == sum(entry["claimed"] for entry in after) >= 2 * AFTER
