"""When each producer's key was last used, to the minute.

`api.auth` calls it for every request; it writes once a minute per key. The first request of a minute writes, together
with other keys' requests that arrive during that write, so most requests write nothing and none waits for another's.
The time is for people to look at: a failed write is logged and does no harm.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import ApiKey

_MOST_REMEMBERED = 10_000

_table: sa.Table = ApiKey.__table__
_KEY: sa.BindParameter[UUID] = sa.bindparam("key")
_AT = sa.bindparam("at", type_=_table.c.last_used_at.type)
_WRITE = (
    sa.update(_table)
    .where(_table.c.id == _KEY, sa.or_(_table.c.last_used_at.is_(None), _table.c.last_used_at < _AT))
    .values(last_used_at=_AT)
)

log = structlog.get_logger()


@dataclass(slots=True)
class _Uses:
    """Of one process: the minute noted for each key, and the times still to be written. The writing thread holds
    `writing`.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: threading.Lock = field(default_factory=threading.Lock)
    noted: dict[UUID, datetime] = field(default_factory=dict)
    waiting: dict[UUID, datetime] = field(default_factory=dict)

    def add(self, key_id: UUID, minute: datetime) -> None:
        with self.lock:
            if len(self.noted) >= _MOST_REMEMBERED:
                self.noted.clear()
            self.noted[key_id] = self.waiting[key_id] = minute

    def take(self) -> Mapping[UUID, datetime]:
        with self.lock:
            taken, self.waiting = self.waiting, {}
        return taken


def note(key_id: UUID) -> None:
    uses: _Uses = current_app.extensions.setdefault("key_uses", _Uses())
    minute = now().replace(second=0, microsecond=0)
    if uses.noted.get(key_id) == minute:
        return
    uses.add(key_id, minute)
    # Checked again after each release, so that no time is left unwritten
    while uses.waiting and uses.writing.acquire(blocking=False):
        try:
            _write(uses.take())
        finally:
            uses.writing.release()


def _write(uses: Mapping[UUID, datetime]) -> None:
    if not uses:
        return
    rows = [{"key": key_id, "at": at} for key_id, at in sorted(uses.items())]  # two processes lock in one order
    try:
        with transaction() as session:
            session.connection().execute(_WRITE, rows)
    except SQLAlchemyError as error:
        log.warning("key_use.not_written", keys=len(rows), error=type(error).__name__)
