"""Acting for a producer in the console: what a key without scopes may do, and the audit trail names the person."""

from uuid import UUID

from flask_login import current_user

from notifier.pipeline.intake.item import Caller


def on_behalf_of(producer_id: UUID) -> Caller:
    return Caller.of_key(producer_id, (), None, is_test=False, request_id="console", label=current_user.email)
