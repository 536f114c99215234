"""Uploaded lists of people for the console: those of live keys and of the console itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.extensions import db
from notifier.ground.ids import parse, show
from notifier.models import Producer, Upload
from notifier.models.upload import FINISHED, RECEIVING

KIND = "upl"


@dataclass(frozen=True, slots=True)
class Line:
    """`people`: how many the list names, once it has been read. `producer` None: it was uploaded in the console."""

    id: str
    row: Upload
    producer: Producer | None

    @property
    def people(self) -> int:
        return self.row.rows - self.row.bad_rows

    @property
    def is_read(self) -> bool:
        return self.row.status == FINISHED

    @property
    def words(self) -> str:
        return f"{self.people:,} people, {self.row.created_at:%d %b %Y, %H:%M} UTC, by {self.row.actor}"


@dataclass(frozen=True, slots=True)
class Page:
    lines: Sequence[Line]
    next: str | None


def page(after: str | None, limit: int) -> Page:
    """Newest first. Raises Rejected('not_found') for a cursor that is none."""
    statement = _all().limit(limit + 1)
    found = _lines(statement.where(Upload.id < parse(KIND, after)) if after else statement)
    return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)


def finished(limit: int) -> list[Line]:
    """The newest lists that have been read, and so can be sent to."""
    return _lines(_all().where(Upload.status == FINISHED).limit(limit))


def one(shown_id: str) -> Line:
    """Raises Rejected('not_found')."""
    found = _lines(_all().where(Upload.id == parse(KIND, shown_id)))
    if not found:
        raise Rejected("not_found", f"there is no upload {shown_id[:80]!r}")
    return found[0]


def _all() -> "sa.Select[Upload, Producer]":
    """Those that have been taken in."""
    statement = sa.select(Upload, Producer).outerjoin(Producer, Producer.id == Upload.producer_id)
    return statement.where(~Upload.is_test, Upload.status != RECEIVING).order_by(Upload.id.desc())


def _lines(statement: "sa.Select[Upload, Producer]") -> list[Line]:
    found = db.session.execute(statement.execution_options(populate_existing=True))
    return [Line(show(KIND, row.id), row, producer) for row, producer in found]
