"""Suppressions at people's request: an operator lifts one after hearing that an address can be reached again, and the
reader of a message unsubscribes an address that is stored with no person. Called by the console and the unsubscribe
link.
"""

from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ledgers import audit
from notifier.models import Address, Suppression

UNSUBSCRIBED = "unsubscribed"


def unsubscribe(digest: bytes, channel: str, category: str) -> None:
    """No message of that category goes to that address any more, whichever producer gives it. Its owner undoes this by
    confirming the address in Notifier.
    """
    row = {"digest": digest, "scope": category, "channel": channel, "reason": UNSUBSCRIBED, "created_at": now()}
    with transaction() as session:
        session.execute(insert(Suppression).values(**row).on_conflict_do_nothing())


def lift(user_id: str, address_id: UUID) -> bool:
    """Forgets what the address bounced with, and switches it on again. False: there was nothing to lift. Raises
    Rejected('not_found').

    What holds a single category is somebody's complaint, and stays: only they can take it back.
    """
    with transaction() as session:
        address = session.scalar(
            sa.select(Address).where(Address.id == address_id, Address.user_id == user_id).with_for_update()
        )
        if address is None:
            raise Rejected("not_found", "there is no such address any more")
        held = (
            sa.delete(Suppression)
            .where(Suppression.digest == address.digest, Suppression.scope == "*")
            .returning(Suppression.reason)
        )
        reason = session.scalar(held)
        if reason is None and address.disabled_at is None:
            return False
        before = {"reason": reason or address.disabled_reason}
        address.disabled_at = address.disabled_reason = None
        audit.write("suppression.lifted", f"{user_id} {address.channel} {address.masked}", before=before)
    return True
