"""Reads uploaded lists of people, a part at a time: creates and changes the people of its rows.

Called by jobs (`read`), and by `api.cells` with rows that came in elsewhere (`add`). A part is read in one transaction,
which also takes it off the list and counts it: whoever dies, or does it twice, nothing is lost and nothing counted
twice.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.core.errors import Rejected
from notifier.core.people import LARGEST_ATTRIBUTES
from notifier.core.submission import InlineRecipient
from notifier.core.worlds import stored_id
from notifier.ground.clock import now as clock_now
from notifier.ground.database import UNAVAILABLE, insert, retried, transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.fast_json import encoded
from notifier.ground.ids import show
from notifier.models import Upload, UploadMember, UploadPart, User
from notifier.models.upload import FINISHED, RUNNING
from notifier.people import profiles, staff
from notifier.people.upload_rows import BadRow, read_row
from notifier.people.uploads import KIND, READ_GRACE, Rights, new_upload
from notifier.signals.pressing import give_way, has_pressing

MOST_TOLD = 100
_NOT_STORED = ("internal_error", "this line could not be stored; the log has the details")
_TOO_LARGE = ("too_large", f"the attributes are too large: the maximum is {LARGEST_ATTRIBUTES:,} bytes of JSON")
_TURN_S = 60.0  # of one upload, in a worker that has others to read
_uploads: sa.Table = Upload.__table__

log = structlog.get_logger()

ReadRow = tuple[int, InlineRecipient | BadRow]  # line


@dataclass(frozen=True, slots=True)
class Part:
    """`pass_on`: stores, inside the transaction, what others are to do with the rows that are not here; it is told
    whether this is the last part.
    """

    upload_id: UUID
    number: int
    rows: Sequence[ReadRow]
    pass_on: Callable[[Upload, bool], None] = lambda _upload, _is_last: None


Share = Callable[[Part], Part]  # leaves out the rows of people who live in other cells. Raises Rejected('unavailable')


def read(upload_id: UUID, share: Share = lambda part: part) -> int:
    """Creates and changes the people of the parts that are still to be read, for a minute at most; the scheduler rings
    for the rest. → how many parts: 0 when all are done, or another worker reads them.
    """
    begun, done = time.monotonic(), 0
    while (part := next_part(upload_id)) is not None:
        if time.monotonic() - begun > _TURN_S:
            with transaction() as session:
                session.execute(sa.update(_uploads).where(_uploads.c.id == upload_id).values(wake_at=clock_now()))
            break
        redis_store.look()
        gives_way, part_begun = has_pressing(), time.monotonic()
        part = share(part)
        try:
            is_mine = store_part(part)
        except UNAVAILABLE:
            raise
        except Exception:
            log.exception("upload.part_failed", upload=show(KIND, upload_id), part=part.number)
            is_mine = store_part(part, one_by_one=True)
        if not is_mine:  # another worker has read this one, and goes on
            break
        done += 1
        if gives_way:
            give_way(part_begun)
    return done


def next_part(upload_id: UUID) -> Part | None:
    """None: there is nothing left to read. Its rows are read here, outside of any transaction: addresses take their
    time, and SQLite has one writer.
    """
    statement = (
        sa.select(UploadPart.number, UploadPart.rows, Upload.columns)
        .join(Upload, Upload.id == UploadPart.upload_id)
        .where(Upload.id == upload_id, Upload.status == RUNNING, UploadPart.number == Upload.read)
    )
    found = db.session.execute(statement).first()
    db.session.close()
    if found is None:
        return None
    return Part(upload_id, found.number, [(line, _read(found.columns, line, texts)) for line, texts in found.rows])


def _read(columns: Sequence[str], line: int, texts: Sequence[str]) -> InlineRecipient | BadRow:
    try:
        return read_row(columns, texts)
    except BadRow as bad:
        return bad
    except Exception:  # a fault of ours must not hold up all the other rows
        log.exception("upload.row_failed", line=line)
        return BadRow(*_NOT_STORED)


@retried
def store_part(part: Part, *, one_by_one: bool = False) -> bool:
    """One transaction. False, and nothing has changed, if this part is read already. `one_by_one`: a row that cannot be
    stored is left out, and the others are not.
    """
    with transaction() as session:
        upload = session.get(Upload, part.upload_id, with_for_update=True, populate_existing=True)
        if upload is None or upload.status != RUNNING or upload.read != part.number:
            return False
        told = _keep_one_by_one(upload, part.rows) if one_by_one else _keep(upload, part.rows)
        upload.bad = [*upload.bad, *told][:MOST_TOLD]
        upload.bad_rows += len(told)
        upload.read, upload.wake_at = part.number + 1, clock_now() + READ_GRACE
        this = (UploadPart.upload_id == part.upload_id, UploadPart.number == part.number)
        session.execute(sa.delete(UploadPart).where(*this))
        part.pass_on(upload, upload.read == upload.parts)
        if upload.read == upload.parts:
            upload.status, upload.wake_at, upload.erased, upload.finished_at = FINISHED, None, None, clock_now()
            log.info("upload.finished", upload=show(KIND, upload.id), **_counts(upload))
    return True


def add(upload_id: UUID, rows: Sequence[ReadRow], rights: Rights) -> None:
    """Rows of an upload that came in elsewhere, stored at once. Raises Rejected if it is another producer's."""
    with transaction() as session:
        upload = session.get(Upload, upload_id, with_for_update=True, populate_existing=True)
        if upload is None:
            upload = new_upload(upload_id, [], rights)
            upload.bad, upload.rows, upload.created, upload.changed, upload.bad_rows = [], 0, 0, 0, 0
            session.add(upload)
            session.flush()
        if (upload.producer_id, upload.is_test) != (rights.producer_id, rights.is_test):
            raise Rejected("conflict", "this upload is another producer's")
        told = _keep(upload, rows)
        upload.bad = [*upload.bad, *told][:MOST_TOLD]
        upload.bad_rows += len(told)
        upload.rows += len(rows)
        upload.status, upload.finished_at = FINISHED, clock_now()


