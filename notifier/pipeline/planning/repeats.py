"""Leaves out repeats: marks record each notification sent to a person, and decide which of several equal ones is the
first.

Called by `planning.decide` inside its transaction, so a rollback takes the marks along. The mark's primary key decides:
a second transaction waits for the end of the first. `core.repeats` says which contents are equal. Each producer's
notifications are compared with its own only, and those of test keys with those of test keys.

Every notification leaves a mark, so that a later `dedupe: true` finds it; of two without `dedupe` the newer one's mark
stays. A mark counts as long as any delivery of its notification was sent or still may be. A notification that was
cancelled, expired, failed or withheld on every channel blocks no repeat. Of equal ones in one batch, the first counts.

The same content for an address given inline that is not the person's own is no repeat, and neither is the call that
corrects their own address. Addresses of channels that the notification does not use make no difference.
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from notifier.core import lifecycle
from notifier.core.reasons import DIGESTED
from notifier.core.repeats import content
from notifier.ground import database
from notifier.ground.database import insert
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import ContentMark, Delivery
from notifier.pipeline.planning.orders import Target

_NOTHING_CAME_OF_IT = (lifecycle.SKIPPED, lifecycle.CANCELLED, lifecycle.EXPIRED, lifecycle.FAILED, lifecycle.BOUNCED)

_marks: sa.Table = ContentMark.__table__


class _Key(NamedTuple):
    """The key of a mark: the person and the content."""

    user_id: str
    digest: bytes


def mark(targets: Sequence[Target], ids: Sequence[UUID], now: datetime, *, is_rehearsal: bool) -> dict[int, str]:
    """Marks the contents of these notifications, whose ids are `ids`. → for each that is left out (by its index) the
    shown id of the earlier one.

    One statement for those that may be left out, two or three when something was said before; one for the others.
    None without anything to mark. A rehearsal only looks.
    """
    wanted = [
        (index, target)
        for index, target in enumerate(targets)
        if target.order.dedupe_window_s and not target.is_flooded
    ]
    if not wanted:
        return {}
    digests: dict[tuple[UUID, tuple[str, ...]], bytes] = {}
    first: dict[_Key, int] = {}
    older: dict[_Key, _Key] = {}  # as the mark stands by a digest key that is being replaced → as it will
    repeats: dict[int, int] = {}
    moved: set[_Key] = set()  # said before, but to an address that this batch has corrected
    for index, target in wanted:
        said = target.submission_id, _redirected_to(target)
        digest = digests.get(said) or digests.setdefault(said, _digest(target, said[1], now))
        key = _Key(target.person.id, vault.newest(digest))
        older |= {_Key(key.user_id, form): key for form in vault.forms(digest) if form != key.digest}
        if first.setdefault(key, index) != index and target.order.is_deduplicated:
            repeats[index] = first[key]
        if not target.moved.isdisjoint(_channels(target)):
            moved.add(key)
    # Sorted, so that two batches lock the same marks in the same order.
    rows = [
        (_row(key, targets[index], ids[index], now), targets[index].order.is_deduplicated and key not in moved)
        for key, index in sorted(first.items())
    ]
    asking = [row for row, may_be_left_out in rows if may_be_left_out]
    if older and not is_rehearsal:
        _digest_anew(older)
    told = _said_before(asking, now, older) if is_rehearsal else _mark(asking, now)
    others = [row for row, may_be_left_out in rows if not may_be_left_out]
    if others and not is_rehearsal:
        db.session.execute(_statements(db.engine.dialect.name).overwrite, others)
    earlier = {first[key]: notification_id for key, notification_id in told.items()}
    earlier |= {index: earlier.get(original, ids[original]) for index, original in repeats.items()}
    return {index: show("ntf", notification_id) for index, notification_id in earlier.items()}


def _channels(target: Target) -> Sequence[str]:
    return target.order.requested or target.order.type.channels


def _redirected_to(target: Target) -> tuple[str, ...]:
    """Keyed digests of the addresses given inline that are not the person's own."""
    used = _channels(target)
    return tuple(sorted(a.digest.hex() for a in target.person.redirected if a.channel in used and a.digest))


