"""A process that submits, claims and sends without pause, and says what it did. `test_opt_out` runs two of them.

First line in: a JSON list of delivery ids that wait to be sent. It ends when its input does. Each line out is a round:
`{"began_at": …, "sent": 2, "opted_out": 0, "claimed": 2, "shown": 1}`, on the clock that all processes of a machine
share.
"""

import json
import select
import sys
import time
from typing import Any
from uuid import UUID

from sqlalchemy import select as select_rows

from notifier.access import keys
from notifier.app import create_app
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Delivery
from notifier.pipeline.delivery.deliver import begin, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item

BATCH = 2


def submitted(caller: Caller) -> list[dict[str, Any]]:
    """The deliveries of a new notification to Erin."""
    [answer] = accept(
        [
            Item(
                caller,
                Submission(
                    "order_shipped", (InlineRecipient("erin"),), {"order_id": new_id().hex}, channels=("email", "inapp")
                ),
            )
        ]
    )
    assert isinstance(answer, Accepted), answer
    return [delivery for notification in answer.answer["notifications"] for delivery in notification["deliveries"]]


def a_round(caller: Caller, waiting: list[UUID]) -> dict[str, Any]:
    began_at = time.monotonic()
    fresh = submitted(caller)
    ids = [waiting.pop() for _ in range(min(BATCH, len(waiting)))]
    ids += [UUID(hex=delivery["id"].removeprefix("dlv_")) for delivery in fresh if delivery["status"] == "queued"]
    tasks, _ = begin(ids)
    for task in tasks:
        send(task)
    if tasks:
        record(tasks)
    skipped = db.session.scalars(
        select_rows(Delivery.reason).where(Delivery.id.in_(ids), Delivery.status == "skipped")
    ).all()
    db.session.close()
    shown = sum(delivery["channel"] == "inapp" and delivery["status"] == "delivered" for delivery in fresh)
    return {
        "began_at": began_at,
        "sent": len(tasks),
        "opted_out": skipped.count("opted_out"),
        "claimed": len(ids),
        "shown": shown,
    }


def main() -> None:
    waiting = [UUID(hex=text) for text in json.loads(sys.stdin.readline())]
    with create_app().app_context():
        caller = Caller(
            keys.create_producer("Shop").id, is_test=False, may_be_urgent=False, types=None, request_id="race"
        )
        while not select.select([sys.stdin], [], [], 0)[0]:
            print(json.dumps(a_round(caller, waiting)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
