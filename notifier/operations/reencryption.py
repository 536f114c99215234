"""Encrypts everything anew with the first of ENCRYPTION_KEYS, in the background, so that the others can be taken out;
and gives the newest digest key to every keyed digest.

An admin begins it (`begin`), schedulers do it (`work`): one chunk and one transaction at a time, whose end says where
to go on. A chunk is read in the order of the primary key, and only rows that nobody else holds are written. Those that
were held, and what a process that was not yet restarted has written meanwhile, are found by the next round; it ends
with a round that finds nothing.

The columns are found by their types (`models.types`): a new encrypted or digested column cannot be forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.encryption import KeysDoNotFit, digest_number_of, key_id_of, vault
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import (
    Address,
    ContentMark,
    EncryptionKey,
    InstallationSecret,
    Invitation,
    Reencryption,
    Suppression,
)
from notifier.models.types import digests_of, purposes_of
from notifier.operations import digest_keys
from notifier.people import redigesting

CHUNK = 200  # rows looked at in a transaction: SQLite has one writer at a time
MOST_BYTES = 2 * 1024 * 1024  # encrypted in one
ROUND_PAUSE = timedelta(seconds=10)
_HEAD = 34  # bytes at most before the nonce: version, length of the key's id, its id
_SECRETS: sa.Table = InstallationSecret.__table__
_OF_ADDRESSES: tuple[sa.Table, ...] = (Address.__table__, Suppression.__table__)
_MARKS: sa.Table = ContentMark.__table__
_INVITATIONS: sa.Table = Invitation.__table__
# Where a digest may be there but once: beside which columns, and among which rows
UNIQUE: Mapping[sa.Table, tuple[Sequence[sa.Column[Any]], Sequence[sa.ColumnElement[bool]]]] = {
    _MARKS: ([_MARKS.c.user_id], []),
    _INVITATIONS: ([], [_INVITATIONS.c.used_at.is_(None), _INVITATIONS.c.withdrawn_at.is_(None)]),
}

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
        tables = _tables()
        place = next((n for n, table in enumerate(tables) if table.name == run.table_name), 0)
        table = tables[place]
        chunk = _look(table, run.after if run.table_name == table.name else None)
        stale = [row.key for row in chunk.rows if row.keys - {run.target}]
        _encrypt(table, stale, run)
        _digest(table, [row for row in chunk.rows if row.is_digested_by_older(run.digest_key)], run)
        run.looked += len(chunk.rows)
        run.looked_at = at
        if not chunk.is_last:
            run.table_name, run.after = table.name, [_as_json(value) for value in chunk.rows[-1].key]
        elif place + 1 < len(tables):
            run.table_name, run.after = tables[place + 1].name, None
        else:
            _end_round(run, at)
    return len(chunk.rows)


def _tables() -> list[sa.Table]:
    return [t for t in db.metadata.sorted_tables if t is _SECRETS or purposes_of(t) or digests_of(t)]


def _rows() -> int:
    """About how many rows all of them have."""
    tables = _tables()
    if db.engine.dialect.name == "postgresql":
        estimate = sa.text(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0) FROM pg_class WHERE oid = ANY(CAST(:names AS regclass[]))"
        )
        return int(db.session.scalar(estimate, {"names": [f'"{table.name}"' for table in tables]}))
    counts = [sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in tables]
    return sum(db.session.execute(sa.select(*counts)).one())


@dataclass(frozen=True, slots=True)
class _Row:
    """`keys`: the ids of those it is encrypted with. `digests`: in the order of `digests_of` its table."""

    key: Sequence[Any]
    keys: set[str]
    digests: Sequence[bytes | None]

    def is_digested_by_older(self, number: int) -> bool:
        return any(digest is not None and digest_number_of(digest) < number for digest in self.digests)


@dataclass(frozen=True, slots=True)
class _Chunk:
    rows: Sequence[_Row]
    is_last: bool


def _sealed(table: sa.Table) -> list[str]:
    return ["sealed"] if table is _SECRETS else list(purposes_of(table))


def _raw(table: sa.Table, name: str) -> Any:
    return sa.type_coerce(table.c[name], sa.LargeBinary)


def _look(table: sa.Table, after: Sequence[Any] | None) -> _Chunk:
    """The next rows, of which only the heads of the values are read; fewer of them, if they are large."""
    keys = list(table.primary_key)
    heads = [sa.func.substr(_raw(table, name), 1, _HEAD, type_=sa.LargeBinary()) for name in _sealed(table)]
    sizes = [sa.func.coalesce(sa.func.length(_raw(table, name)), 0) for name in _sealed(table)]
    digests = [table.c[name].label(f"digest_{name}") for name in digests_of(table)]
    statement = sa.select(*keys, *heads, *sizes, *digests).order_by(*keys).limit(CHUNK)
    if after is not None:
        statement = statement.where(sa.tuple_(*keys) > sa.tuple_(*map(_from_json, keys, after)))
    rows: list[_Row] = []
    size = 0
    found = db.session.execute(statement).all()
    for row in found:
        first = len(keys) + len(heads)
        size += sum(row[first : first + len(sizes)])
        if rows and size > MOST_BYTES:
            break
        ids = {key_id_of(head) for head in row[len(keys) : first] if head is not None}
        rows.append(_Row(tuple(row[: len(keys)]), ids, row[first + len(sizes) :]))
    return _Chunk(rows, is_last=len(rows) == len(found) < CHUNK)


def _encrypt(table: sa.Table, stale: Sequence[Sequence[Any]], run: Reencryption) -> None:
    """Those of these rows that nobody holds. From here to the end of the transaction they do not change."""
    if not stale:
        return
    keys, names = list(table.primary_key), _sealed(table)
    free = (
        sa.select(*keys, *(_raw(table, name) for name in names))
        .where(sa.tuple_(*keys).in_(stale))
        .order_by(*keys)
        .with_for_update(skip_locked=True, key_share=True)
    )
    rows = db.session.execute(free).all()
    changes = []
    for row in rows:
        key, values = row[: len(keys)], row[len(keys) :]
        purposes = [f"installation_secret.{key[0]}"] if table is _SECRETS else list(purposes_of(table).values())
        new = [_sealed_anew(value, purpose, run) for value, purpose in zip(values, purposes, strict=True)]
        if new != list(values):
            changes.append([*key, *new])
    run.passed += len(stale) - len(rows)
    run.found += len(changes)
    run.encrypted += len(changes)
    if changes:
        of_row = [key == sa.bindparam(f"of_{key.name}", type_=key.type) for key in keys]
        new_values: dict[str, Any] = {column.name: column for column in table.columns if column.onupdate}  # as they are
        new_values |= {name: sa.bindparam(f"new_{name}", type_=sa.LargeBinary()) for name in names}
        bound = [*(f"of_{key.name}" for key in keys), *(f"new_{name}" for name in names)]
        db.session.connection().execute(
            sa.update(table).where(*of_row).values(new_values),
            [dict(zip(bound, change, strict=True)) for change in changes],
        )


def _digest(table: sa.Table, stale: Sequence[_Row], run: Reencryption) -> None:
    """Gives those of these rows that nobody holds the newest digest key."""
    if not stale:
        return
    if table in _OF_ADDRESSES:
        digests = {bytes(row.digests[0]) for row in stale if row.digests[0] is not None}
        passed = redigesting.move(digests)
        run.passed += passed
        changed = len(digests) - passed
    else:
        changed = _digest_rows(table, stale)
        run.passed += len(stale) - changed
    run.found += changed
    run.encrypted += changed


def _digest_rows(table: sa.Table, stale: Sequence[_Row]) -> int:
    """→ how many. Of two rows that may not be the same, the later one stays, which has the newest key already."""
    keys, names = list(table.primary_key), digests_of(table)
    of_these = sa.tuple_(*keys).in_([row.key for row in stale])
    free = sa.select(*keys).where(of_these).order_by(*keys).with_for_update(skip_locked=True, key_share=True)
    locked = {tuple(row) for row in db.session.execute(free).all()}
    new = {
        tuple(row.key): [None if digest is None else vault.newest(digest) for digest in row.digests]
        for row in stale
        if tuple(row.key) in locked
    }
    twins = _twins(table, new)
    if twins:
        db.session.execute(sa.delete(table).where(sa.tuple_(*keys).in_(twins)))
    changes = [[*key, *values] for key, values in new.items() if key not in twins]
    if changes:
        bound = [*(f"of_{key.name}" for key in keys), *(f"new_{name}" for name in names)]
        db.session.connection().execute(
            sa.update(table)
            .where(*(key == sa.bindparam(f"of_{key.name}", type_=key.type) for key in keys))
            .values({name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in names}),
            [dict(zip(bound, change, strict=True)) for change in changes],
        )
    return len(new)


def _twins(table: sa.Table, new: Mapping[tuple[Any, ...], Sequence[bytes | None]]) -> set[tuple[Any, ...]]:
    """The keys of those of these rows whose place another has taken, by its newest digest."""
    if table not in UNIQUE or not new:
        return set()
    beside, among = UNIQUE[table]
    [digest] = digests_of(table)
    keys = list(table.primary_key)
    newest = {values[0] for values in new.values()}
    taken = db.session.execute(sa.select(*beside, table.c[digest]).where(table.c[digest].in_(newest), *among)).all()
    there = {tuple(row) for row in taken}
    of_these = sa.tuple_(*keys).in_(list(new))
    older = db.session.execute(sa.select(*keys, *beside).where(of_these, *among)).all() if there else ()
    return {key for row in older if (*row[len(keys) :], new[key := tuple(row[: len(keys)])][0]) in there}


def _sealed_anew(sealed: bytes | None, purpose: str, run: Reencryption) -> bytes | None:
    if sealed is None or key_id_of(sealed) == run.target:
        return sealed
    try:
        return vault.encrypt(vault.decrypt(sealed, purpose), purpose)
    except KeysDoNotFit:
        key = key_id_of(sealed)
        run.unreadable = {**run.unreadable, key: run.unreadable.get(key, 0) + 1}
        return sealed


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


def _as_json(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value.hex if isinstance(value, UUID) else value


def _from_json(column: sa.Column[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is UUID:
        value = UUID(hex=value)
    elif kind is bytes:
        value = bytes.fromhex(value)
    return sa.literal(value, column.type)
