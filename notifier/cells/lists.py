"""Uploaded lists of people of several cells: each row goes to the cell where its person lives, under the id that the
upload has here, and a broadcast to the list finds it in every cell.

What goes to other cells is stored in the transaction that takes a part off the list here: each row is told once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from notifier.cells import forwards, homes
from notifier.core.cells import CONSOLE, Call, OnBehalf
from notifier.core.errors import Rejected
from notifier.core.people import parse_user_id
from notifier.core.submission import InlineRecipient
from notifier.core.worlds import stored_id
from notifier.ground.cells import Cells
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.ids import new_hex, show
from notifier.models import Producer, Upload
from notifier.people import profiles, upload_reading
from notifier.people.upload_reading import Part, ReadRow
from notifier.people.upload_rows import BadRow
from notifier.people.uploads import KIND

PATH = "/cells/uploads"  # the door of `api.cells`
MOST = 2_000  # rows of a call

log = structlog.get_logger()


def read(upload_id: UUID) -> int:
    """As `upload_reading.read`. While a cell is silent that might know somebody, the rest waits."""
    try:
        return upload_reading.read(upload_id, _share)
    except Rejected as refused:
        log.warning("upload.waits", upload=show(KIND, upload_id), why=refused.detail)
        return 0


def unpack(rows: Sequence[Sequence[Any]]) -> list[ReadRow]:
    """Rows as `_share` has passed them on. Raises Rejected."""
    try:
        found: list[ReadRow] = [
            (
                int(line),
                InlineRecipient(parse_user_id(user_id), {n: v for n, v in said.items() if n in profiles.FIELDS}),
            )
            for line, user_id, said in rows
        ]
    except (AttributeError, TypeError, ValueError):
        raise Rejected("malformed_json", "these are no rows of an upload") from None
    faults = [fault for _, row in found if isinstance(row, InlineRecipient) for fault in profiles.check(row.changes)]
    if faults or len(found) > MOST:
        raise Rejected("malformed_json", "these are no rows of an upload")
    return found


def _share(part: Part) -> Part:
    cells = current_settings().region
    if cells is None or not cells.others:
        return part
    is_test = db.session.get_one(Upload, part.upload_id).is_test
    people = {stored_id(row.id, is_test=is_test): row for _, row in part.rows if isinstance(row, InlineRecipient)}
    found, refused = _homes(cells, people)
    db.session.rollback()
    here: list[ReadRow] = []
    others: dict[str, list[list[Any]]] = {region: [] for region in cells.others}
    for line, row in part.rows:
        stored = None if isinstance(row, BadRow) else stored_id(row.id, is_test=is_test)
        if stored in refused:
            here.append((line, refused[stored]))
        elif stored in found.homes and isinstance(row, InlineRecipient):
            others[found.homes[stored]].append([line, row.id, dict(row.changes)])
        else:
            here.append((line, row))

    def pass_on(upload: Upload, is_last: bool) -> None:
        """All hear of the last part, so that a broadcast finds the list everywhere."""
        calls = [(region, _call(upload, rows)) for region, rows in sorted(others.items()) if rows or is_last]
        homes.remember(found.new)
        if calls:
            forwards.add(calls)

    return replace(part, rows=here, pass_on=pass_on)


def _homes(cells: Cells, people: Mapping[str, InlineRecipient]) -> tuple[homes.Elsewhere, dict[str | None, BadRow]]:
    """→ where they live, and whose region cannot be. Raises Rejected('unavailable')."""
    said = {user_id: str(region) for user_id, row in people.items() if (region := row.changes.get("home_region"))}
    try:
        return homes.elsewhere(cells, list(people), said, people), {}
    except Rejected as refused:
        if refused.code == "unavailable":
            raise
        if len(people) == 1:
            return homes.Elsewhere({}, {}), {next(iter(people)): BadRow(refused.code, refused.detail)}
    ids = list(people)
    half = len(ids) // 2
    (first, bad), (second, worse) = (
        _homes(cells, {user_id: people[user_id] for user_id in some}) for some in (ids[:half], ids[half:])
    )
    return homes.Elsewhere({**first.homes, **second.homes}, {**first.new, **second.new}), {**bad, **worse}


def _call(upload: Upload, rows: Sequence[Any]) -> Call:
    producer = db.session.get(Producer, upload.producer_id) if upload.producer_id else None
    may = {"users": upload.may_change_people, "admin": upload.may_change_staff}
    scopes = ("broadcast", *(scope for scope, is_allowed in may.items() if is_allowed))
    behalf = OnBehalf(producer.name if producer else CONSOLE, scopes, None, upload.is_test, upload.actor)
    call_id = new_hex()
    body = {"upload": show(KIND, upload.id), "rows": list(rows)}
    return Call(call_id, "POST", PATH, body, behalf, f"cell:{call_id}")
