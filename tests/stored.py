"""What the database holds, and what it was asked: short ways to look, for tests."""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from apiflask import APIFlask
from flask import current_app

from notifier.core.submission import InlineRecipient
from notifier.ground import partitions
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id
from notifier.models import Delivery, Event, Notification, Submission
from notifier.people import profiles


class _Ageless(dict[str, Any]):
    """The memory of `ground.kept`, in which everything was read at the end of time."""

    def setdefault(self, kind: str, _: Any = None) -> Any:
        return super().setdefault(kind, _AgelessKind())


class _AgelessKind(dict[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:
        return (math.inf, self[key][1]) if key in self else default


@contextlib.contextmanager
def lasting_memory(app: APIFlask) -> Iterator[None]:
    """What this process remembers for some seconds lasts: how many statements are sent must not depend on the machine's
    speed.
    """
    remembered = app.extensions
    remembered["kept"] = _Ageless({kind: _AgelessKind(known) for kind, known in remembered.get("kept", {}).items()})
    ages = {
        name: remembered[name].at for name in ("providers", "limited_types", "producer_limits") if name in remembered
    }
    for name in ages:
        remembered[name].at = math.inf
    looks = [(look, look.due_at) for look in remembered.get("looks", ())]
    for look, _ in looks:
        look.due_at = math.inf
    try:
        yield
    finally:
        for look, due_at in looks:
            look.due_at = due_at
        for name, at in ages.items():
            remembered[name].at = at
        at = time.monotonic()
        remembered["kept"] = {
            kind: {key: (at, value) for key, (_, value) in known.items()} for kind, known in remembered["kept"].items()
        }


@contextlib.contextmanager
def sent_statements() -> Iterator[list[str]]:
    """The texts of all that reaches the database inside, in an app's context."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        with lasting_memory(current_app):
            yield sent
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)


def deliveries(**columns: Any) -> list[Delivery]:
    """The deliveries stored, read anew, in the order of their making."""
    return rows(Delivery, **columns)


def rows(model: Any, **columns: Any) -> list[Any]:
    """All rows of a table as they are now, oldest first."""
    db.session.close()  # a transaction left open would show an older state
    found = list(db.session.scalars(sa.select(model).filter_by(**columns).order_by(*sa.inspect(model).primary_key)))
    db.session.close()
    return found


@contextlib.contextmanager
def same_partitions() -> Iterator[None]:
    """Afterwards PostgreSQL has the partitions that it had, and events are numbered on from where they were: no
    transaction takes back that the numbers of a partition were skipped.
    """
    if db.engine.dialect.name != "postgresql":
        yield
        return
    before, position = _partitions(), partitions.last_position(Event.__table__.c.id)
    yield
    db.session.rollback()
    after = _partitions()
    with transaction() as session:
        numbers = {"last": max(position, 1), "is_given": position > 0}
        session.execute(sa.text("SELECT setval('event_id_seq', :last, :is_given)"), numbers)
        for name in after.keys() - before.keys():
            session.execute(sa.text(f"DROP TABLE {name}"))
        for name in before.keys() - after.keys():
            session.execute(sa.text(f"CREATE TABLE {name} PARTITION OF {before[name]}"))


def _partitions() -> dict[str, str]:
    """Name → the table and the bounds."""
    found = sa.text(
        "SELECT relname, concat(inhparent::regclass, ' ', pg_get_expr(relpartbound, pg_class.oid)) FROM pg_inherits "
        "JOIN pg_class ON pg_class.oid = inhrelid WHERE relkind = 'r'"
    )
    return {row[0]: row[1] for row in db.session.execute(found)}


@contextlib.contextmanager
def missing(table: str) -> Iterator[None]:
    """Without this table, inside. It is renamed there and back by one connection: another one of SQLite's may think
    that it is still there.
    """
    with db.engine.connect() as connection:

        def rename(before: str, after: str) -> None:
            connection.execute(sa.text(f'ALTER TABLE "{before}" RENAME TO "{after}"'))
            connection.commit()

        rename(table, "elsewhere")
        try:
            yield
        finally:
            rename("elsewhere", table)


def start_anew() -> None:
    """For a test that stores much and asks how PostgreSQL goes about it, before anything is submitted. A connection
    goes on checking foreign keys as was best when the tables were as good as empty, which reads them from end to end
    for every row; and rows that fill the places of those of earlier tests lie in no order, so that indexes look dear.
    """
    db.session.remove()
    db.engine.dispose()
    if db.engine.dialect.name == "postgresql":
        with transaction() as session:
            session.execute(sa.text("TRUNCATE submission, tally, receipt, broadcast_tally CASCADE"))


def row_counts() -> dict[str, int]:
    """Of every table."""
    counts = " UNION ALL ".join(
        f"SELECT '{table.name}', count(*) FROM \"{table.name}\"" for table in db.metadata.sorted_tables
    )
    found = {row[0]: row[1] for row in db.session.execute(sa.text(counts))}
    db.session.rollback()
    return found


def traces() -> list[bytes]:
    """Whatever Redis holds, but for what it keeps of people only to be quick."""
    return sorted(key for key in redis_store.client.scan_iter() if not key.startswith(b"notifier:person"))


def store_newsletter() -> UUID:
    """A notification of Erin's to which any number of deliveries may belong. → its id."""
    submission, notification = new_id(), new_id()
    with transaction() as session:
        profiles.upsert([InlineRecipient("erin")])
        session.add(Submission(id=submission, type="newsletter", recipients=1, expanded=1))
        session.flush()
        kind = {"type": "newsletter", "category": "marketing", "priority": "low", "data": {"title": "T", "body": "B"}}
        session.add(Notification(id=notification, submission_id=submission, user_id="erin", **kind))
    return notification
