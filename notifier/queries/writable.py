"""Whether the database can be written to: a full disk, a read-only file, a standby.

`/readyz` asks this, and nothing is written for the answer. Only after a transaction of this process was refused does it
try, now and then, whether writing works again. A small write may succeed where the next message does not fit, so each
further refusal counts for the same time again.
"""

import os
import shutil
import time

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from notifier.ground.database import WRITE_REFUSED, insert, transaction
from notifier.ground.engines import sqlite_file
from notifier.ground.extensions import db
from notifier.models import Revision

LEAST_ROOM = 8 * 1024 * 1024  # SQLite's log may grow by a few MiB before it is taken in
TRY_EVERY_S = 2.0
_NAME = "write_tried"  # the row that is written

_CANNOT = sa.text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'")


def is_writable() -> bool:
    """Raises SQLAlchemyError when the database is away."""
    if not _looks_writable():
        return False
    return WRITE_REFUSED not in current_app.extensions or _works_again()


def _looks_writable() -> bool:
    database = sqlite_file(str(current_app.config["SQLALCHEMY_DATABASE_URI"]))
    if database is not None:
        may_write = all(os.access(path, os.W_OK) for path in (database, database.parent))
        return may_write and shutil.disk_usage(database.parent).free >= LEAST_ROOM
    if db.engine.dialect.name != "postgresql":
        return True
    cannot = bool(db.session.scalar(_CANNOT))
    db.session.close()
    return not cannot


def _works_again() -> bool:
    state = current_app.extensions
    if time.monotonic() < state[WRITE_REFUSED] + TRY_EVERY_S:
        return False
    state[WRITE_REFUSED] = time.monotonic()  # one caller tries
    row = insert(Revision.__table__).values(name=_NAME, number=1)
    try:
        with transaction() as session:
            session.execute(row.on_conflict_do_update(index_elements=["name"], set_={"number": Revision.number + 1}))
    except SQLAlchemyError:
        return False
    state.pop(WRITE_REFUSED, None)
    return True
