"""Submits the product's own messages; from here on they are treated like everybody's.

Called for alarms, address codes, sign-in links, invitations, provider tests and template tests.
"""

from dataclasses import replace

from notifier.core.submission import Submission
from notifier.ledgers import audit
from notifier.pipeline.intake.accept import accept_one
from notifier.pipeline.intake.item import Accepted, Caller, Item

_CALLER = Caller(
    producer_id=None, is_test=False, may_be_urgent=True, types=None, request_id="notifier", is_internal=True
)


def submit(submission: Submission, *, is_test: bool = False, noted: audit.Entry | None = None) -> Accepted:
    """Submits one, as for any producer. `is_test`: the sandbox keeps it. `noted`: see `Item`. Raises Rejected, and the
    database's errors.
    """
    return accept_one(Item(replace(_CALLER, is_test=is_test), submission, noted))
