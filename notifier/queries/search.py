"""Finds notifications for `/admin/notifications`: by any id that somebody pastes, or by filters, newest first.

A page examines a bounded number of notifications and says how far back it has looked, so a search for something rare
costs no more than any other, however many notifications there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.errors import Fault, Rejected
from notifier.core.lifecycle import STATUSES
from notifier.ground.extensions import db
from notifier.ground.ids import parse, parse_many, show
from notifier.models import Delivery, Notification, Producer

PAGE_SIZE = 50
WINDOW = 10_000  # notifications that one page looks at
_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Search:
    """None: any. `producer` is a shown id (`prd_…`)."""

    user: str | None = None
    type: str | None = None
    status: str | None = None
    channel: str | None = None
    producer: str | None = None

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Line:
    notification: Notification
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Found:
    """`following`: the cursor of the next page. `is_cut_short`: the page has looked as far as a page may, and found
    less than it holds.
    """

    lines: Sequence[Line]
    following: str | None
    is_cut_short: bool


def read_search(given: Mapping[str, str]) -> Search:
    """From the parameters of an address. Raises Rejected naming every invalid parameter."""
    found, faults = {}, []
    allowed = {"status": STATUSES, "channel": tuple(CHANNELS)}
    for field in fields(Search):
        value = (given.get(field.name) or "").strip()
        if not value:
            continue
        if len(value) > _LONGEST or "\0" in value:
            faults.append(
                Fault(f"/{field.name}", "invalid", f"{field.name} must be text of at most {_LONGEST} characters")
            )
        elif field.name in allowed and value not in allowed[field.name]:
            faults.append(Fault(f"/{field.name}", "invalid", f"there is no {field.name} {value[:40]!r}"))
        elif field.name == "producer" and not parse_many("prd", [value]):
            faults.append(Fault("/producer", "invalid", f"there is no producer {value[:40]!r}"))
        else:
            found[field.name] = value
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults), tuple(faults))
    return Search(**found)


def by_id(text: str) -> list[UUID]:
    """The notifications that an id is about: `ntf_…`, `dlv_…`, `sub_…`, or what a provider calls its message. At most a
    page of them.
    """
    text = text.strip()[:_LONGEST].replace("\0", "")
    if not text:
        return []
    for kind, column in (("ntf", Notification.id), ("sub", Notification.submission_id)):
        keys = parse_many(kind, [text])
        if keys:
            return list(
                db.session.scalars(
                    sa.select(Notification.id)
                    .where(column == keys[0])
                    .order_by(Notification.id.desc())
                    .limit(PAGE_SIZE)
                )
            )
    keys = parse_many("dlv", [text])
    matches = Delivery.id == keys[0] if keys else Delivery.provider_message_id == text
    return list(db.session.scalars(sa.select(Delivery.notification_id).where(matches).distinct().limit(PAGE_SIZE)))


def page(search: Search, after: str | None = None) -> Found:
    """Raises Rejected for an invalid cursor."""
    looked_at = _window(search, after)
    window = looked_at.limit(WINDOW).subquery()
    chosen = sa.select(window.c.id).order_by(window.c.id.desc()).limit(PAGE_SIZE + 1)
    if search.type:
        chosen = chosen.where(window.c.type == search.type)
    if search.status or search.channel:
        wanted = sa.select(Delivery.id).where(Delivery.notification_id == window.c.id)
        wanted = wanted.where(Delivery.status == search.status) if search.status else wanted
        wanted = wanted.where(Delivery.channel == search.channel) if search.channel else wanted
        # Looked up for each: without the offset PostgreSQL may make a join of it, and read all deliveries
        chosen = chosen.where(wanted.offset(0).exists())
    keys = list(db.session.scalars(chosen))
    rows = list(
        db.session.scalars(sa.select(Notification).where(Notification.id.in_(keys)).order_by(Notification.id.desc()))
    )
    if len(rows) > PAGE_SIZE:
        return Found(_lines(rows[:PAGE_SIZE]), show("ntf", rows[PAGE_SIZE - 1].id), is_cut_short=False)
    last = db.session.scalar(looked_at.with_only_columns(Notification.id).offset(WINDOW - 1).limit(1))
    return Found(_lines(rows), show("ntf", last) if last else None, is_cut_short=last is not None)


def these(keys: Sequence[UUID]) -> Found:
    rows = list(
        db.session.scalars(sa.select(Notification).where(Notification.id.in_(keys)).order_by(Notification.id.desc()))
    )
    return Found(_lines(rows), None, is_cut_short=False)


def _window(search: Search, after: str | None) -> "sa.Select[UUID, str]":
    statement = sa.select(Notification.id, Notification.type).order_by(Notification.id.desc())
    if after:
        statement = statement.where(Notification.id < parse("ntf", after))
    if search.user:
        statement = statement.where(Notification.user_id == search.user)
    if search.producer:
        statement = statement.where(Notification.producer_id == parse("prd", search.producer))
    return statement


def _lines(rows: Sequence[Notification]) -> list[Line]:
    deliveries: dict[UUID, list[Delivery]] = {}
    if rows:
        for delivery in db.session.scalars(
            sa.select(Delivery).where(Delivery.notification_id.in_([row.id for row in rows])).order_by(Delivery.id)
        ):
            deliveries.setdefault(delivery.notification_id, []).append(delivery)
    return [Line(row, deliveries.get(row.id, [])) for row in rows]


def producers() -> list[tuple[str, str]]:
    """(shown id, name) of all, by name."""
    return [
        (show("prd", row.id), row.name)
        for row in db.session.execute(sa.select(Producer.id, Producer.name).order_by(Producer.name))
    ]


def latest(limit: int) -> list[Line]:
    """The latest notifications, for the overview."""
    return _lines(list(db.session.scalars(sa.select(Notification).order_by(Notification.id.desc()).limit(limit))))