def _counts(upload: Upload) -> dict[str, int]:
    return {name: getattr(upload, name) for name in ("rows", "created", "changed", "bad_rows")}


def _keep_one_by_one(upload: Upload, rows: Sequence[ReadRow]) -> list[dict[str, Any]]:
    """Where no row can be stored, the fault is not theirs: it is raised, and they stay to be read."""
    told, failed = [], 0
    for row in rows:
        counted = upload.created, upload.changed
        try:
            with db.session.begin_nested():
                told += _keep(upload, [row])
        except UNAVAILABLE:
            raise
        except Exception:
            failed += 1
            if failed == len(rows) > 1:
                raise
            upload.created, upload.changed = counted
            log.exception("upload.row_failed", upload=show(KIND, upload.id), line=row[0])
            told.append(_bad(row[0], *_NOT_STORED))
    return told


def _keep(upload: Upload, rows: Sequence[ReadRow]) -> list[dict[str, Any]]:
    """Creates and changes the people of these rows, and notes that they are on the list. → the bad rows. A constant
    number of statements.
    """
    wanted, lines, told = _sorted_out(upload, rows)
    is_known = sa.select(User.id, User.attributes).where(User.id.in_(wanted)).order_by(User.id)
    stored = {row.id: row.attributes for row in db.session.execute(is_known.with_for_update(key_share=True))}
    known = stored if upload.may_change_people else {}
    wanted = {one.id: _added_to(known.get(one.id), one) for one in wanted.values()}
    for user_id in [one.id for one in wanted.values() if _is_too_large(one)]:
        del wanted[user_id]
        told.append(_bad(lines[user_id], *_TOO_LARGE))
    new = [person for user_id, person in wanted.items() if user_id not in stored]
    if upload.may_change_people:
        protected = set() if upload.may_change_staff else staff.among(list(stored))
        people = [one for one in wanted.values() if one.id not in protected]
        upserted = profiles.upsert(people, actors=dict.fromkeys(wanted, upload.actor))
        upload.created += len(upserted.created)
        upload.changed += len(upserted.changed)
    else:
        upload.created += len(new) - len(profiles.create(new, actors=dict.fromkeys(wanted, upload.actor)))
    if wanted:
        members = [{"upload_id": upload.id, "user_id": user_id} for user_id in sorted(wanted)]
        db.session.execute(insert(UploadMember).on_conflict_do_nothing(), members)
    return sorted(told, key=lambda bad: bad["line"])


def _sorted_out(
    upload: Upload, rows: Sequence[ReadRow]
) -> tuple[dict[str, InlineRecipient], dict[str, int], list[dict[str, Any]]]:
    """→ people by their stored id, their lines, and the bad rows. Of several rows about one person the first counts."""
    wanted: dict[str, InlineRecipient] = {}
    lines: dict[str, int] = {}
    told, erased = [], set(upload.erased or ())
    for line, row in rows:
        if isinstance(row, BadRow):
            told.append(_bad(line, row.code, row.message))
            continue
        user_id = stored_id(row.id, is_test=upload.is_test)
        if user_id in erased:
            told.append(_bad(line, "erased", "this person has been erased since the file came"))
        elif user_id in wanted:
            told.append(_bad(line, "duplicate_id", "an earlier line has this id; the first one counts"))
        else:
            wanted[user_id], lines[user_id] = InlineRecipient(user_id, row.changes), line
    for user_id in _on_the_list(upload, wanted):
        del wanted[user_id]
        told.append(_bad(lines[user_id], "duplicate_id", "an earlier line has this id; the first one counts"))
    return wanted, lines, told


def _on_the_list(upload: Upload, user_ids: Collection[str]) -> list[str]:
    mine = (UploadMember.upload_id == upload.id, UploadMember.user_id.in_(user_ids))
    return list(db.session.scalars(sa.select(UploadMember.user_id).where(*mine))) if user_ids else []


def _added_to(attributes: Mapping[str, Any] | None, person: InlineRecipient) -> InlineRecipient:
    """A list says some of what is known of people: attributes that it does not name stay."""
    if not attributes or "attributes" not in person.changes:
        return person
    merged = {**attributes, **person.changes["attributes"]}
    return InlineRecipient(person.id, {**person.changes, "attributes": merged})


def _is_too_large(person: InlineRecipient) -> bool:
    return len(encoded(person.changes.get("attributes"))) > LARGEST_ATTRIBUTES


def _bad(line: int, code: str, message: str) -> dict[str, Any]:
    return {"line": line, "code": code, "message": message}
