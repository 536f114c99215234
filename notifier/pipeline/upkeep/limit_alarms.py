"""Tells every admin that a limit has stopped messages of a producer, once a day each."""

import sqlalchemy as sa
import structlog

from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import shapes
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import LimitStop, Producer
from notifier.pipeline.intake import own

TYPE = "limit_reached"
BATCH = 50
_ITSELF = "Notifier"

log = structlog.get_logger()


def tell() -> int:
    """→ how many stops were told of. A scheduler that dies in between tells of one again."""
    untold = (
        sa.select(LimitStop.id, LimitStop.policy, LimitStop.subject, LimitStop.at, LimitStop.producer_id, Producer.name)
        .join(Producer, Producer.id == LimitStop.producer_id, isouter=True)
        .where(LimitStop.told_at.is_(None))
        .order_by(LimitStop.at, LimitStop.id)
        .limit(BATCH)
    )
    rows = db.session.execute(untold).all()
    db.session.close()
    for row in rows:
        shown = show("prd", row.producer_id)
        page = ("admin", "producers", shown, "limits") if row.name else ("admin", "notifications")
        data = {
            "limit": row.policy,
            "producer": row.name or _ITSELF,
            "since": shapes.timestamp(row.at),
            "url": current_settings().link(*page),
            **({"block": row.subject} if row.subject else {}),
        }
        try:
            own.submit(Submission(TYPE, (InlineRecipient("admins"),), data))
        except Rejected as error:  # by a schema that somebody has changed, say: the others are told of
            log.warning("limits.not_told", limit=row.policy, producer=shown, code=error.code)
        with transaction() as session:
            session.execute(sa.update(LimitStop.__table__).where(LimitStop.id == row.id).values(told_at=now()))
    return len(rows)
