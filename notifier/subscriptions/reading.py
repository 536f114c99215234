"""What a subscription is to be told next: events that wait for another try, new ones, and those of a replay."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.subscriptions import PING
from notifier.core.timestamps import timestamp
from notifier.ground.extensions import db
from notifier.models import SubscriptionRetry
from notifier.queries import events as stream
from notifier.queries import shown_events
from notifier.queries.events import Wanted
from notifier.subscriptions.lease import Turn
from notifier.subscriptions.sending import Item

MOST = 500  # events of a batch
FEW = 10  # while nothing succeeds
MOST_WAITING = 1_000  # for another try; then new ones wait in the stream


@dataclass(frozen=True, slots=True)
class Part:
    """Events read from one position on: those wanted, and how far the reading came. `is_all`: there are no more yet."""

    before: int
    ids: Sequence[int]
    reached: int
    is_all: bool

    @property
    def is_empty_but_further(self) -> bool:
        return not self.ids and (self.reached > self.before)

    def passed(self, posted: Collection[int]) -> tuple[int, list[int]]:
        """→ the position up to which all have had their turn, and those before it that have not been posted: they wait
        for another try.
        """
        done = [index for index, key in enumerate(self.ids) if key in posted]
        if len(done) == len(self.ids):
            return self.reached, []
        if not done:
            return self.before, []
        return self.ids[done[-1]], [key for key in self.ids[: done[-1]] if key not in posted]


@dataclass(frozen=True, slots=True)
class Batch:
    """`items` in the order in which they are to be posted. `gone`: events that waited for another try and have been
    pruned. `missed`: some that were never tried have been.
    """

    items: Sequence[Item]
    live: Part
    replay: Part | None
    gone: Sequence[tuple[int, str, str]]
    missed: bool
    is_all: bool
    wake_at: datetime | None  # of the first that waits, where new ones must wait for it

    @property
    def has_moved(self) -> bool:
        """Whether there is something to record although nothing was posted."""
        parts = [part for part in (self.live, self.replay) if part is not None]
        return bool(self.gone) or self.missed or any(part.is_empty_but_further for part in parts)


def read(turn: Turn, now: datetime) -> Batch:
    """A constant number of statements."""
    size = MOST if turn.failing_since is None else FEW
    due, waiting, first_due = _retries(turn, now, size)
    pruned = stream.pruned()
    before = max(turn.position, pruned)
    room = max(size - len(due), 0) if waiting < MOST_WAITING else 0
    share = room if turn.replay_position is None else max(room * 3 // 4, min(room, 1))
    wanted = Wanted(turn.kinds, turn.types)
    live = _part(turn, before, share, wanted)
    replay = None
    if turn.replay_position is not None:
        wanted = Wanted(turn.kinds, turn.types, turn.replay_since, turn.replay_until)
        replay = _part(turn, max(turn.replay_position, pruned), room - len(live[0]), wanted, turn.replay_end)
    fresh = {row.id: row for row in [*live[0], *(replay[0] if replay else [])]}
    again = {row.event_id: row for row in due}
    rows = {row.id: row for row in stream.by_ids([key for key in again if key not in fresh])} | fresh
    order = [*(key for key in again if key in rows), *(key for key in fresh if key not in again)]
    shown = shown_events.shown([rows[key] for key in order])
    traces = shown_events.traceparents([rows[key] for key in order])
    db.session.close()
    items = [_item(rows[key], event, again.get(key), traces) for key, event in zip(order, shown, strict=True)]
    if turn.ping is not None:
        items.insert(0, Item(turn.ping, None, PING, None, body_of_ping(turn.ping)))
    gone = [(row.event_id, row.webhook_id, row.kind) for row in due if row.event_id not in rows]
    is_all = len(due) < size and live[1].is_all and (replay is None or replay[1].is_all) and waiting < MOST_WAITING
    return Batch(
        items,
        live[1],
        replay[1] if replay else None,
        gone,
        min(position for position in (turn.position, turn.replay_position) if position is not None) < pruned,
        is_all,
        None if waiting < MOST_WAITING else first_due,
    )


def _part(
    turn: Turn, before: int, limit: int, wanted: Wanted, upto: int | None = None
) -> "tuple[list[sa.Row[Any]], Part]":
    if limit <= 0:
        return [], Part(before, [], before, is_all=False)
    if not turn.kinds:  # of `ping` alone
        return [], Part(before, [], stream.end(), is_all=True)
    found = stream.read(before, limit, wanted=wanted, scope=turn.scope, upto=upto)
    rows = [row for row in found.rows if turn.hears(row)]
    reached = before if found.reached is None else found.reached.id
    return rows, Part(before, [row.id for row in rows], reached, is_all=len(found.rows) < limit)


def _retries(turn: Turn, now: datetime, size: int) -> "tuple[Sequence[sa.Row[Any]], int, datetime | None]":
    """→ those that are due, how many wait in all, and when the first of these is due."""
    columns: sa.Table = SubscriptionRetry.__table__
    mine = columns.c.subscription_id == turn.id
    count, first = db.session.execute(
        sa.select(sa.func.count(), sa.func.min(columns.c.due_at)).select_from(columns).where(mine)
    ).one()
    if not count or first > now:
        return [], count, first
    due = sa.select(columns).where(mine, columns.c.due_at <= now).order_by(columns.c.due_at, columns.c.event_id)
    return db.session.execute(due.limit(size)).all(), count, first


def _item(
    row: "sa.Row[Any]", event: dict[str, Any], again: "sa.Row[Any] | None", traces: Mapping[UUID | None, str]
) -> Item:
    tries, first_at = (0, None) if again is None else (again.tries, again.first_at)
    traceparent = traces.get(row.submission_id)
    return Item(event["id"], row.id, row.kind, row.delivery_id, body_of(event), tries, first_at, traceparent)


def body_of(event: Mapping[str, Any]) -> str:
    """The very bytes that are signed, the same on every try. `event`: as it is shown."""
    return json.dumps({name: event[name] for name in ("type", "timestamp", "data")}, separators=(",", ":"))


def body_of_ping(webhook_id: str) -> str:
    """Its time is that of its id (UUIDv7), so that its body is known as long as its id is."""
    made_at = datetime.fromtimestamp((UUID(hex=webhook_id.removeprefix("evt_")).int >> 80) / 1000, UTC)
    return body_of({"type": PING, "timestamp": timestamp(made_at), "data": {}})
