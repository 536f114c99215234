"""Addresses and their suppressions under a new digest key: whatever is stored of one address changes in one
transaction.

Messages and suppressions meet by comparing two stored digests, and nobody has the text of a suppressed address. So
there is one rule while a key is being replaced: all rows of an address have the same key. Whoever writes or deletes
something by the digest of an address calls `settle` first; `operations.reencryption` goes through the rest. Whoever
only reads by a text looks for all `vault.forms` of its digest.

Two rows of one address, by the old and by the new key, come from a process that did not know the new key yet, or from
two at once. They become one: the later row, with what the older one has and it lacks.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.ground.database import insert, set_each
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.models import Address, Delivery, Suppression

_addresses: sa.Table = Address.__table__
_suppressions: sa.Table = Suppression.__table__
_KEPT = ("verified_at", "confirmed_at", "label", "platform", "app")
_READ = ("id", "user_id", "channel", "digest", "is_primary", "is_device", "created_at", *_KEPT)


def settle(digests: Iterable[bytes]) -> None:
    """Before something is written or deleted by these digests: what is stored of them by an older key gets the newest.
    Inside the caller's transaction; no statement but while a key is being replaced, then ten at most.
    """
    if vault.is_changing_digests:
        move({form for digest in digests for form in vault.forms(digest)}, waits=True)


def move(digests: Collection[bytes], *, waits: bool = False) -> int:
    """Gives the newest key to whatever has these digests; → how many of them were left alone, since somebody holds a
    row (unless it `waits`). Inside the caller's transaction; a constant number of statements.
    """
    moves = {digest: new for digest in digests if (new := vault.newest(digest)) != digest}
    if not moves:
        return 0
    held = set() if waits else _held(moves)
    moves = {digest: new for digest, new in moves.items() if digest not in held}
    if moves:
        _move_addresses(moves)
        _move_suppressions(moves)
    return len(held)


def _held(moves: Mapping[bytes, bytes]) -> set[bytes]:
    """Those of which another transaction holds a row; the rows of the others are locked from here on."""
    held: set[bytes] = set()
    for table in (_addresses, _suppressions):
        rows = sa.select(*table.primary_key, table.c.digest).where(table.c.digest.in_(moves))
        every = db.session.execute(rows).all()
        free = set(db.session.execute(rows.with_for_update(skip_locked=True, key_share=True)).all()) if every else set()
        held |= {bytes(row[-1]) for row in every if row not in free}
    return held


def _move_addresses(moves: Mapping[bytes, bytes]) -> None:
    statement = (
        sa.select(*(_addresses.c[name] for name in _READ))
        .where(_addresses.c.digest.in_([*moves, *moves.values()]))
        .order_by(_addresses.c.id)
        .with_for_update(key_share=True)
    )
    rows = db.session.execute(statement).all()
    old = [row for row in rows if bytes(row.digest) in moves]
    if not old:
        return
    new = [row for row in rows if bytes(row.digest) not in moves]
    of_person = {(row.user_id, row.channel, bytes(row.digest)): row for row in new}
    devices = {(row.channel, bytes(row.digest)) for row in new if row.is_device}
    twins: list[tuple[Any, Any]] = []  # the older row, and the later one
    gone: list[UUID] = []
    changes: list[dict[str, Any]] = []
    for row in old:
        digest = moves[bytes(row.digest)]
        later = of_person.get((row.user_id, row.channel, digest))
        if later is not None:
            twins.append((row, later))
        elif row.is_device and (row.channel, digest) in devices:
            gone.append(row.id)  # it belongs to the last person that it was registered for
        else:
            changes.append({"id": row.id, "digest": digest})
    if twins or gone:
        _join(twins, gone)
    if changes:
        set_each(_addresses, "id", changes)


def _join(twins: Collection[tuple[Any, Any]], gone: Collection[UUID]) -> None:
    """The later row of each two takes the place of the older one."""
    if twins:
        deliveries: sa.Table = Delivery.__table__
        db.session.connection().execute(
            sa.update(deliveries)
            .where(deliveries.c.address_id == sa.bindparam("older"))
            .values(address_id=sa.bindparam("later")),
            [{"older": older.id, "later": later.id} for older, later in twins],
        )
    removed = [*(older.id for older, _ in twins), *gone]
    db.session.connection().execute(sa.delete(_addresses).where(_addresses.c.id.in_(removed)))
    if twins:  # now that there is no other primary one
        joined = [
            {
                "id": later.id,
                "is_primary": later.is_primary or older.is_primary,
                "created_at": min(older.created_at, later.created_at),
                **{name: getattr(later, name) or getattr(older, name) for name in _KEPT},
            }
            for older, later in twins
        ]
        set_each(_addresses, "id", joined)


def _move_suppressions(moves: Mapping[bytes, bytes]) -> None:
    """Of one address and scope the later reason stays: that by the newest key."""
    statement = sa.select(_suppressions).where(_suppressions.c.digest.in_(moves)).order_by(*_suppressions.primary_key)
    rows = db.session.execute(statement.with_for_update()).all()
    if rows:
        moved = [{**row._mapping, "digest": moves[bytes(row.digest)]} for row in rows]
        db.session.execute(insert(_suppressions).on_conflict_do_nothing(), moved)
        db.session.execute(sa.delete(_suppressions).where(_suppressions.c.digest.in_(moves)))
