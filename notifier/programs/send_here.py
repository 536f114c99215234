"""`send` to the own installation: whoever may run commands on it needs no key. Sends as the producer "Command line"."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy import select

from notifier.access import keys
from notifier.api import errors
from notifier.api.schemas.submissions import SubmissionIn
from notifier.api.submitting import idempotency
from notifier.cells import sharing
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import logs, schema
from notifier.ground.config import Settings
from notifier.ground.extensions import db
from notifier.models import Producer
from notifier.pipeline.intake.idempotency_keys import IN_PROGRESS
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.programs.cli import inside
from notifier.programs.send import Refused

_PRODUCER = "Command line"
_SCOPES = ("notify", "users", "urgent")


def accepted(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """→ the answer that the API would give, and the installation's URL. Raises Refused, BadSettings and NotReady."""
    settings = Settings.from_env()
    logs.configure(as_json=settings.is_production, level="warning")  # what it does, it prints itself
    try:
        read = SubmissionIn.model_validate(body)
    except ValidationError as error:
        raise _refused(errors.from_validation(error)) from None
    people = tuple(InlineRecipient(one.id, one.changes()) for one in read.recipients)
    submission = read.canonical(people, idempotency(body, None, read.idempotency_key))
    try:
        answer = _accepted(settings, submission)
    except schema.DatabaseAway as error:
        raise Refused(str(error).rstrip("."), is_temporary=True) from None
    if isinstance(answer, Rejected):
        raise _refused(answer)
    return answer.answer, settings.public_url


def _accepted(settings: Settings, submission: Submission) -> Accepted | Rejected:
    with inside(settings):
        producer = db.session.scalar(select(Producer).where(Producer.name == _PRODUCER).order_by(Producer.id).limit(1))
        if producer and producer.disabled_at:
            raise Refused(f"the producer {_PRODUCER!r} is switched off; an admin can change that at /admin/producers")
        caller = Caller.of_key(
            producer.id if producer else keys.create_producer(_PRODUCER).id,
            _SCOPES,
            None,
            is_test=False,
            request_id="command-line",
            label=_PRODUCER,
        )
        db.session.close()
        [answer] = sharing.accept([Item(caller, submission)])
    return answer


def _refused(error: Rejected) -> Refused:
    faults = [(fault.pointer, fault.code, fault.message) for fault in error.faults]
    return Refused(error.detail, faults, is_temporary=error.code == IN_PROGRESS)
