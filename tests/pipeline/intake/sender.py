"""A process of its own that submits: run by `test_senders.py`, says when it is ready, begins at a line of input, prints
what became of each notification.
"""

import json
import sys
from uuid import UUID

from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from tests.submitting import submission

ROUNDS = 12


def main(producer_id: str) -> None:
    caller = Caller(UUID(producer_id), is_test=False, may_be_urgent=False, types=None, request_id="sender")
    with create_app(Settings.from_env()).app_context():
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        for number in range(ROUNDS):
            said = submission(
                "alice", type="comment", data={"actor": f"actor {number}"}, channels=("inapp",), dedupe=True
            )
            counted = submission(
                "bob", type="promotional_offer", data={"title": f"{number}"}, channels=("inapp",), dedupe=False
            )
            for answer in accept([Item(caller, said), Item(caller, counted)]):
                assert isinstance(answer, Accepted), answer
                [notification] = answer.answer["notifications"]
                [delivery] = notification["deliveries"]
                line = {
                    "round": number,
                    "user": notification["user"],
                    "id": notification["id"],
                    "reason": delivery["reason"],
                    "detail": delivery["detail"],
                }
                print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
