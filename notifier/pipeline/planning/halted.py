"""Which broadcasts are not to go on: asked before anything of them goes out, in the transaction that would let it out.
Once a pause or cancellation is committed nothing more goes out, but for sends already in flight.

Called by `delivery.claim`, `delivery.outages`, `upkeep.due` and `upkeep.digest_issues`.
"""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa

from notifier.core.broadcasts import CANCELLED, PAUSED
from notifier.ground.extensions import db
from notifier.models import Broadcast


def halted(broadcast_ids: Iterable[UUID | None]) -> dict[UUID | None, str]:
    """Those of these that are paused or cancelled, and which of both. One query, none without any."""
    wanted = {key for key in broadcast_ids if key is not None}
    if not wanted:
        return {}
    status = sa.select(Broadcast.id, Broadcast.status).where(Broadcast.id.in_(wanted))
    rows = db.session.execute(status.where(Broadcast.status.in_((PAUSED, CANCELLED))))
    return {row.id: row.status for row in rows}
