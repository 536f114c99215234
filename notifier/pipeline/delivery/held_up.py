"""What is claimed and cannot go on now, by an outage or a fault of ours.

Were an error to escape, nobody could tell later that none of it had gone out. So it gets an obstacle (`Task.obstacle`)
instead of a send, and is tried again as after any failure.
"""

import structlog

from notifier.core.errors import Retryable
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db

log = structlog.get_logger()


def obstacle(error: Exception, why: str, deliveries: int) -> Retryable:
    """For so many deliveries. Logs it, and ends what was begun in the database."""
    is_away = isinstance(error, UNAVAILABLE)
    log.warning("delivery.held_up", why=why, deliveries=deliveries, error=type(error).__name__, exc_info=not is_away)
    db.session.close()
    return Retryable(why, code="internal_error")
