"""What is stored: bytes on the disk of each kind of row, its indexes included, and of what came with it."""

from collections.abc import Mapping

import sqlalchemy as sa

from bench import rows
from bench.stage import Found, Stage, loaded
from notifier.ground.extensions import db
from notifier.models import Address, Attempt, Delivery, Event, InboxItem, Notification, Preference, Submission, User

_PER_CALL = 500
_START = 1_000_000  # no repeats of what other measurements have sent
_OF_MESSAGES = (Submission, Notification, Delivery, Attempt, InboxItem, Event)
_OF_PEOPLE = (User, Address, Preference)


def stored(stage: Stage) -> Found:
    """Bytes on PostgreSQL of a row of each kind, after notifications in the inbox and by e-mail have been accepted and
    sent as ever; what else has grown meanwhile is shared out among the notifications (`rest`). Nothing with SQLite,
    which does not tell tables apart.
    """
    if db.engine.dialect.name != "postgresql":
        return {}
    rows.tidy_up()
    before, count_before = _sizes(), _counts()
    calls = max(2, stage.some(10_000) // _PER_CALL)
    with stage.installation.web() as web:
        load = ("--channels", "inapp,email", "--clients", 2, "--size", _PER_CALL, "--requests", calls)
        loaded(stage, web, stage.installation.port, "bulks", *load, "--start", _START, per_request=_PER_CALL)
    stage.installation.start("bench.worker", "ours").answer()
    stage.installation.clear_queues()
    rows.tidy_up()
    sizes, counts = _sizes(), _counts()
    grown = {name: size - before.get(name, 0) for name, size in sizes.items()}
    more = {name: count - count_before[name] for name, count in counts.items()}
    names = [model.__tablename__ for model in _OF_MESSAGES]
    sends = more[Attempt.__tablename__]
    if sends != calls * _PER_CALL:
        raise RuntimeError(f"of {calls * _PER_CALL} messages {sends} were sent")
    people = counts[User.__tablename__]
    return {
        **{f"{name}_bytes": round(grown[name] / more[name]) for name in names},
        "rest_bytes": round(sum(size for name, size in grown.items() if name not in names) / (calls * _PER_CALL)),
        "events_a_delivery": round(more[Event.__tablename__] / more[Delivery.__tablename__], 2),
        "person_bytes": round(sum(sizes[model.__tablename__] for model in _OF_PEOPLE) / people),
    }


def _sizes() -> Mapping[str, int]:
    """By table, with its partitions."""
    sizes = sa.text(
        """
        SELECT COALESCE(whole.relname, part.relname), SUM(pg_total_relation_size(part.oid))
        FROM pg_class part
        LEFT JOIN pg_inherits ON pg_inherits.inhrelid = part.oid
        LEFT JOIN pg_class whole ON whole.oid = pg_inherits.inhparent
        WHERE part.relkind = 'r'
        GROUP BY 1
        """
    )
    found = {row[0]: int(row[1]) for row in db.session.execute(sizes) if not row[0].startswith(("pg_", "sql_"))}
    db.session.rollback()
    return found


def _counts() -> Mapping[str, int]:
    found = {
        model.__tablename__: db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
        for model in (*_OF_MESSAGES, *_OF_PEOPLE)
    }
    db.session.rollback()
    return found
