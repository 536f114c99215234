"""A user for the API, and their addresses."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.channels.addresses import FIELD_OF, PRIMARY
from notifier.core.errors import Rejected
from notifier.core.worlds import shown_id
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, Notification, User
from notifier.queries import webhook_targets

ADDRESS = "adr"


def must_exist(user_id: str) -> None:
    """Raises Rejected('not_found') if there is no such user."""
    if db.session.scalar(sa.select(User.id).where(User.id == user_id)) is None:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")


def profile(user_id: str) -> dict[str, Any]:
    """API.md, User. Raises Rejected('not_found')."""
    user = db.session.scalar(sa.select(User).where(User.id == user_id).execution_options(populate_existing=True))
    if user is None:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
    primary = db.session.execute(
        sa.select(Address.channel, Address.value).where(
            Address.user_id == user_id, Address.is_primary, Address.channel.in_(FIELD_OF)
        )
    )
    reached = {FIELD_OF[row.channel]: row.value for row in primary}
    return {
        "id": shown_id(user.id),
        "name": user.name,
        **{field: reached.get(field) for field in PRIMARY},
        "locale": user.locale,
        "time_zone": user.time_zone,
        "attributes": user.attributes,
        "home_region": user.home_region,
    }


def addresses(user_id: str, producer_id: UUID | None = None) -> list[dict[str, Any]]:
    """Every address, oldest first. `producer_id`: as `address_json`."""
    rows = db.session.scalars(
        sa.select(Address)
        .where(Address.user_id == user_id)
        .order_by(Address.id)
        .execution_options(populate_existing=True)
    )
    return [address_json(row, producer_id) for row in rows]


def address_json(row: Address, producer_id: UUID | None = None) -> dict[str, Any]:
    """API.md, Address, without its secret. `producer_id`: whose list of webhook targets counts beside the
    installation's.
    """
    return {
        "id": show(ADDRESS, row.id),
        "channel": row.channel,
        "value": row.value,
        "label": row.label,
        "platform": row.platform,
        "app": row.app,
        "primary": row.is_primary,
        "verified_at": shapes.timestamp(row.verified_at),
        "confirmed_at": shapes.timestamp(row.confirmed_at),
        "disabled_at": shapes.timestamp(row.disabled_at),
        "disabled_reason": row.disabled_reason,
        "left_out_by": webhook_targets.left_out_by(row.channel, row.value, producer_id),
    }


def sent_to(user_id: str) -> int:
    """How many notifications there have been for them: the number that stays when they are erased."""
    return (
        db.session.scalar(sa.select(sa.func.count()).select_from(Notification).where(Notification.user_id == user_id))
        or 0
    )


def masked_address(user_id: str) -> str | None:
    """Their e-mail address, else their phone, as it may be shown to somebody who came by a link."""
    primary = (Address.user_id == user_id, Address.is_primary, Address.channel.in_(FIELD_OF))
    return db.session.scalar(sa.select(Address.masked).where(*primary).order_by(Address.channel).limit(1))
