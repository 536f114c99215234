"""The history of one notification, in order of time: submitted, decided, rendered, tried, arrived, read.

Read by `/admin/notifications/{id}`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.channels.receipts import KINDS
from notifier.channels.serving import mask
from notifier.core.errors import Rejected
from notifier.core.explain import as_decided, sentence, story, unpacked
from notifier.core.masking import masked
from notifier.core.receipts import DEVICE, MACHINE
from notifier.core.tracking import ACCOUNT, DECOY
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ground.shapes import timestamp
from notifier.models import Attempt, Capture, Delivery, InboxItem, Notification, Producer, Receipt, Submission, Template
from notifier.queries.captures import of_deliveries
from notifier.queries.titles import titled
from notifier.queries.types import internal_keys

_TIMES = (("seen_at", "Seen in the inbox"), ("read_at", "Read in the inbox"), ("archived_at", "Archived in the inbox"))
# What a provider's later words mean: to whom they are good news, bad news, or a warning
_TONES = {
    **dict.fromkeys(("delivered", "opened", "clicked"), "good"),
    **dict.fromkeys(("bounced", "failed", "complained"), "bad"),
    **dict.fromkeys(("unsubscribed", "stopped"), "warn"),
}
_OUTCOMES = {  # of an attempt, and the provider's part in it
    "sent": "{} took it",
    "delivered": "{} delivered it",
    "retryable": "{} could not be reached, or failed",
    "rate_limited": "{} asked us to wait",
    "permanent": "{} refused it for good",
    "invalid_recipient": "{} said that the address does not work",
    "misconfigured": "{} refused our settings or credentials",
    "unknown": "{} was called, and nobody knows whether it went out",
}
_READ = {"opened": "opening", "clicked": "click"}
_RELATED = {"duplicate_of": "A repeat of", "superseded_by": "Replaced by", "digest": "Summed up in"}


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision about one channel (None: about all), in sentences."""

    channel: str | None
    sentences: Sequence[str]


@dataclass(frozen=True, slots=True)
class Event:
    """One moment. `tone` colours it: good, bad, warn or plain."""

    at: datetime
    what: str
    detail: str = ""
    channel: str | None = None
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Related:
    words: str
    notification: str


@dataclass(frozen=True, slots=True)
class Story:
    """`data` is masked; None where nobody may see it. `given`: values about the person that came with it, masked.

    `captures`: delivery id → ids of the sandbox's captures. `title` as `queries.titles` finds it.
    """

    title: str
    notification: Notification
    submission: Submission | None
    producer: Producer | None
    template: str | None
    data: Any
    given: Mapping[str, str]
    decided: Sequence[Decided]
    deliveries: Sequence[Delivery]
    events: Sequence[Event]
    captures: Mapping[UUID, Sequence[str]]
    related: Sequence[Related]


def of(key: UUID, clock: Callable[[str], str]) -> Story:
    """`clock` puts a time of a decision (text) into words. The number of queries is constant. Raises
    Rejected('not_found').
    """
    row = db.session.get(Notification, key)
    if row is None:
        raise Rejected("not_found", f"there is no {show('ntf', key)}")
    deliveries = db.session.scalars(
        sa.select(Delivery).where(Delivery.notification_id == key).order_by(Delivery.id)
    ).all()
    ids = [delivery.id for delivery in deliveries]
    attempts = db.session.scalars(
        sa.select(Attempt).where(Attempt.delivery_id.in_(ids)).order_by(Attempt.at, Attempt.number)
    ).all()
    receipts = receipts_of(ids)
    items = db.session.scalars(sa.select(InboxItem).where(InboxItem.id.in_(ids))).all()
    submission = db.session.get(Submission, row.submission_id)
    producer = db.session.get(Producer, row.producer_id) if row.producer_id else None
    template = db.session.get(Template, row.template_id) if row.template_id else None
    is_secret = row.type in internal_keys()
    events = sorted(
        _events(row, submission, producer, deliveries, attempts, receipts, items), key=lambda event: event.at
    )
    return Story(
        titled([row])[row.id],
        row,
        submission,
        producer,
        f"{template.key}@{template.version}" if template else None,
        None if is_secret else masked(row.data or {}),
        _given(row),
        _decided(row, deliveries, clock),
        deliveries,
        events,
        {} if is_secret else _captures(ids),
        _related(deliveries),
    )


def _given(row: Notification) -> dict[str, str]:
    """In words; the name in its beginning only."""
    words = {"email": "e-mail", "phone": "phone", "name": "name", "locale": "language", "time_zone": "time zone"}
    found = {}
    for field, word in words.items():
        value = (row.given or {}).get(field, "")
        if value is None:
            found[word] = "none"
        elif value:
            channel = {"email": "email", "phone": "sms"}.get(field)
            found[word] = mask(channel, value) if channel else f"{value[:1]}…" if field == "name" else value
    return found


def _decided(row: Notification, deliveries: Sequence[Delivery], clock: Callable[[str], str]) -> list[Decided]:
    shown = [
        {
            "channel": d.channel,
            "status": d.status,
            "reason": d.reason,
            "detail": d.detail or {},
            "due_at": timestamp(d.due_at),
        }
        for d in deliveries
    ]
    parts: dict[str, dict[str, str]] = {}  # channel → what is said now → as it is shown: each is said once
    for step in story(unpacked(row.decision), shown):
        now = sentence(step, when=clock)
        parts.setdefault(step.channel, {}).setdefault(now, now if step.rule == "delivery" else as_decided(step, clock))
    return [Decided(None if channel == "*" else channel, tuple(words.values())) for channel, words in parts.items()]


