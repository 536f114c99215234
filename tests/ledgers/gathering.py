"""A process that has twenty events for Fred and begins when told to: `python -m tests.ledgers.gathering NAME`."""

import os
import sys

from notifier.app import create_app
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.config import Settings
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Caller, Item


def main(name: str) -> None:
    with create_app(Settings.from_env(os.environ)).app_context():
        caller = Caller(None, is_test=False, may_be_urgent=False, types=None, request_id=name)
        items = [
            Item(caller, Submission("like", (InlineRecipient("fred"),), {"actor": f"{name}-{n}"}, channels=("inapp",)))
            for n in range(20)
        ]
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        for item in items:
            print(type(accept([item])[0]).__name__)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
