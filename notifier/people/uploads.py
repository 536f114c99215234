"""Uploaded lists of people: taken in as they come, in parts that a worker reads afterwards (`upload_reading`).

Called by `api.uploads`, the console and the scheduler. The parts stand in the database, encrypted, since a worker may
run on another machine.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.broadcasts import UNENDED
from notifier.core.csv_records import records, refused
from notifier.ground import database
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, parse_many, show
from notifier.ledgers import audit
from notifier.models import Broadcast, Upload, UploadMember, UploadPart
from notifier.models.upload import RECEIVING, RUNNING
from notifier.people.upload_rows import read_columns
from notifier.signals import queueing

KIND = "upl"
MOST_BYTES = 200 * 1000 * 1000
READ_GRACE = timedelta(seconds=10)  # then the scheduler rings again: the worker may have died
PART = 200  # rows in one transaction: SQLite has one writer at a time
LONG_PART = 128 * 1024  # characters, with which it has rows enough: a web process holds, and encrypts, a few parts
_PARTS_AT_ONCE = 4
_LONGEST_RECEIVING = timedelta(hours=6)
_uploads: sa.Table = Upload.__table__

log = structlog.get_logger()

Row = Sequence[Any]  # line, texts


@dataclass(frozen=True, slots=True)
class Rights:
    """Whose upload it is, and what its key may do. `actor`: its name in the audit trail."""

    producer_id: UUID | None
    is_test: bool
    may_change_people: bool
    may_change_staff: bool
    actor: str


def find(shown: str, *, producer_id: UUID | None, is_test: bool) -> Upload | None:
    """An upload that has been taken in. `producer_id`: whose it must be; None: anybody's."""
    keys = parse_many(KIND, [shown])
    statement = sa.select(Upload).where(Upload.id.in_(keys), Upload.is_test == is_test, Upload.status != RECEIVING)
    if producer_id is not None:
        statement = statement.where(Upload.producer_id == producer_id)
    return db.session.scalar(statement.execution_options(populate_existing=True))


def shape(upload: Upload) -> dict[str, Any]:
    """As the API shows it."""
    fields = ("status", "rows", "created", "changed", "bad", "bad_rows")
    return {"id": show(KIND, upload.id), **{name: getattr(upload, name) for name in fields}}


# ---- taking it in ---------------------------------------------------------------------------------------------------


def receive(pieces: Iterable[bytes], rights: Rights) -> UUID:
    """Stores the rows of a CSV file, unread, and rings for a worker. Raises Rejected, and whatever `pieces` raises;
    then nothing stays.
    """
    found = records(pieces)
    _, head = next(found, (0, None))
    if head is None:
        raise refused("empty", "the file is empty")
    upload_id, columns = new_id(), read_columns(head)
    try:
        parts, rows = _store_parts(upload_id, columns, found, rights)
        if not rows:
            raise refused("empty", "there are no rows below the first line", 1)
        _begin(upload_id, parts, rows, rights)
    except BaseException:
        with contextlib.suppress(*UNAVAILABLE):  # `prune` comes by
            _drop(upload_id)
        raise
    queueing.ring_uploads([upload_id])
    log.info("upload.received", upload=show(KIND, upload_id), rows=rows)
    return upload_id


def _store_parts(
    upload_id: UUID, columns: list[str], found: Iterator[tuple[int, list[str]]], rights: Rights
) -> tuple[int, int]:
    """→ how many parts, and rows."""
    parts = rows = 0
    cut = _cut(found)
    while pieces := list(islice(cut, _PARTS_AT_ONCE)):
        with transaction() as session:
            if not parts:
                session.add(new_upload(upload_id, columns, rights))
                session.flush()
            stored = [
                {"upload_id": upload_id, "number": number, "rows": piece}
                for number, piece in enumerate(pieces, start=parts)
            ]
            session.execute(sa.insert(UploadPart.__table__), stored)
        parts += len(pieces)
        rows += sum(map(len, pieces))
        time.sleep(0)  # the others' turn: a file from nearby comes faster than it is stored
    return parts, rows


def _cut(found: Iterable[tuple[int, list[str]]]) -> Iterator[list[Row]]:
    part: list[Row] = []
    length = 0
    for line, texts in found:
        part.append((line, texts))
        length += sum(map(len, texts))
        if len(part) == PART or length >= LONG_PART:
            yield part
            part, length = [], 0
    if part:
        yield part


def new_upload(upload_id: UUID, columns: list[str], rights: Rights) -> Upload:
    return Upload(
        id=upload_id,
        producer_id=rights.producer_id,
        is_test=rights.is_test,
        may_change_people=rights.may_change_people,
        may_change_staff=rights.may_change_staff,
        actor=rights.actor,
        status=RECEIVING,
        columns=columns,
    )


def _begin(upload_id: UUID, parts: int, rows: int, rights: Rights) -> None:
    with transaction() as session:
        begun = {"status": RUNNING, "parts": parts, "rows": rows, "wake_at": clock_now() + READ_GRACE}
        session.execute(sa.update(_uploads).where(_uploads.c.id == upload_id).values(**begun))
        if not rights.is_test:
            audit.write("upload.received", show(KIND, upload_id), after={"rows": rows})


def _drop(upload_id: UUID) -> None:
    with transaction() as session:
        session.execute(sa.delete(_uploads).where(_uploads.c.id == upload_id))


# ---- upkeep ---------------------------------------------------------------------------------------------------------


def ring_waiting() -> int:
    """Uploads that are still to be read, in case their doorbell was lost or their worker died."""
    now = clock_now()
    with transaction() as session:
        due = sa.select(Upload.id).where(Upload.wake_at <= now).limit(100).with_for_update(skip_locked=True)
        ids = list(session.scalars(due))
        if ids:
            session.execute(sa.update(_uploads).where(_uploads.c.id.in_(ids)).values(wake_at=now + READ_GRACE))
    queueing.ring_uploads(ids)
    return len(ids)


def prune() -> int:
    """Deletes uploads that are older than `RETENTION` says, and what is left of requests that broke off; the people on
    them stay. A list whose broadcast has yet to find some of its people is kept. → how many.
    """
    now = clock_now()
    is_old = sa.or_(
        _uploads.c.created_at < now - current_settings().retention["uploads"],
        sa.and_(_uploads.c.status == RECEIVING, _uploads.c.created_at < now - _LONGEST_RECEIVING),
    )
    old = set(db.session.scalars(sa.select(_uploads.c.id).where(is_old)))
    old -= _needed() if old else set()
    for table in (UploadMember.__table__, UploadPart.__table__):
        if old:
            database.prune(table, table.c.upload_id.in_(old))
    return database.prune(_uploads, _uploads.c.id.in_(old)) if old else 0


def _needed() -> set[UUID]:
    named = sa.select(Broadcast.audience["upload"].as_string()).where(
        Broadcast.expanded_at.is_(None), Broadcast.status.in_(UNENDED)
    )
    return set(parse_many(KIND, filter(None, db.session.scalars(named))))
