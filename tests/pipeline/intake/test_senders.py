"""Two processes that submit the same at the same time: one of them says it, and neither gets past a cap."""

import json
import os
from typing import Any

import pytest

from notifier.models import InboxItem
from notifier.pipeline.intake.item import Caller
from tests.commands import Program
from tests.pipeline.intake.sender import ROUNDS
from tests.stored import rows

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_what_two_processes_submit_at_once_is_said_once_and_counted_once(
    environment: dict[str, str], cast: dict[str, str], caller: Caller
) -> None:
    env = {"PATH": os.environ["PATH"], **environment, "CAPS": "social none, marketing 5/hour"}
    senders = [
        Program([str(caller.producer_id)], env, module="tests.pipeline.intake.sender", talks=True) for _ in range(2)
    ]
    for sender in senders:
        assert any(line == "ready\n" for line in sender.stdout)
    for sender in senders:
        sender.say("now")
    lines: list[dict[str, Any]] = [
        json.loads(line) for sender in senders for line in sender.rest(60) if line.startswith("{")
    ]
    assert [sender.returncode for sender in senders] == [0, 0]

    for number in range(ROUNDS):
        said = [line for line in lines if line["user"] == "alice" and line["round"] == number]
        [first] = [line["id"] for line in said if line["reason"] is None]
        assert [line["detail"] for line in said if line["reason"] == "duplicate"] == [{"duplicate_of": first}]
    offers = [line["reason"] for line in lines if line["user"] == "bob"]
    assert (offers.count(None), offers.count("frequency_cap")) == (5, 2 * ROUNDS - 5)
    assert len(rows(InboxItem)) == ROUNDS + 5
