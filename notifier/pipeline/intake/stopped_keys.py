"""Why what somebody has begun is not to go on: its producer was switched off, or its key revoked.

Called by `expand` for lists of recipients, and by whoever begins, resumes, or watches broadcasts and schedules.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.models import ApiKey, Broadcast, Producer

SWITCHED_OFF = "its producer is switched off"
KEY_REVOKED = "its key was revoked"


def is_switched_off() -> "sa.ColumnElement[bool]":
    return Producer.disabled_at.is_not(None)


def is_key_revoked() -> "sa.ColumnElement[bool]":
    """That began it, or has resumed it. One that has expired, as after a rotation, began it while it could: what was
    accepted is finished. (A run of a schedule is begun anew, and takes a key that is valid then.)
    """
    return ApiKey.revoked_at.is_not(None)


def with_its_key(chosen: "sa.Select[*tuple[Any, ...]]") -> "sa.Select[*tuple[Any, ...]]":
    return chosen.outerjoin(Producer, Producer.id == Broadcast.producer_id).outerjoin(
        ApiKey, ApiKey.id == Broadcast.key_id
    )


def why_stopped(broadcast_id: UUID) -> str | None:
    """Whoever switches its producer off, or revokes its key, wants to hear no more of it."""
    asked = with_its_key(sa.select(is_switched_off(), is_key_revoked()).select_from(Broadcast))
    return _reason(*db.session.execute(asked.where(Broadcast.id == broadcast_id)).one())


def why_list_stopped(producer_id: UUID | None, key_id: UUID | None) -> str | None:
    """The same for a list of recipients, in the name of that key."""
    is_off = sa.exists().where(Producer.id == producer_id, is_switched_off())
    is_revoked = sa.exists().where(ApiKey.id == key_id, is_key_revoked())
    return _reason(*db.session.execute(sa.select(is_off, is_revoked)).one())


def _reason(is_off: bool, is_revoked: bool) -> str | None:
    return SWITCHED_OFF if is_off else KEY_REVOKED if is_revoked else None
