"""Open digests: adding deliveries to them, and taking deliveries out.

`planning.store` adds, in the notifications' transaction; `intake.cancel` takes out; `people.preferences` closes digests
early when a person changes how they want them. `upkeep.summaries` turns each digest into a notification.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notifier.core import digest
from notifier.core.decisions import Summary
from notifier.core.preferences import CATEGORIES
from notifier.ground.clock import now as clock_now
from notifier.ground.database import insert
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import broadcast_counts
from notifier.models import Delivery, Digest, DigestEntry

# User, key, is it a test key's, end of the window: what makes a digest one and the same
_Place = tuple[str, str, bool, datetime]

_digests: sa.Table = Digest.__table__
_place = (_digests.c.user_id, _digests.c.key, _digests.c.is_test, _digests.c.window_at)
_HELD_BACK_BY = ("quiet_hours", "mute_until", "held")  # the choices by which a category's `held` digest came to be


@dataclass(frozen=True, slots=True)
class Entry:
    """A delivery that was skipped for a summary."""

    delivery_id: UUID
    user_id: str
    category: str
    is_test: bool
    summary: Summary

    @property
    def place(self) -> _Place:
        return self.user_id, self.summary.key, self.is_test, self.summary.due_at


def gather(entries: Sequence[Entry]) -> None:
    """Adds entries to the open digest of each person, key and window, and opens missing digests. Three statements.

    If a digest is being closed at this moment, this waits, and then opens a new one. Only that holds up others who add
    to it: the new one might be closed, too, before it is joined.
    """
    if not entries:
        return
    categories = {entry.place: entry.category for entry in entries}
    found: dict[_Place, UUID] = {}
    for holds in (False, True):
        missing = sorted(categories.keys() - found.keys())  # two processes lock in one order
        if missing:
            _open(missing, categories, holds=holds)
            found |= _join(missing)
    rows = [{"digest_id": found[entry.place], "delivery_id": entry.delivery_id} for entry in entries]
    db.session.execute(sa.insert(DigestEntry.__table__), rows)


def _open(places: Sequence[_Place], categories: Mapping[_Place, str], *, holds: bool) -> None:
    """Opens those that are missing; `holds` also those that are there, for us alone until our transaction ends."""
    rows = [
        {
            "id": new_id(),
            "user_id": user_id,
            "key": key,
            "category": categories[place],
            "is_test": is_test,
            "window_at": window_at,
            "due_at": window_at,
        }
        for place in places
        for user_id, key, is_test, window_at in [place]
    ]
    statement, is_one = insert(_digests), [column.name for column in _place]
    if holds:
        opened = statement.on_conflict_do_update(index_elements=is_one, set_={"key": statement.excluded.key})
    else:
        opened = statement.on_conflict_do_nothing(index_elements=is_one)
    db.session.execute(opened, rows)


def _join(places: Sequence[_Place]) -> dict[_Place, UUID]:
    """The open digests, locked against closing until our transaction has ended."""
    statement = sa.select(_digests.c.id, *_place).where(sa.tuple_(*_place).in_(places)).order_by(*_place)
    rows = db.session.execute(statement.with_for_update(read=True, key_share=True))
    return {(row.user_id, row.key, row.is_test, row.window_at): row.id for row in rows}


def withdraw(mine: "sa.Select[UUID]") -> int:
    """Takes these deliveries, which have been cancelled, out of the open digests. → how many that was; those in one
    that is closed have gone out.
    """
    entries = sa.select(DigestEntry.digest_id).where(DigestEntry.delivery_id.in_(mine))
    # Held as in `_join`: one that is being closed at this moment is waited for, and is gone then.
    held = (
        sa.select(Digest.id)
        .where(Digest.id.in_(entries))
        .order_by(Digest.id)
        .with_for_update(read=True, key_share=True)
    )
    digest_ids = list(db.session.scalars(held))
    if not digest_ids:
        return 0
    left = (
        sa.delete(DigestEntry)
        .where(DigestEntry.digest_id.in_(digest_ids), DigestEntry.delivery_id.in_(mine))
        .returning(DigestEntry.delivery_id)
    )
    ids = list(db.session.scalars(left.execution_options(synchronize_session=False)))
    broadcast_counts.explained(dict.fromkeys(ids, "cancelled"))
    cancelled = sa.update(Delivery).where(Delivery.id.in_(ids)).values(reason="cancelled", detail={})
    db.session.execute(cancelled.execution_options(synchronize_session=False))
    return len(ids)


def has_lines(broadcast_id: UUID) -> "sa.ColumnElement[bool]":
    """Is one of the broadcast's deliveries still to be listed? For a WHERE, or a column."""
    entries = sa.select(DigestEntry.delivery_id).join(Delivery, Delivery.id == DigestEntry.delivery_id)
    return entries.where(Delivery.broadcast_id == broadcast_id).exists()


def hasten(user_id: str, changed: Collection[str]) -> None:
    """Closes a person's digests early because they changed the frequency, or what is held back: the lines so far go out
    at once.

    `changed` are choices as the consent history names them: `digest.social`, `quiet_hours`.
    """
    keys = [digest.key_of(choice.removeprefix("digest.")) for choice in changed if choice.startswith("digest.")]
    if any(choice in _HELD_BACK_BY for choice in changed):
        keys += [digest.key_of(category, digest.HELD) for category in CATEGORIES]
    if keys:
        mine = (Digest.user_id == user_id, Digest.key.in_(keys))
        db.session.execute(
            sa.update(Digest).where(*mine).values(due_at=clock_now()).execution_options(synchronize_session=False)
        )
