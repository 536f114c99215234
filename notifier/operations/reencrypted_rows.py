"""What `operations.reencryption` encrypts and digests anew: the tables, and a chunk of their rows at a time.

The columns are found by their types (`models.types`): a new encrypted or digested column cannot be forgotten. All of
this happens inside the caller's transaction, and only to rows that nobody else holds; `run` counts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.ground.encryption import KeysDoNotFit, digest_number_of, key_id_of, vault
from notifier.ground.extensions import db
from notifier.models import Address, ContentMark, InstallationSecret, Invitation, Reencryption, Suppression
from notifier.models.types import digests_of, purposes_of
from notifier.people import redigesting

CHUNK = 200  # rows looked at in a transaction: SQLite has one writer at a time
MOST_BYTES = 2 * 1024 * 1024  # encrypted in one
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


def tables() -> list[sa.Table]:
    return [t for t in db.metadata.sorted_tables if t is _SECRETS or purposes_of(t) or digests_of(t)]


@dataclass(frozen=True, slots=True)
class Row:
    """`keys`: the ids of those it is encrypted with. `digests`: in the order of `digests_of` its table."""

    key: Sequence[Any]
    keys: set[str]
    digests: Sequence[bytes | None]

    def is_digested_by_older(self, number: int) -> bool:
        return any(digest is not None and digest_number_of(digest) < number for digest in self.digests)


@dataclass(frozen=True, slots=True)
class Chunk:
    rows: Sequence[Row]
    is_last: bool


def _sealed(table: sa.Table) -> list[str]:
    return ["sealed"] if table is _SECRETS else list(purposes_of(table))


def _raw(table: sa.Table, name: str) -> Any:
    return sa.type_coerce(table.c[name], sa.LargeBinary)


def look(table: sa.Table, after: Sequence[Any] | None) -> Chunk:
    """The next rows, of which only the heads of the values are read; fewer of them, if they are large."""
    keys = list(table.primary_key)
    heads = [sa.func.substr(_raw(table, name), 1, _HEAD, type_=sa.LargeBinary()) for name in _sealed(table)]
    sizes = [sa.func.coalesce(sa.func.length(_raw(table, name)), 0) for name in _sealed(table)]
    digests = [table.c[name].label(f"digest_{name}") for name in digests_of(table)]
    statement = sa.select(*keys, *heads, *sizes, *digests).order_by(*keys).limit(CHUNK)
    if after is not None:
        statement = statement.where(sa.tuple_(*keys) > sa.tuple_(*map(_from_json, keys, after)))
    rows: list[Row] = []
    size = 0
    found = db.session.execute(statement).all()
    for row in found:
        first = len(keys) + len(heads)
        size += sum(row[first : first + len(sizes)])
        if rows and size > MOST_BYTES:
            break
        ids = {key_id_of(head) for head in row[len(keys) : first] if head is not None}
        rows.append(Row(tuple(row[: len(keys)]), ids, row[first + len(sizes) :]))
    return Chunk(rows, is_last=len(rows) == len(found) < CHUNK)


def encrypt(table: sa.Table, stale: Sequence[Sequence[Any]], run: Reencryption) -> None:
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


def digest(table: sa.Table, stale: Sequence[Row], run: Reencryption) -> None:
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


def _digest_rows(table: sa.Table, stale: Sequence[Row]) -> int:
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


def as_json(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value.hex if isinstance(value, UUID) else value


def _from_json(column: sa.Column[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is UUID:
        value = UUID(hex=value)
    elif kind is bytes:
        value = bytes.fromhex(value)
    return sa.literal(value, column.type)
