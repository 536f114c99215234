"""Retries or discards many failed jobs in the background: all that a filter matches.

Started by the failed jobs' pages, run by the scheduler. A batch and the new cursor are one transaction, so a scheduler
that dies repeats and skips nothing; the row is locked meanwhile, so two schedulers never do the same batch. Redis is
told after the commit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session, scoped_session

from notifier.channels import serving
from notifier.core.errors import Fault, Rejected
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import BulkAction, Delivery
from notifier.operations import retry_dead
from notifier.providers import accounts as providers
from notifier.queries.dead_letters import Filter, read_filter, select_dead
from notifier.signals import publish
from notifier.signals.queueing import Doorbell, restore_failed

RETRY, DISCARD, REPAIR = "retry", "discard", "repair"
KINDS = (RETRY, DISCARD, REPAIR)
BATCH = 500
MOST_PER_SECOND = 1_000
_REDIS_PAUSE = timedelta(seconds=5)
_FAULT_PAUSE = timedelta(minutes=1)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do: the number of selected jobs, how many have expired, and the provider accounts to choose
    from.
    """

    total: int
    expired: int
    providers: list[str]

    @property
    def acts_on(self) -> int:
        return self.total - self.expired


def preview(chosen: Filter) -> Preview:
    is_over = sa.case((Delivery.expires_at <= clock_now(), 1))
    total, expired = db.session.execute(select_dead(chosen, sa.func.count(), sa.func.count(is_over))).one()
    return Preview(total, expired, choices(chosen))


def choices(chosen: Filter) -> list[str]:
    """The provider accounts to choose from, if the filter selects one channel that has several."""
    providers.refresh()
    channel = chosen.channel or (chosen.queue or "").rpartition(".")[0]
    names = [account.name for account, adapter in serving.registry().accounts() if adapter.channel.name == channel]
    return names if len(names) > 1 else []


def start(kind: str, chosen: Filter, *, provider: str | None = None, per_second: int | None = None) -> UUID:
    """→ its id. Jobs that fail from now on are not included. Raises Rejected, having started nothing."""
    faults = []
    if kind not in KINDS:
        faults.append(Fault("/kind", "invalid", f"there is no {kind[:20]!r}: {', '.join(KINDS)}"))
    if provider is not None and provider not in choices(chosen):
        faults.append(Fault("/provider", "unknown_provider", f"no provider {provider[:64]!r} can send these"))
    if per_second is not None and not 1 <= per_second <= MOST_PER_SECOND:
        faults.append(Fault("/per_second", "invalid", f"the rate must be 1 to {MOST_PER_SECOND:,} a second"))
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults), tuple(faults))
    now = clock_now()
    chosen = replace(chosen, until=min(chosen.until or now, now))
    with transaction() as session:
        total = session.scalar(select_dead(chosen, sa.func.count())) or 0
        if not total:
            raise Rejected("conflict", "there is nothing to do: none of them is a failed job any longer")
        row = BulkAction(
            kind=kind,
            filter=chosen.document(),
            provider=provider,
            per_second=per_second,
            total=total,
            actor=audit.actor(),
            created_at=now,
        )
        session.add(row)
        session.flush()
        audit.write(
            "bulk.started",
            show("blk", row.id),
            after={
                "kind": kind,
                "filter": _without_person(row.filter),
                "total": total,
                "provider": provider,
                "rate": per_second,
            },
        )
        key = row.id
    publish.hint(publish.ACTIONS, publish.FAILED)
    return key


