"""Finds notifications for `/admin/notifications`: by an id, a person or a time that somebody types, or by filters,
newest first.

A page examines a bounded number of notifications and says how far back it has looked, so a search for something rare
costs no more than any other, however many notifications there are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.errors import Fault, Rejected
from notifier.core.lifecycle import STATUSES
from notifier.core.worlds import SYNTHETIC, stored_id
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, parse, parse_many, show
from notifier.ground.replica import may_lag
from notifier.models import Address, Delivery, Notification, Producer, User
from notifier.queries.people import digests_of
from notifier.queries.titles import titled

PAGE_SIZE = 50
WINDOW = 10_000  # notifications that one page looks at
_LONGEST = 255
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = re.compile(r"\d{1,2}:\d\d")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Search:
    """None: any. `producer` is a shown id (`prd_…`). `is_narrow`: some are passed over that no index passes over."""

    user: str | None = None
    type: str | None = None
    status: str | None = None
    channel: str | None = None
    producer: str | None = None

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, field.name) for field in fields(self))

    @property
    def is_narrow(self) -> bool:
        return bool(self.type or self.status or self.channel)


@dataclass(frozen=True, slots=True)
class Line:
    """`title` as `queries.titles` finds it."""

    notification: Notification
    title: str
    deliveries: Sequence[Delivery]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What somebody has typed: `keys` of notifications, `people`, or a time: all before `until`. None of them: nothing
    goes by that name.
    """

    keys: Sequence[UUID] = ()
    people: Sequence[str] = ()
    until: datetime | None = None

    @property
    def is_known(self) -> bool:
        return bool(self.keys or self.people or self.until)


ANYTHING = Meaning()
T = TypeVar("T")


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


def understand(text: str, zone: ZoneInfo) -> Meaning:
    """An id of ours, a person's id or whole address, a time in `zone` (`2026-11-29`, `2026-11-29 14:05`, `14:05`,
    `today`, `yesterday`), or a provider's id: the first of them that is known.
    """
    text = text.strip()[:_LONGEST].replace("\0", "")
    if not text:
        return Meaning()
    if any(parse_many(kind, [text]) for kind in ("ntf", "dlv", "sub")):
        return Meaning(keys=by_id(text))
    people = _people(text)
    until = None if people else _end_of(text, zone)
    return Meaning(keys=() if people or until else by_id(text), people=people, until=until)


def _people(text: str) -> list[str]:
    ids = (text, stored_id(text, is_test=True))
    owners = sa.select(Address.user_id).where(Address.digest.in_(digests_of(text)))
    known = sa.union(
        # One index scan for each: an OR would look at everybody
        *(sa.select(User.id).where(User.id.in_(meant)) for meant in (ids, owners)),
        # Those who were erased, too
        *(
            sa.select(sa.select(Notification.user_id).where(Notification.user_id == one).limit(1).subquery())
            for one in ids
        ),
    )
    return list(db.session.scalars(known.limit(PAGE_SIZE)))


def _end_of(text: str, zone: ZoneInfo) -> datetime | None:
    """The end of the day or minute that is meant."""
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    try:
        if text.lower() in named:
            return named[text.lower()] + timedelta(days=1)
        if _CLOCK.fullmatch(text):
            return today.combine(today, time.fromisoformat(text.zfill(5)), zone) + timedelta(minutes=1)
        if not _DAY.match(text):
            return None
        said = datetime.fromisoformat(text)
        span = timedelta(days=1) if len(text) == len("2026-11-29") else timedelta(minutes=1)
        return max((said if said.tzinfo else said.replace(tzinfo=zone)) + span, _FIRST)
    except (ValueError, OverflowError):
        return None


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


@may_lag
def page(search: Search, after: str | None = None, meaning: Meaning = ANYTHING) -> Found:
    """Raises Rejected for an invalid cursor."""
    looked_at = _window(search, after, meaning)
    if not search.is_narrow:
        return _whole(looked_at)
    last = furthest(looked_at)
    window = of_window(looked_at, last).subquery()
    chosen = sa.select(window.c.id).order_by(window.c.id.desc()).limit(PAGE_SIZE + 1)
    one_each = ((value,) if value else () for value in (search.type, search.status, search.channel))
    keys = list(db.session.scalars(narrowed(chosen, window, *one_each)))
    found = these(keys[:PAGE_SIZE])
    if len(keys) > PAGE_SIZE:
        return Found(found.lines, show("ntf", keys[PAGE_SIZE - 1]), is_cut_short=False)
    return Found(found.lines, show("ntf", last) if last else None, is_cut_short=last is not None)


