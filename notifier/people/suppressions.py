"""Suppressions: what holds messages back from an address, whoever gives it.

Called by the console, where an operator lifts one after hearing that an address can be reached again; by the
unsubscribe link of an address that is stored with no person; and wherever an address is shown to be reached again.
"""

from collections.abc import Collection, Iterable
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Address, Suppression

UNSUBSCRIBED = "unsubscribed"
BOUNCED = "*"  # the scope of a suppression that holds for everything


def unsubscribe(digest: bytes, channel: str, category: str) -> None:
    """No message of that category goes to that address any more, whichever producer gives it. Its owner undoes this by
    confirming the address in Notifier.
    """
    row = {"digest": digest, "scope": category, "channel": channel, "reason": UNSUBSCRIBED, "created_at": now()}
    with transaction() as session:
        session.execute(insert(Suppression).values(**row).on_conflict_do_nothing())


def bounced_among(digests: Collection[bytes]) -> set[bytes]:
    """Those of these addresses that have bounced, for any person."""
    held = sa.select(Suppression.digest).where(Suppression.digest.in_(digests), Suppression.scope == BOUNCED)
    return {bytes(digest) for digest in db.session.scalars(held)}


def forget_bounces(digests: Iterable[bytes]) -> None:
    """Forgets the bounces of addresses that are given again on purpose, or were reached again. Complaints are kept by
    category, and stay.
    """
    db.session.execute(
        sa.delete(Suppression).where(Suppression.digest.in_(sorted(digests)), Suppression.scope == BOUNCED)
    )


def lift(user_id: str, address_id: UUID) -> bool:
    """Forgets what the address bounced with, and switches it on again. False: there was nothing to lift. Raises
    Rejected('not_found').

    A suppression of a single category is somebody's complaint, and stays: only they can take it back.
    """
    with transaction() as session:
        address = session.scalar(
            sa.select(Address).where(Address.id == address_id, Address.user_id == user_id).with_for_update()
        )
        if address is None:
            raise Rejected("not_found", "there is no such address any more")
        held = (
            sa.delete(Suppression)
            .where(Suppression.digest == address.digest, Suppression.scope == BOUNCED)
            .returning(Suppression.reason)
        )
        reason = session.scalar(held)
        if reason is None and address.disabled_at is None:
            return False
        before = {"reason": reason or address.disabled_reason}
        address.disabled_at = address.disabled_reason = None
        audit.write("suppression.lifted", f"{user_id} {address.channel} {address.masked}", before=before)
    return True