def _without_person(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """They may be erased, and the trail keeps what it has."""
    return {**chosen, "user": "one person"} if "user" in chosen else dict(chosen)


def cancel(key: UUID) -> bool:
    """Stops the rest; finished jobs stay as they are. False: it had ended already. Raises Rejected('not_found')."""
    with transaction() as session:
        row = session.get(BulkAction, key, with_for_update=True)
        if row is None:
            raise Rejected("not_found", f"there is no {show('blk', key)}")
        if row.finished_at is not None:
            return False
        row.cancelled_at = row.finished_at = clock_now()
        audit.write(
            "bulk.cancelled",
            show("blk", key),
            after={"done": row.done, "left_alone": row.left, "not_reached": row.total - row.done - row.left},
        )
    publish.hint(publish.ACTIONS, publish.FAILED)
    return True


def work() -> int:
    """One batch of the oldest action that is due. → how many dead letters it looked at; BATCH means that there may be
    more at once.
    """
    taken: list[UUID] = []
    try:
        return _work_one(taken)
    except Exception:
        # The others are not to wait for one that breaks whenever it is tried.
        with transaction() as session:
            session.execute(
                sa.update(BulkAction).where(BulkAction.id.in_(taken)).values(wake_at=clock_now() + _FAULT_PAUSE)
            )
        raise


def _work_one(taken: list[UUID]) -> int:
    """Calls `taken` with the action it works on."""
    now = clock_now()
    with transaction() as session:
        is_due = sa.or_(BulkAction.wake_at.is_(None), BulkAction.wake_at <= now)
        is_open = BulkAction.finished_at.is_(None)
        statement = sa.select(BulkAction).where(is_open, is_due).order_by(BulkAction.created_at).limit(1)
        row = session.scalar(statement.with_for_update(skip_locked=True))
        if row is None:
            return 0
        taken.append(row.id)
        size = min(BATCH, row.per_second or BATCH)
        keys, kind, cursor = _next(session, row, size), row.kind, row.cursor
        if kind == REPAIR:
            doorbells = _doorbells(session, keys)
            # No other scheduler takes it while we call Redis; if that fails, it is tried again then
            row.wake_at = now + _REDIS_PAUSE
        else:
            doorbells = _ACTS[kind](session, row, keys) if keys else []
            _note(row, keys, size, len(doorbells), now)
    if kind == REPAIR:
        _repair(taken[0], cursor, keys, size, doorbells)
    else:
        retry_dead.tell_queues(doorbells, is_retry=kind == RETRY)
    publish.hint(publish.ACTIONS)
    return BATCH if len(keys) == size else len(keys)


def _note(row: BulkAction, keys: list[UUID], size: int, done: int, now: datetime) -> None:
    """How far it has come, with the batch `keys` of which `done` were acted on."""
    row.done += done
    row.left += len(keys) - done
    # Deliveries that had failed by then, but were recorded only after the count
    row.total = max(row.total, row.done + row.left)
    if keys:
        row.cursor = keys[-1]
    row.wake_at = now + timedelta(seconds=len(keys) / row.per_second) if row.per_second else None
    if len(keys) < size:
        _finish(row)


def _next(session: "scoped_session[Session]", row: BulkAction, size: int) -> list[UUID]:
    statement = select_dead(read_filter(row.filter, row.created_at), Delivery.id)
    if row.cursor is not None:
        statement = statement.where(Delivery.id > row.cursor)
    return list(session.scalars(statement.order_by(Delivery.id).limit(size)))


def _finish(row: BulkAction) -> None:
    """Deliveries that others have dealt with meanwhile count as left alone, so that the counts add up."""
    row.left = row.total - row.done
    row.finished_at = clock_now()
    with audit.acting_as(row.actor):
        audit.write(
            "bulk.finished", show("blk", row.id), after={"kind": row.kind, "done": row.done, "left_alone": row.left}
        )


def _retry(session: "scoped_session[Session]", row: BulkAction, keys: list[UUID]) -> list[Doorbell]:
    return retry_dead.revive(session, keys, row.provider)


def _discard(session: "scoped_session[Session]", _row: BulkAction, keys: list[UUID]) -> list[Doorbell]:
    return retry_dead.put_away(session, keys)


def _doorbells(session: "scoped_session[Session]", keys: list[UUID]) -> list[Doorbell]:
    rows = session.execute(sa.select(Delivery.id, Delivery.channel, Delivery.priority).where(Delivery.id.in_(keys)))
    return [Doorbell.of(row) for row in rows]


def _repair(key: UUID, cursor: UUID | None, keys: list[UUID], size: int, doorbells: list[Doorbell]) -> None:
    """Adds the jobs that RQ's registries lack, outside any transaction, and then notes it; after a crash it is done
    again, which changes nothing.
    """
    try:
        restored = restore_failed(doorbells)
    except redis.RedisError as error:
        log.warning("bulk.redis_away", error=type(error).__name__)
        return
    with transaction() as session:
        row = session.get_one(BulkAction, key, with_for_update=True, populate_existing=True)
        if row.finished_at is None and row.cursor == cursor:
            _note(row, keys, size, len(restored), clock_now())


_ACTS: dict[str, Callable[["scoped_session[Session]", BulkAction, list[UUID]], list[Doorbell]]] = {
    RETRY: _retry,
    DISCARD: _discard,
}