def furthest(looked_at: "sa.Select[*tuple[Any, ...]]") -> UUID | None:
    """The last notification that a page looks at; None: all of them. Asked before the page is read: while it is, others
    come and go, and the next page goes on from here.
    """
    return db.session.scalar(looked_at.with_only_columns(Notification.id).offset(WINDOW - 1).limit(1))


def of_window(looked_at: "sa.Select[*tuple[Any, ...]]", last: UUID | None) -> "sa.Select[UUID, str]":
    """Their ids and types. Without the offset PostgreSQL may look for what is wanted among all."""
    statement = looked_at.with_only_columns(Notification.id, Notification.type).offset(0)
    return statement if last is None else statement.where(Notification.id >= last)


def narrowed(
    chosen: "sa.Select[T]",
    window: sa.Subquery,
    types: Sequence[str],
    statuses: Sequence[str],
    channels: Sequence[str],
) -> "sa.Select[T]":
    """Those of a window (`of_window`) that are of one of these; none given: of any."""
    if types:
        chosen = chosen.where(window.c.type.in_(types))
    if statuses or channels:
        wanted = sa.select(Delivery.id).where(Delivery.notification_id == window.c.id)
        wanted = wanted.where(Delivery.status.in_(statuses)) if statuses else wanted
        wanted = wanted.where(Delivery.channel.in_(channels)) if channels else wanted
        # Looked up for each: without the offset PostgreSQL may make a join of it, and read all deliveries
        chosen = chosen.where(wanted.offset(0).exists())
    return chosen


def _whole(looked_at: "sa.Select[UUID, str]") -> Found:
    """All that an index finds: nothing has to be passed over."""
    keys = list(db.session.scalars(looked_at.with_only_columns(Notification.id).limit(PAGE_SIZE + 1)))
    found = these(keys[:PAGE_SIZE])
    return Found(found.lines, show("ntf", keys[PAGE_SIZE - 1]) if len(keys) > PAGE_SIZE else None, is_cut_short=False)


def these(keys: Sequence[UUID]) -> Found:
    """By themselves never from the replica: who asks by an id may have it from a moment ago."""
    rows = list(
        db.session.scalars(sa.select(Notification).where(Notification.id.in_(keys)).order_by(Notification.id.desc()))
    )
    return Found(_lines(rows), None, is_cut_short=False)


def _window(search: Search, after: str | None, meaning: Meaning) -> "sa.Select[UUID, str]":
    statement = sa.select(Notification.id, Notification.type).order_by(Notification.id.desc())
    if after:
        statement = statement.where(Notification.id < parse("ntf", after))
    if meaning.until:
        statement = statement.where(Notification.id < first_at(meaning.until))
    if meaning.people:
        statement = statement.where(Notification.user_id.in_(meaning.people))
    if search.user:
        statement = statement.where(Notification.user_id == search.user)
    if search.producer:
        statement = statement.where(Notification.producer_id == parse("prd", search.producer))
    if not (meaning.people or search.user):
        statement = statement.where(Notification.user_id != SYNTHETIC)
    return statement


def _lines(rows: Sequence[Notification]) -> list[Line]:
    deliveries: dict[UUID, list[Delivery]] = {}
    if rows:
        for delivery in db.session.scalars(
            sa.select(Delivery).where(Delivery.notification_id.in_([row.id for row in rows])).order_by(Delivery.id)
        ):
            deliveries.setdefault(delivery.notification_id, []).append(delivery)
    titles = titled(rows)
    return [Line(row, titles[row.id], deliveries.get(row.id, [])) for row in rows]


def producers() -> list[tuple[str, str]]:
    """(shown id, name) of all, by name."""
    return [
        (show("prd", row.id), row.name)
        for row in db.session.execute(sa.select(Producer.id, Producer.name).order_by(Producer.name))
    ]


@may_lag
def latest(limit: int) -> list[Line]:
    """The latest notifications, for the overview."""
    statement = sa.select(Notification).where(Notification.user_id != SYNTHETIC)
    return _lines(list(db.session.scalars(statement.order_by(Notification.id.desc()).limit(limit))))