def _tried(attempt: Attempt) -> str:
    words = _OUTCOMES.get(attempt.outcome)
    return words.format(attempt.provider) if words else f"{attempt.provider}: {attempt.outcome.replace('_', ' ')}"


def _events(
    row: Notification,
    submission: Submission | None,
    producer: Producer | None,
    deliveries: Sequence[Delivery],
    attempts: Sequence[Attempt],
    receipts: Sequence[Receipt],
    items: Sequence[InboxItem],
) -> Iterator[Event]:
    channels = {delivery.id: delivery.channel for delivery in deliveries}
    by = producer.name if producer else "Notifier itself"
    request = f"request {submission.request_id}" if submission and submission.request_id else ""
    yield Event(
        submission.created_at if submission else row.created_at,
        f"Submitted by {by}{' with a test key' if row.is_test and row.producer_id else ''}",
        request,
    )
    yield Event(
        row.created_at,
        "Decided and stored",
        f"{len(deliveries)} {'delivery' if len(deliveries) == 1 else 'deliveries'}",
    )
    for attempt in attempts:
        is_good = attempt.outcome in ("sent", "delivered")
        said = " · ".join(part for part in (attempt.code, attempt.message, f"{attempt.duration_ms:,} ms") if part)
        words = f"{_tried(attempt)} (attempt {attempt.number})"
        yield Event(attempt.at, words, said, channels.get(attempt.delivery_id), "good" if is_good else "bad")
    tried: dict[UUID, datetime] = {}
    for attempt in attempts:
        tried.setdefault(attempt.delivery_id, attempt.at)
    links = {delivery.id: delivery.links or () for delivery in deliveries}
    told = {(receipt.delivery_id, receipt.status) for receipt in receipts}
    for delivery in deliveries:
        is_shown = CHANNELS[delivery.channel].address is None if delivery.channel in CHANNELS else False
        for name, words in (
            ("delivered", "Put into the inbox" if is_shown else "Delivered"),
            ("opened", "Opened"),
            ("clicked", "Clicked"),
        ):
            at = getattr(delivery, f"{name}_at")
            was_at_once = name == "delivered" and delivery.id in tried and at == delivery.sent_at
            if at and not was_at_once and (delivery.id, name) not in told:
                yield Event(at, words, "", delivery.channel, "good")
    for receipt in receipts:
        key = receipt.delivery_id
        yield Event(
            # Providers round it, and it cannot have been before we called them
            max(receipt.at, tried.get(key, receipt.at)) if key else receipt.at,
            _told(receipt),
            _said(receipt, links.get(key, ()) if key else ()),
            channels.get(key) if key else None,
            "plain" if receipt.by == MACHINE else _TONES.get(receipt.status, "plain"),
        )
    for item in items:
        yield from (
            Event(getattr(item, name), words, "", channels.get(item.id))
            for name, words in _TIMES
            if getattr(item, name)
        )


def receipts_of(ids: Collection[UUID]) -> list[Receipt]:
    """What providers told of these deliveries, in the order in which it happened. One query.

    Hits on our own links are among them as soon as it is known whose they are.
    """
    rows = db.session.scalars(
        sa.select(Receipt)
        .where(Receipt.delivery_id.in_(ids), sa.or_(Receipt.applied_at.is_not(None), Receipt.provider != ACCOUNT))
        .order_by(Receipt.id)
    )
    return sorted(rows, key=lambda row: (row.at, KINDS.index(row.status) if row.status in KINDS else len(KINDS)))


def _told(receipt: Receipt) -> str:
    if receipt.provider == DEVICE:
        return f"Opened on the device{_by(receipt)}"
    if receipt.provider != ACCOUNT:
        return f"Receipt from {receipt.provider}: {receipt.status}{_by(receipt)}"
    number = (receipt.detail or {}).get("link")
    what = "Mail opened" if number is None else "Hidden link clicked" if number == DECOY else f"Link {number} clicked"
    return f"{what}{_by(receipt) or ', nobody knows by whom'}"


def _by(receipt: Receipt) -> str:
    if receipt.status not in _READ or receipt.by == "unknown":
        return ""
    return f" by a {receipt.by}"


def _said(receipt: Receipt, links: Sequence[str]) -> str:
    """Its code, and what else the provider says of it. Of one of our own `links`, no more than the host: the rest may
    be for its reader alone.
    """
    detail = receipt.detail or {}
    if receipt.provider == ACCOUNT:
        number = detail.get("link", DECOY)
        words = [urlsplit(link).hostname or "" for link in links[number - 1 : number]] if number != DECOY else []
    else:
        words = [f"{name.replace('_', ' ')}: {value}" for name, value in detail.items() if value]
    if receipt.by == MACHINE and receipt.status in _READ:
        words.append(f"not counted as a person’s {_READ[receipt.status]}")
    return " · ".join(part for part in (receipt.code, *words) if part)


def _captures(ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Of deliveries."""
    found: dict[UUID, list[str]] = {}
    if not ids:
        return found
    captures = sa.select(Capture.id, Capture.delivery_id).where(of_deliveries(ids)).order_by(Capture.id)
    for capture in db.session.execute(captures):
        found.setdefault(capture.delivery_id, []).append(show("cap", capture.id))
    return found


def _related(deliveries: Sequence[Delivery]) -> list[Related]:
    """Other notifications that decided about this one, each once."""
    found = {}
    for delivery in deliveries:
        for name, words in _RELATED.items():
            value = (delivery.detail or {}).get(name)
            if isinstance(value, str) and value.startswith("ntf_"):
                found[value] = Related(words, value)
    return list(found.values())
