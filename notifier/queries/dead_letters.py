"""A selection of failed deliveries: a filter, its SQL, and its form in a URL or a row.

The failed jobs' pages list by it, and `operations.bulk_actions` acts on it: both must select the same deliveries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Fault, Rejected
from notifier.core.lifecycle import DEAD
from notifier.core.submission import PRIORITIES
from notifier.ground.extensions import db
from notifier.ground.ids import parse_many
from notifier.models import Delivery, Notification

NONE = "-"  # in an address: it has no provider, no code
WITHIN = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
MOST_IDS = 1000
_LONGEST = 200
_CAUSE = ("channel", "provider", "outcome", "code")
_WORDS = (*_CAUSE, "queue", "type", "user", "text")
PARAMETERS = (*_WORDS, "since", "until", "within")  # of an address


@dataclass(frozen=True, slots=True)
class Filter:
    """None everywhere: all dead letters. `text` is looked for in the provider, the class of the error and its code, or
    is an id.

    `since` and `until` are times at which they failed; `ids` are shown ids (`dlv_…`).
    """

    channel: str | None = None
    provider: str | None = None
    outcome: str | None = None
    code: str | None = None
    queue: str | None = None
    type: str | None = None
    user: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[str, ...] = ()

    @property
    def is_cause(self) -> bool:
        """Whether it selects one cause: a group of the first page, or a part of one."""
        return all(getattr(self, name) is not None for name in _CAUSE)

    def without(self, *names: str) -> "Filter":
        cleared: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **cleared)

    def document(self) -> dict[str, Any]:
        """The form in which it is stored, and that of a form's fields."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, datetime):
                found[field.name] = value.isoformat()
            elif value:
                found[field.name] = list(value) if isinstance(value, tuple) else value
        return found

    def where(self) -> list["sa.ColumnElement[bool]"]:
        """Conditions on `Delivery`, and on `Notification` if `needs_notification`."""
        found: list[sa.ColumnElement[bool]] = [is_dead()]
        for name in _CAUSE:
            value, column = getattr(self, name), getattr(Delivery, name)
            if value is not None:
                found.append(column.is_(None) if value == NONE else column == value)
        if self.queue is not None:
            channel, _, priority = self.queue.rpartition(".")
            found += [Delivery.channel == channel, Delivery.priority == priority]
        if self.type is not None:
            found.append(Delivery.failed_type == self.type)
        if self.user is not None:
            found.append(Notification.user_id == self.user)
        if self.since is not None:
            found.append(Delivery.failed_at >= self.since)
        if self.until is not None:
            found.append(Delivery.failed_at <= self.until)
        if self.ids:
            found.append(Delivery.id.in_(self.keys()))
        if self.text is not None:
            found.append(_text(self.text))
        return found

    def keys(self) -> list[UUID]:
        return parse_many("dlv", self.ids)

    @property
    def needs_notification(self) -> bool:
        return self.user is not None


def is_dead() -> "sa.ColumnElement[bool]":
    """Spelled out, so that both databases see that the partial indexes serve: as text, since of a Boolean column
    SQLAlchemy makes `… = 1` for SQLite, which then reads all deliveries.
    """
    words = ", ".join(f"'{status}'" for status in sorted(DEAD))
    return sa.and_(sa.text(f"delivery.status IN ({words})"), Delivery.reason.is_(None))


def select_dead(chosen: Filter, *columns: Any) -> "sa.Select[Any]":
    """`columns` of the dead letters that the filter selects."""
    statement = sa.select(*columns).select_from(Delivery)
    if chosen.needs_notification:
        statement = statement.join(Notification, Notification.id == Delivery.notification_id)
    return statement.where(*chosen.where())


def read_filter(given: Mapping[str, Any], now: datetime) -> Filter:
    """From the parameters of a URL, the fields of a form, or a stored document. Raises Rejected that names the faults.

    `within` (1h, 24h, 7d, 30d) stands for a `since`.
    """
    faults: list[Fault] = []
    found: dict[str, Any] = {}
    for name in _WORDS:
        value = str(given.get(name) or "").strip()
        if len(value) > _LONGEST or "\0" in value:
            faults.append(Fault(f"/{name}", "invalid", f"{name} must be text of at most {_LONGEST} characters"))
        elif value:
            found[name] = value
    if "queue" in found and found["queue"].rpartition(".")[2] not in PRIORITIES:
        faults.append(Fault("/queue", "invalid", f"there is no queue {found['queue']!r}"))
    for name in ("since", "until"):
        try:
            found[name] = _time(given.get(name))
        except ValueError:
            faults.append(Fault(f"/{name}", "invalid", f"{name} must be a time: 2026-12-01T09:00:00+00:00"))
    within = given.get("within")
    if within:
        if within not in WITHIN:
            faults.append(Fault("/within", "invalid", f"within must be one of {', '.join(WITHIN)}"))
        else:
            found["since"] = now - WITHIN[within]
    ids = given.get("ids") or ()
    if len(ids) > MOST_IDS or len(parse_many("dlv", ids)) != len(set(ids)):
        faults.append(Fault("/ids", "invalid", f"at most {MOST_IDS:,} jobs can be chosen at once, each of a delivery"))
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults), tuple(faults))
    return Filter(**found, ids=tuple(ids))


def _time(text: Any) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError(text)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # before the year 1, or after 9999
        raise ValueError(text) from error


def _text(text: str) -> "sa.ColumnElement[bool]":
    keys = parse_many("dlv", [text])
    if keys:
        return Delivery.id == keys[0]
    keys = parse_many("ntf", [text])
    if keys:
        return Delivery.notification_id == keys[0]
    is_sqlite = db.engine.dialect.name == "sqlite"  # whose LIKE knows no case by itself, in half the time
    columns = (Delivery.code, Delivery.provider, Delivery.outcome)
    return sa.or_(
        *(
            column.contains(text, autoescape=True) if is_sqlite else column.icontains(text, autoescape=True)
            for column in columns
        )
    )