def _digest(target: Target, addresses: Sequence[str], now: datetime) -> bytes:
    """A keyed digest: the content is encrypted, and must not be found by guessing."""
    order = target.order
    scope = f"{target.producer_id.hex if target.producer_id else ''}{'.test' if target.is_test else ''}"
    send_at = order.send_at.isoformat() if order.send_at and order.send_at > now else ""
    # Whichever variant of an experiment a person gets: it is the same thing that is said
    template = order.wording.template_id.hex if order.wording.template_id else ""
    named = order.requested or ()
    data, near = dict(order.data), order.type.dedupe_near
    return vault.digest(content(scope, order.type.key, template, named, send_at, data, near=near, addresses=addresses))


def _row(key: _Key, target: Target, notification_id: UUID, now: datetime) -> dict[str, Any]:
    starts_at = max(now, target.order.send_at) if target.order.send_at else now
    expires_at = starts_at + timedelta(seconds=target.order.dedupe_window_s or 0)
    return {"user_id": key.user_id, "digest": key.digest, "notification_id": notification_id, "expires_at": expires_at}


def _mark(rows: Sequence[dict[str, Any]], now: datetime) -> dict[_Key, UUID]:
    """Sets the marks that are free; → those that are not, with the notification that has them."""
    if not rows:
        return {}
    statement = _statements(db.engine.dialect.name).claim
    ours = {
        _Key(row.user_id, bytes(row.digest))
        for row in db.session.execute(statement, [{**row, "now": now} for row in rows]).all()
    }
    others = [row for row in rows if _Key(row["user_id"], row["digest"]) not in ours]
    if not others:
        return {}
    # By now they are locked, and the transactions that set them have ended: this statement sees their results.
    said = _said_before(others, now)
    free = [row for row in others if _Key(row["user_id"], row["digest"]) not in said]
    if free:
        db.session.execute(_statements(db.engine.dialect.name).overwrite, free)
    return said


class _Statements(NamedTuple):
    """`claim` takes the marks that are free at `now` and returns them; `overwrite` takes all."""

    claim: Any
    overwrite: Any


@functools.cache
def _statements(_dialect: str) -> _Statements:
    """Made once: building one takes longer than running it."""
    statement = insert(_marks)
    renewed: dict[str, Any] = {name: statement.excluded[name] for name in ("notification_id", "expires_at")}
    key = ["user_id", "digest"]
    is_free = _marks.c.expires_at <= sa.bindparam("now", type_=_marks.c.expires_at.type)
    claim = statement.on_conflict_do_update(index_elements=key, set_=renewed, where=is_free)
    return _Statements(
        claim.returning(_marks.c.user_id, _marks.c.digest),
        statement.on_conflict_do_update(index_elements=key, set_=renewed),
    )


def _digest_anew(older: Mapping[_Key, _Key]) -> None:
    """The marks that stand by an older digest key. Of two, the later one stays."""
    gone = sa.delete(_marks).where(sa.tuple_(_marks.c.user_id, _marks.c.digest).in_(sorted(older))).returning(*_marks.c)
    rows = [
        {**row._mapping, "digest": older[_Key(row.user_id, bytes(row.digest))].digest}
        for row in db.session.execute(gone).all()
    ]
    if rows:
        db.session.execute(insert(_marks).on_conflict_do_nothing(), rows)


def _said_before(
    rows: Sequence[dict[str, Any]], now: datetime, older: Mapping[_Key, _Key] = MappingProxyType({})
) -> dict[_Key, UUID]:
    """Those of these that are marked already by a notification that was sent or may still be."""
    if not rows:
        return {}
    came_of_it = sa.or_(Delivery.status.not_in(_NOTHING_CAME_OF_IT), Delivery.reason == DIGESTED)
    statement = sa.select(_marks.c.user_id, _marks.c.digest, _marks.c.notification_id).where(
        sa.tuple_(_marks.c.user_id, _marks.c.digest).in_([*((row["user_id"], row["digest"]) for row in rows), *older]),
        _marks.c.expires_at > now,
        sa.exists().where(Delivery.notification_id == _marks.c.notification_id, came_of_it),
    )
    found = {_Key(row.user_id, bytes(row.digest)): row.notification_id for row in db.session.execute(statement)}
    return {older.get(key, key): notification_id for key, notification_id in found.items()}


def prune(now: datetime) -> int:
    """Deletes the marks whose time has passed; → how many. Called by the scheduler."""
    return database.prune(_marks, _marks.c.expires_at <= now)
