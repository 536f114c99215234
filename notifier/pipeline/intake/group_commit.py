"""Accepts submissions that arrive at the same time in one transaction (`ground.group_commit`). Called by the API."""

from flask import current_app

from notifier.ground.group_commit import GroupCommit
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Item

_MOST_RECIPIENTS = 2_000


class Submissions(GroupCommit[Item, Accepted]):
    """One per application: `current_app.extensions["group_commit"]`."""

    def __init__(self) -> None:
        super().__init__(
            "submissions", accept, weigh=lambda item: len(item.submission.recipients), most=_MOST_RECIPIENTS
        )


def submit(item: Item) -> Accepted:
    """Through the current app's group. Raises the item's `Rejected`, or whatever made the whole batch fail."""
    group: Submissions = current_app.extensions.setdefault("group_commit", Submissions())
    return group.submit(item)
