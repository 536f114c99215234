"""Encrypts everything anew with the first of ENCRYPTION_KEYS, in the background, so that the others can be taken out;
and gives the newest digest key to every keyed digest.

An admin begins it (`begin`), schedulers do it (`work`): one chunk and one transaction at a time, whose end says where
to go on. A chunk is read in the order of the primary key, and only rows that nobody else holds are written. Those that
were held, and what a process that was not yet restarted has written meanwhile, are found by the next round; it ends
with a round that finds nothing.

`operations.reencrypted_rows` knows the tables and their rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import EncryptionKey, Reencryption
from notifier.operations import digest_keys
from notifier.operations.reencrypted_rows import as_json, digest, encrypt, look, tables

ROUND_PAUSE = timedelta(seconds=10)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """`percent`: of this round, about. `table`: the one that is worked on. `encrypted`: rows that were written anew.
    `is_idle`: no scheduler has done anything for a while, since none runs that has this key first. `begins_at`: when
    all processes know the new digest key.
    """

    target: str
    digest_key: int
    actor: str
    round: int
    percent: int
    table: str | None
    encrypted: int
    unreadable: Mapping[str, int]
    started_at: datetime
    begins_at: datetime | None
    finished_at: datetime | None
    is_idle: bool


@retried
def begin(*, with_new_digest_key: bool = False) -> None:
    """Raises Rejected('conflict') while one with the same keys is under way. After one that has ended it looks again.

    With a new digest key it waits until every process knows it.
    """
    total = _rows()  # which takes its time: SQLite counts
    with transaction() as session:
        running = session.scalar(sa.select(Reencryption).with_for_update())
        number = digest_keys.add() if with_new_digest_key else digest_keys.newest()
        keys = vault.key_id, number
        if running is not None and running.finished_at is None and (running.target, running.digest_key) == keys:
            raise Rejected("conflict", f"everything is being encrypted with {vault.key_id} already")
        if running is not None:
            session.delete(running)
            session.flush()
        wake_at = digest_keys.looked_from(number) or now()
        session.add(
            Reencryption(
                target=vault.key_id, digest_key=number, actor=audit.actor()[:200], total=total, wake_at=wake_at
            )
        )
        audit.write("reencryption.started", vault.key_id)


def progress() -> Progress | None:
    """None: there has never been one."""
    run = db.session.scalar(sa.select(Reencryption).execution_options(populate_existing=True))
    if run is None:
        return None
    looked_at = max(run.looked_at or run.started_at, run.wake_at or run.started_at)
    return Progress(
        target=run.target,
        digest_key=run.digest_key,
        actor=run.actor,
        round=run.round,
        percent=100 if run.finished_at else min(99, 100 * run.looked // max(run.total, 1)),
        table=run.table_name,
        encrypted=run.encrypted,
        unreadable=run.unreadable,
        started_at=run.started_at,
        begins_at=run.wake_at if run.looked_at is None and run.wake_at and run.wake_at > now() else None,
        finished_at=run.finished_at,
        is_idle=run.finished_at is None and now() - looked_at > 3 * ROUND_PAUSE,
    )


@retried
def work() -> int:
    """A chunk; → how many rows were looked at. A constant number of statements."""
    at = now()
    with transaction() as session:
        due = sa.select(Reencryption).where(Reencryption.wake_at <= at).with_for_update(skip_locked=True)
        run = session.scalar(due.execution_options(populate_existing=True))
        if run is None or (run.target, run.digest_key) != (vault.key_id, vault.digest_number):
            return 0
        there = tables()
        place = next((n for n, table in enumerate(there) if table.name == run.table_name), 0)
        table = there[place]
        chunk = look(table, run.after if run.table_name == table.name else None)
        stale = [row.key for row in chunk.rows if row.keys - {run.target}]
        encrypt(table, stale, run)
        digest(table, [row for row in chunk.rows if row.is_digested_by_older(run.digest_key)], run)
        run.looked += len(chunk.rows)
        run.looked_at = at
        if not chunk.is_last:
            run.table_name, run.after = table.name, [as_json(value) for value in chunk.rows[-1].key]
        elif place + 1 < len(there):
            run.table_name, run.after = there[place + 1].name, None
        else:
            _end_round(run, at)
    return len(chunk.rows)


def _rows() -> int:
    """About how many rows all of them have."""
    there = tables()
    if db.engine.dialect.name == "postgresql":
        estimate = sa.text(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0) FROM pg_class WHERE oid = ANY(CAST(:names AS regclass[]))"
        )
        return int(db.session.scalar(estimate, {"names": [f'"{table.name}"' for table in there]}))
    counts = [sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in there]
    return sum(db.session.execute(sa.select(*counts)).one())


def _end_round(run: Reencryption, at: datetime) -> None:
    """Once there is nothing left, the keys that nothing needs may go."""
    run.table_name, run.after = None, None
    if run.found or run.passed:
        run.round, run.wake_at = run.round + 1, at + ROUND_PAUSE
        run.total, run.looked, run.found, run.passed, run.unreadable = max(run.looked, 1), 0, 0, 0, {}
        return
    run.finished_at, run.wake_at = at, None
    unused = sa.update(EncryptionKey).where(
        EncryptionKey.id != run.target, EncryptionKey.id.not_in(run.unreadable), EncryptionKey.unused_at.is_(None)
    )
    db.session.execute(unused.values(unused_at=at))
    digest_keys.finish(run.digest_key, at)
    audit.write("reencryption.finished", run.target, after={"rows": run.encrypted, "unreadable": run.unreadable})
    log.info("reencryption.finished", key=run.target, rows=run.encrypted, unreadable=run.unreadable)
