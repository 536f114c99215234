"""The functions that RQ jobs name. One app per process, made on first use, so that a stock `rq worker` can run them."""

import functools

from flask import Flask
from rq import get_current_job

from notifier.app import create_app
from notifier.ids import parse
from notifier.pipeline import deliver as delivering
from notifier.pipeline import expand as expanding


class DeadLetter(Exception):
    """A delivery that ended without success. Raised so that its job stands in RQ's FailedJobRegistry."""


@functools.cache
def app() -> Flask:
    return create_app()


def deliver(delivery_id: str) -> None:
    job = get_current_job()
    if job is not None and job.ended_at is not None:
        return  # it failed already: a second doorbell from before that. RQ's requeue would have cleared the time.
    with app().app_context():
        for outcome in delivering.deliver([parse("dlv", delivery_id)]):
            if outcome.is_dead:
                raise DeadLetter(outcome.explanation)


def expand(submission_id: str) -> None:
    with app().app_context():
        expanding.expand(parse("sub", submission_id))
