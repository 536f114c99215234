"""Makes issues of due digests: which lines each still lists, by which channels.

Called by `upkeep.summaries`, once for their words and again in the transaction that closes them. Lines that are no
longer wanted are left out, with the reason.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_types
from notifier.channels import CHANNELS
from notifier.core.broadcasts import CANCELLED, PAUSED
from notifier.core.digest import type_of
from notifier.core.preferences import Answer
from notifier.ground.extensions import db
from notifier.models import Delivery, Digest, DigestEntry, EventType, InboxItem, Notification
from notifier.people.person import Given, Person, as_given, load_people
from notifier.pipeline.delivery import outages
from notifier.pipeline.planning import last_look, replacing
from notifier.pipeline.planning.halted import halted
from notifier.pipeline.planning.last_look import Drop

_delivery, _notification = Delivery.__table__.c, Notification.__table__.c
_ENTRY: tuple[Any, ...] = (
    *(
        DigestEntry.digest_id,
        _delivery.id.label("delivery_id"),
        _delivery.channel,
        _delivery.detail,
        _delivery.expires_at,
        _delivery.broadcast_id,
    ),
    *(
        _notification.id,
        _notification.user_id,
        _notification.producer_id,
        _notification.is_test,
        _notification.type,
        _notification.priority,
        _notification.template_id,
    ),
    *(_notification.collapse_key, _notification.send_at, _notification.given),
)


@dataclass(slots=True)
class Batch:
    """The digests of one transaction. `entries` are newest first; `left_out` is by delivery; `early`: those that are
    not due yet, or whose broadcast is paused, each with the time at which to look again.
    """

    digests: Sequence[Digest]
    entries: Sequence[Any]
    persons: Mapping[str, Person]
    types: Mapping[str, EventType]
    left_out: dict[UUID, Drop] = field(default_factory=dict)
    early: list[tuple[Any, datetime]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Issue:
    """One notification of a digest: what it lists, and by which channels it goes.

    There is a second one where one channel lists less than another, or where values were `given` with some of what it
    lists: that goes where they say, and nothing else does.
    """

    digest: Digest
    person: Person
    given: Given | None
    channels: tuple[str, ...]
    listed: tuple[Any, ...]


def load(digests: Sequence[Digest]) -> Batch:
    """Their entries, people and types, in a constant number of statements."""
    statement = (
        sa.select(*_ENTRY)
        .join(Delivery, _delivery.id == DigestEntry.delivery_id)
        .join(Notification, _notification.id == _delivery.notification_id)
    )
    of_these = statement.where(DigestEntry.digest_id.in_([digest.id for digest in digests])).order_by(
        _notification.id.desc(), _delivery.id
    )
    entries = db.session.execute(of_these).all()
    types = load_types([*(entry.type for entry in entries), *(type_of(digest.category) for digest in digests)])
    return Batch(digests, entries, load_people(digest.user_id for digest in digests), types)


def issues_of(batch: Batch, now: datetime) -> list[Issue]:
    """In the order of the digests. Notes in the batch what is left out, and what is early."""
    drops = last_look.overtaken(_read(batch), replacing.places_of(batch.entries))
    stopped = halted(entry.broadcast_id for entry in batch.entries)
    listed: dict[tuple[UUID, str], dict[str, dict[UUID, Any]]] = {}
    for entry in batch.entries:
        if entry.send_at is not None and entry.send_at > now:
            batch.early.append((entry, entry.send_at))
        elif stopped.get(entry.broadcast_id) == CANCELLED:
            batch.left_out[entry.delivery_id] = Drop("cancelled")
        elif entry.expires_at is not None and entry.expires_at <= now:
            batch.left_out[entry.delivery_id] = Drop("expired")
        elif stopped.get(entry.broadcast_id) == PAUSED:
            batch.early.append((entry, outages.look_again_at(entry.expires_at, now)))
        elif drop := drops.get(entry.id):
            batch.left_out[entry.delivery_id] = drop
        elif entry.channel not in CHANNELS:  # its adapter was removed since
            batch.left_out[entry.delivery_id] = Drop("channel_off")
        elif not (answer := _answer(batch, entry)).enabled:
            batch.left_out[entry.delivery_id] = Drop("opted_out", {"because": answer.because})
        else:
            listed.setdefault(group_of(entry), {}).setdefault(entry.channel, {})[entry.id] = entry
    found = [
        (digest, entries[0].given, names, entries)
        for digest in batch.digests
        for group, by_channel in listed.items()
        if group[0] == digest.id
        for names, entries in _alike(by_channel)
    ]
    as_they_are = as_given([(batch.persons[digest.user_id], given) for digest, given, *_ in found])
    return [Issue(digest, person, *rest) for (digest, *rest), person in zip(found, as_they_are, strict=True)]


def group_of(entry: Any) -> tuple[UUID, str]:
    """The lines that may share a notification: those of one digest with the same given values."""
    return entry.digest_id, json.dumps(entry.given, sort_keys=True)


def _read(batch: Batch) -> set[UUID]:
    """Lines that the person has read in the inbox meanwhile."""
    lines = (
        sa.select(_delivery.notification_id)
        .join(DigestEntry, DigestEntry.delivery_id == _delivery.id)
        .where(DigestEntry.digest_id.in_([digest.id for digest in batch.digests]))
    )
    items = sa.select(InboxItem.notification_id).where(InboxItem.notification_id.in_(lines))
    return set(
        db.session.scalars(items.where(sa.or_(InboxItem.read_at.is_not(None), InboxItem.archived_at.is_not(None))))
    )


def _answer(batch: Batch, entry: Any) -> Answer:
    """Addresses are looked at when the digest itself is planned."""
    return last_look.choice(entry, batch.types[entry.type], batch.persons[entry.user_id], entry.channel)


def _alike(by_channel: Mapping[str, Mapping[UUID, Any]]) -> list[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """The channels that list the same notifications, and those."""
    alike: dict[tuple[UUID, ...], list[str]] = {}
    for channel in sorted(by_channel):
        alike.setdefault(tuple(by_channel[channel]), []).append(channel)
    return [(tuple(names), tuple(by_channel[names[0]].values())) for names in alike.values()]
