"""Deletes what the sandbox has captured, as an operator decided. Retention deletes the old ones by itself."""

from uuid import UUID

import sqlalchemy as sa

from notifier.ground.database import prune, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import Capture
from notifier.queries.captures import KIND

MOST = 20_000  # deleted in one request: a second or two


def count() -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(Capture)) or 0


def newest() -> str | None:
    """The id of the newest capture."""
    found = db.session.scalar(sa.select(Capture.id).order_by(Capture.id.desc()).limit(1))
    return None if found is None else show(KIND, found)


def empty(last: UUID) -> tuple[int, int]:
    """Deletes those up to `last`, the oldest first: what has come since it was shown stays. → how many it has deleted,
    MOST at most, and how many of them are left.

    It is in the audit trail before the first one goes.
    """
    of_all = sa.select(Capture.id).where(Capture.id <= last)
    number = db.session.scalar(sa.select(sa.func.count()).select_from(of_all.subquery())) or 0
    edge = db.session.scalar(of_all.order_by(Capture.id).limit(1).offset(MOST - 1)) or last
    going = min(number, MOST)
    if not going:
        return 0, 0
    with transaction():
        audit.write("sandbox.emptied", "sandbox", before={"captures": going})
    return prune(Capture.__table__, Capture.id <= edge), number - going
