"""Receipts that came before their delivery was known or recorded, and hits on our own links until those beside them
are known: kept, looked at again, and in the end forgotten.

Called by `delivery.record` and `upkeep.lapsed`, which have just learnt what became of a send, and by the scheduler.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.receipts import MACHINE
from notifier.core.tracking import ACCOUNT, is_of_scan
from notifier.ground import database
from notifier.ground.apart import all_or_apart
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE, retried, set_each, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Receipt
from notifier.pipeline.delivery.consequences import Word
from notifier.pipeline.delivery.finished import Finished
from notifier.pipeline.delivery.matching import GIVEN, match, next_look, outcome
from notifier.pipeline.delivery.receipts import apply, tell_others

BATCH = 500  # kept ones that the scheduler looks at
KEPT = timedelta(days=10)  # longer than any provider repeats
MOST_HITS = 1_000  # of a mail: a scanner that follows its links again and again must not fill the database

_receipts: sa.Table = Receipt.__table__
# Made once, and not OR: SQLite would read all that is kept.
_BY = {"ids": _receipts.c.reference, "messages": _receipts.c.provider_message_id}
_KEPT_ABOUT = {
    names: sa.union(
        *(
            sa.select(_receipts.c.id).where(
                _receipts.c.applied_at.is_(None), _BY[name].in_(sa.bindparam(name, expanding=True))
            )
            for name in names
        )
    )
    for names in GIVEN
}

# By delivery, the hits on its mail: the number of the link, and when. No number: the pixel, or one of somebody erased
Hits = dict[UUID | None, list[tuple[int | None, datetime]]]

log = structlog.get_logger()


def foretell(finished: Iterable[Finished]) -> None:
    """Keeps what the sandbox is going to say of these sends until its time comes. Inside the caller's transaction; one
    statement, none for sends by anybody else.
    """
    at = clock_now()
    rows = [
        {
            "provider": one.latest.adapter.name,
            "channel": one.task.delivery.channel,
            "event_id": f"{show('dlv', one.task.delivery.id)} {one.latest.number} {number}",
            "provider_message_id": receipt.provider_message_id,
            "reference": one.task.delivery.id,
            "status": event.kind,
            "by": event.by,
            "detail": {},
            "at": at + timedelta(seconds=event.at_s),
            "received_at": at,
            "wake_at": at + timedelta(seconds=event.after_s),
        }
        for one in finished
        if (receipt := one.latest.receipt) is not None
        for number, event in enumerate(receipt.foretold)
    ]
    if rows:
        db.session.execute(sa.insert(_receipts), rows)


def told_already(deliveries: Collection[UUID], messages: Collection[str]) -> list[int]:
    """Kept events about these, which have just been sent: their ids. Inside the caller's transaction; one statement."""
    given = {name: list(values) for name, values in (("ids", deliveries), ("messages", messages)) if values}
    return list(db.session.scalars(_KEPT_ABOUT[tuple(given)], given)) if given else []


def apply_now(ids: Collection[int]) -> None:
    """Kept events whose deliveries have been recorded. Whatever goes wrong, the scheduler looks at them again."""
    try:
        _apply_kept(_receipts.c.id.in_(ids))
    except Exception as error:
        log.warning("receipts.not_applied", error=type(error).__name__, exc_info=not isinstance(error, UNAVAILABLE))


def apply_due() -> int:
    """Looks again at kept events whose time has come: for longer and longer, since most of those left are nobody's. →
    how many. Called by the scheduler, in any number of processes.
    """
    is_due = sa.and_(_receipts.c.wake_at <= clock_now(), _receipts.c.applied_at.is_(None))
    due = sa.select(_receipts.c.id).where(is_due).order_by(_receipts.c.wake_at).limit(BATCH)
    ids = db.session.scalars(due).all()
    db.session.close()
    return all_or_apart(ids, lambda some: _apply_kept(_receipts.c.id.in_(some) & is_due), _put_off) if ids else 0


def _put_off(id: int) -> None:
    """It is tried again, ever less often."""
    log.exception("receipt.not_applied", receipt=id)
    now = clock_now()
    with transaction() as session:
        received_at = session.scalar(sa.select(_receipts.c.received_at).where(_receipts.c.id == id))
        later = next_look(received_at or now, now)
        session.execute(sa.update(_receipts).where(_receipts.c.id == id).values(wake_at=later))


@retried
def _apply_kept(chosen: "sa.ColumnElement[bool]") -> int:
    now = clock_now()
    with transaction() as session:
        kept = session.execute(
            sa.select(_receipts)
            .where(chosen, _receipts.c.applied_at.is_(None))
            .order_by(_receipts.c.wake_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        ).all()
        if not kept:
            return 0
        words = [_word(row) for row in kept]
        hits = _hits_beside(words)
        words = _without_scans(words, hits)
        found = match(words)
        refused = [row.id for row, word in zip(kept, words, strict=True) if found.is_refused(word)]
        if refused:
            session.execute(sa.delete(_receipts).where(_receipts.c.id.in_(refused)))
        judged = [
            (row, word, outcome(word, found, row.received_at, now))
            for row, word in zip(kept, words, strict=True)
            if not found.is_refused(word)
        ]
        if judged:
            changes = [{"id": row.id, **became, **_judged(row, word, hits)} for row, word, became in judged]
            set_each(_receipts, "id", changes)
        drawn = apply([word for _, word, became in judged if became["applied_at"]], found)
    tell_others(drawn, now)
    return len(kept)


def _hits_beside(words: Sequence[Word]) -> Hits:
    """Of the mails whose own links were hit. One statement if there are any."""
    mine = {word.reference for word in words if word.provider == ACCOUNT and word.by != MACHINE}
    beside: Hits = {}
    if not mine:
        return beside
    hits = sa.select(_receipts.c.delivery_id, _receipts.c.detail, _receipts.c.at).where(
        _receipts.c.delivery_id.in_(mine), _receipts.c.provider == ACCOUNT
    )
    for hit in db.session.execute(hits):
        beside.setdefault(hit.delivery_id, []).append((hit.detail.get("link"), hit.at))
    return beside


def _without_scans(words: Sequence[Word], hits: Hits) -> list[Word]:
    """The hits on our own links, with a machine's for all that were a scanner's."""
    return [
        replace(word, by=MACHINE)
        if word.provider == ACCOUNT and is_of_scan(word.at, hits.get(word.reference, ()))
        else word
        for word in words
    ]


def _judged(row: "sa.Row[Any]", word: Word, hits: Hits) -> dict[str, Any]:
    """A hit that turns out to be a scanner's leaves its name to the person who follows the link later, unless the mail
    has had too many.
    """
    keeps = word.by == row.by or len(hits.get(word.reference, ())) >= MOST_HITS
    return {"by": word.by, "event_id": row.event_id if keeps else f"{row.event_id} {row.id}"}


def _word(row: "sa.Row[Any]") -> Word:
    names = ("provider", "channel", "event_id", "at", "provider_message_id", "reference", "digest", "code", "by")
    return Word(kind=row.status, detail=row.detail, **{name: getattr(row, name) for name in names})


def prune() -> int:
    """→ how many are gone that were about nothing of ours; the others go with their deliveries."""
    return database.prune(_receipts, _receipts.c.delivery_id.is_(None), _receipts.c.received_at < clock_now() - KEPT)
