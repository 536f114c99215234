"""Closes due digests: each becomes one notification that lists its lines.

Called by the schedulers, however many there are. Closing a digest, storing its notification and marking its deliveries
is one transaction, so a scheduler that dies half-way has done nothing. Lines that are no longer wanted are left out,
and their deliveries say why. The lines are rendered before that transaction begins, since templates are user-written
programs.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.catalogue.known import load_wordings
from notifier.core.digest import type_of
from notifier.core.experiments import Wording
from notifier.core.message import Content
from notifier.core.reasons import DIGESTED
from notifier.ground.apart import AGAIN_AFTER, all_or_apart
from notifier.ground.clock import now as clock_now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.ledgers import broadcast_counts
from notifier.models import Delivery, Digest, DigestEntry, Notification, Submission
from notifier.people.person import Person
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import Order, Target
from notifier.pipeline.planning.store import Stored, announce, store
from notifier.pipeline.upkeep.digest_issues import Batch, Issue, group_of, issues_of, load
from notifier.providers import accounts as providers
from notifier.words.clean import web_address
from notifier.words.compose import Wanted, put_some_into_words, title_of

BATCH = 100
MOST_LINES = 20  # further ones are counted
# Whatever was decided before a window ended is in its digest, unless it takes longer than this to be stored.
GRACE = timedelta(seconds=2)
KEPT = timedelta(days=7)  # while the person has muted everything
_A_MOMENT = timedelta(milliseconds=1)
_SPARE = 20  # lines that take the place of those that are read or switched off while the words are made
_MOST_WORK = 1_000_000  # units, for the lines of one batch
Lines = Mapping[UUID, Content]  # notification → how a digest's line says it

_delivery, _notification = Delivery.__table__.c, Notification.__table__.c

log = structlog.get_logger()


def close_due() -> int:
    """→ how many were closed, BATCH at most."""
    due = sa.select(Digest.id).where(Digest.due_at <= clock_now() - GRACE).order_by(Digest.due_at).limit(BATCH)
    ids = db.session.scalars(due).all()
    db.session.close()
    if not ids:
        return 0
    providers.refresh()
    return all_or_apart(ids, _close_these, _put_off)


def _close_these(ids: Sequence[UUID]) -> int:
    closed, stored = _close(ids, _words(ids))
    announce(stored)
    if closed:  # or another scheduler was faster
        log.info("digests.closed", digests=closed, notifications=len(stored.made))
    return closed


def _put_off(id: UUID) -> None:
    log.exception("digest.not_closed", digest=id.hex)
    again_at = clock_now() + AGAIN_AFTER
    with transaction() as session:
        session.execute(sa.update(Digest.__table__).where(Digest.id == id).values(due_at=again_at))


def _due(ids: Sequence[UUID], now: datetime) -> "sa.Select[Digest]":
    return sa.select(Digest).where(Digest.id.in_(ids), Digest.due_at <= now - GRACE).order_by(Digest.due_at)


def _words(ids: Sequence[UUID]) -> Lines:
    """Renders the lines that would be listed now."""
    now = clock_now()
    batch = load(db.session.scalars(_due(ids, now)).all())
    shown = [(issue.person, entry) for issue in issues_of(batch, now) for entry in issue.listed[: MOST_LINES + _SPARE]]
    data = _data_of(entry for _, entry in shown)
    wanted = [
        Wanted(SHOWN_BY_US, batch.types[entry.type], entry.template_id, person, data[entry.id])
        for person, entry in shown
    ]
    contents = put_some_into_words(wanted, _MOST_WORK)
    db.session.close()
    return {
        entry.id: content for (_, entry), content in zip(shown, contents, strict=True) if isinstance(content, Content)
    }


def _data_of(entries: Iterable[Any]) -> dict[UUID, Mapping[str, Any]]:
    """Data by notification."""
    wanted = sa.select(_notification.id, _notification.data).where(
        _notification.id.in_({entry.id for entry in entries})
    )
    return {row.id: row.data or {} for row in db.session.execute(wanted)}


@retried
def _close(ids: Sequence[UUID], words: Lines) -> tuple[int, Stored]:
    now = clock_now()
    with transaction() as session:
        batch = load(session.scalars(_due(ids, now).with_for_update(skip_locked=True)).all())
        issues = issues_of(batch, now)
        stored = _store(issues, batch, words, now)
        _settle(batch, [(issue, show("ntf", one.id)) for issue, one in zip(issues, stored.made, strict=True)])
    return len(batch.digests), stored


def _store(issues: Sequence[Issue], batch: Batch, words: Lines, now: datetime) -> Stored:
    if not issues:
        return Stored()
    templates = load_wordings(type_of(issue.digest.category) for issue in issues)
    rows, targets = [], []
    for issue, data in zip(issues, _data(issues, batch, words), strict=True):
        type_ = batch.types[type_of(issue.digest.category)]
        # Due in a moment and not at once: they are released in parts, like all deliveries that come due together.
        order = Order(
            type_,
            type_.priority,
            data=data,
            wording=templates.get(type_.key, Wording()),
            requested=issue.channels,
            send_at=now + _A_MOMENT,
            expires_at=now + KEPT,
        )
        submission_id = new_id()
        rows.append({"id": submission_id, "type": type_.key, "is_test": issue.digest.is_test})
        targets.append(Target(submission_id, None, issue.digest.is_test, order, issue.person, given=issue.given))
    common = {
        "producer_id": None,
        "status": "expanded",
        "recipients": 1,
        "expanded": 1,
        "body": None,
        "request_id": "notifier",
        "created_at": now,
    }
    db.session.execute(sa.insert(Submission.__table__), [{**row, **common} for row in rows])
    return store(targets, now, Beforehand())  # nothing of it is shown at once


def _data(issues: Sequence[Issue], batch: Batch, words: Lines) -> list[dict[str, Any]]:
    """The lines of each, in the words that the inbox would have; by the type's name where the template fails, or the
    line came after its words.
    """

    def line(person: Person, entry: Any) -> dict[str, Any]:
        content = words.get(entry.id)
        if content is None:
            return {"title": title_of(batch.types[entry.type], person.locale), "url": None}
        return {"title": content.title, "url": content.action_url and web_address(content.action_url)}

    return [
        {
            "lines": [line(issue.person, entry) for entry in issue.listed[:MOST_LINES]],
            "count": len(issue.listed),
            "more": max(len(issue.listed) - MOST_LINES, 0),
        }
        for issue in issues
    ]


def _settle(batch: Batch, sent: Sequence[tuple[Issue, str]]) -> None:
    """Deliveries in the digest refer to it, those left out get a reason, and early ones stay open."""
    told: dict[UUID, tuple[str, Mapping[str, Any]]] = {
        delivery_id: (drop.reason, drop.detail) for delivery_id, drop in batch.left_out.items()
    }
    by_channel = {
        (group_of(issue.listed[0]), channel): shown_id for issue, shown_id in sent for channel in issue.channels
    }
    early = {entry.delivery_id for entry, _ in batch.early}
    for entry in batch.entries:
        if entry.delivery_id not in early and entry.delivery_id not in told:
            told[entry.delivery_id] = (DIGESTED, {**entry.detail, "digest": by_channel[group_of(entry), entry.channel]})
    counted = {entry.delivery_id for entry in batch.entries if entry.broadcast_id is not None}
    broadcast_counts.explained({key: reason for key, (reason, _) in told.items() if key in counted})
    if told:
        more = sa.bindparam("more", type_=_delivery.detail.type)
        db.session.connection().execute(
            sa.update(Delivery.__table__)
            .where(_delivery.id == sa.bindparam("key"))
            .values(reason=sa.bindparam("why"), detail=more),
            [{"key": key, "why": reason, "more": dict(detail)} for key, (reason, detail) in told.items()],
        )
    later: dict[UUID, datetime] = {}
    for entry, at in batch.early:
        later[entry.digest_id] = min(at, later.get(entry.digest_id, at))
    for digest in batch.digests:
        if digest.id in later:
            digest.due_at = max(digest.window_at, later[digest.id])
        else:  # and its lines with it
            db.session.delete(digest)
    gone = [{"key": one.delivery_id} for one in batch.entries if one.digest_id in later and one.delivery_id in told]
    if gone:
        its = DigestEntry.delivery_id == sa.bindparam("key")
        db.session.connection().execute(sa.delete(DigestEntry.__table__).where(its), gone)
