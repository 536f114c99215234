"""What follows from receipts whose deliveries are known: moves of the lifecycle, counts, the next step of a routing,
the mark in the inbox, and suppressions by scope.

Called by `delivery.receipts` inside its transaction, with the deliveries locked. A constant number of statements.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_types
from notifier.channels import CHANNELS
from notifier.channels.addresses import digest_of
from notifier.core import events as names
from notifier.core import lifecycle
from notifier.core.receipts import BOUNCE, BY_ADDRESS, COMPLAINT, STOP, UNSUBSCRIBE, Folded, Told, fold
from notifier.core.routing import BEST
from notifier.core.worlds import SYNTHETIC, is_of_tests
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.inbox import marks
from notifier.ledgers import events, scores, tallies
from notifier.ledgers.moves import Move, move_each
from notifier.models import Address, Delivery, Notification, Receipt
from notifier.people import preferences, suppressions
from notifier.people.person import GivenAddress, given_address
from notifier.people.suppressions import Dead, Hold
from notifier.pipeline.planning.routing import follow
from notifier.signals.queueing import Doorbell
from notifier.words.compose import may_unsubscribe_from

CONCERNS_ADDRESS = (BOUNCE, COMPLAINT, UNSUBSCRIBE, *BY_ADDRESS)
# Of what it waited for, and of the try before
_NOTHING_LEFT = dict.fromkeys(("reason", "wake_at", "held_for", "outcome", "code", "failed_at", "failed_type"))


@dataclass(frozen=True, slots=True)
class Word:
    """One event, as it is stored. `digest`: of the address, where the provider names it."""

    provider: str
    channel: str
    event_id: str
    kind: str
    at: datetime
    provider_message_id: str | None = None
    reference: UUID | None = None
    digest: bytes | None = None
    code: str | None = None
    by: str = "unknown"
    detail: Mapping[str, Any] = field(default_factory=dict)

    def told(self, delivery: "sa.Row[Any]") -> Told:
        known, said = delivery.provider_message_id, self.provider_message_id
        is_earlier = bool(delivery.tries > 1 and known and said and known != said)
        return Told(self.kind, self.at, self.by, self.code or "", is_earlier)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A notification, as `routing.follow` asks for it."""

    id: UUID
    routing: str


@dataclass(frozen=True, slots=True)
class _Place:
    """The address that a delivery went to. `id` and `user_id` None: nobody's, it came with the notification."""

    digest: bytes
    channel: str
    id: UUID | None = None
    user_id: str | None = None
    works_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is to be told after the commit. The queues: whose turn has come, what is a dead letter now, and what was one
    before. Browsers: `inbox_changes`, as `publish_states` takes them. `counted`: those that have moved, but for tests'.
    The log: `heard`, with the rows of `matching.DELIVERY`.
    """

    started: Sequence[Doorbell] = ()
    dead: Sequence[Doorbell] = ()
    revived: Sequence[Doorbell] = ()
    inbox_changes: Sequence[tuple[str, dict[str, Any]]] = ()
    counted: Sequence[tuple["sa.Row[Any]", Folded]] = ()
    heard: Sequence[tuple[Word, "sa.Row[Any]"]] = ()


def draw(matched: Sequence[tuple[Word, "sa.Row[Any]"]]) -> Drawn:
    """The rows are those of `matching.DELIVERY`."""
    rows = {row.id: row for _, row in matched}
    words: dict[UUID, list[Word]] = {}
    for word, row in matched:
        words.setdefault(row.id, []).append(word)
    folded = {key: fold(row.status, [word.told(row) for word in words[key]]) for key, row in rows.items()}
    moved = {key: one for key, one in folded.items() if one.passed}
    live = {key: one for key, one in moved.items() if not rows[key].is_test}
    _count(live, rows)
    _tell_passed(moved)
    _move(rows, folded)
    _hold_back([(word, row) for word, row in matched if word.kind in CONCERNS_ADDRESS and not row.is_test])
    events.tell(names.COMPLAINED, {row.id for word, row in matched if word.kind == COMPLAINT})
    started = follow({_Ended(rows[key].notification_id, rows[key].routing) for key in moved})
    # After the notifications, as whoever shows an item locks them
    changes = marks.read_elsewhere({rows[key].notification_id for key, one in folded.items() if one.is_read})
    died = {
        key: (one.old in lifecycle.DEAD, one.status in lifecycle.DEAD)
        for key, one in moved.items()
        if rows[key].user_id != SYNTHETIC
    }
    return Drawn(
        started,
        dead=[Doorbell.of(rows[key]) for key, change in died.items() if change == (False, True)],
        revived=[Doorbell.of(rows[key]) for key, change in died.items() if change == (True, False)],
        inbox_changes=changes,
        counted=[(rows[key], one) for key, one in live.items()],
        heard=matched,
    )


def _move(rows: Mapping[UUID, "sa.Row[Any]"], folded: Mapping[UUID, Folded]) -> None:
    """One statement; another where one of them goes a way that the lifecycle has only as two moves."""
    changes = {key: _changes(rows[key], folded[key]) for key in sorted(rows)}
    # All moves of a batch name the same columns: those that change anywhere
    columns = sorted({name for changed in changes.values() for name in changed})
    routes = [
        [
            Move(
                *(key, rows[key].notification_id, rows[key].broadcast_id, old, new),
                {n: changed.get(n, getattr(rows[key], n)) for n in columns},
            )
            for old, new in pairwise(folded[key].route)
        ]
        for key, changed in changes.items()
        if changed or folded[key].passed
    ]
    for place in range(max(map(len, routes), default=0)):
        move_each([route[place] for route in routes if place < len(route)])


def _changes(row: "sa.Row[Any]", folded: Folded) -> dict[str, Any]:
    """The columns that change, with their values."""
    wanted: dict[str, Any] = {name: at for name, at in folded.times.items() if getattr(row, name) is None}
    if folded.has_gone_out and row.sent_at is None:
        wanted["sent_at"] = min(folded.times.values())
    if folded.passed:
        wanted |= _NOTHING_LEFT
    if folded.failure is not None:
        wanted |= {
            "outcome": folded.failure.kind,
            "code": folded.failure.code[:64] or None,
            "failed_at": folded.failure.at,
            "failed_type": row.type,
        }
    if folded.status in lifecycle.DEAD and row.user_id == SYNTHETIC:
        wanted["reason"] = lifecycle.DISCARDED
    return {name: value for name, value in wanted.items() if getattr(row, name) != value}


def _tell_passed(moved: Mapping[UUID, Folded]) -> None:
    """The statuses that deliveries are moved past in one step, since they were told at once: the event stream hears of
    them all. A statement for each status, hardly ever one.
    """
    for status in (lifecycle.SENT, lifecycle.DELIVERED, lifecycle.OPENED):
        past = {key for key, one in moved.items() if status in one.passed and status not in one.route}
        events.tell(names.OF_STATUS[status], past)


def _count(moved: Mapping[UUID, Folded], rows: Mapping[UUID, "sa.Row[Any]"]) -> None:
    """Before the moves: which deliveries are about to be opened is asked of the database."""
    happened: list[tallies.Happened] = []
    sent: list[tuple[str, str]] = []
    for key, one in moved.items():
        row = rows[key]
        happened += [
            (row.channel, event)
            for event, is_so in (
                (tallies.SENT, one.has_gone_out),
                (tallies.DELIVERED, one.has_arrived),
                (tallies.OPENED, one.has_been_read),
                (tallies.FAILED, one.has_failed and one.old not in lifecycle.DEAD),
            )
            if is_so
        ]
        if one.has_gone_out and row.routing == BEST:
            sent.append((row.user_id, row.channel))
    tallies.count(happened)
    scores.count_sent(sent)
    read = [key for key, one in moved.items() if one.has_been_read and rows[key].routing == BEST]
    if read:
        scores.count_opened(sa.select(Delivery.id).where(Delivery.id.in_(read)))


# ---- addresses ------------------------------------------------------------------------------------------------------


def _hold_back(live: Sequence[tuple[Word, "sa.Row[Any]"]]) -> None:
    if not live:
        return
    types = load_types({row.type for word, row in live if word.kind == UNSUBSCRIBE})
    dead: list[Dead] = []
    complained: list[tuple[bytes, str, str]] = []
    stopped: list[tuple[bytes, str, str, str]] = []
    unsubscribed: list[Hold] = []
    wishes: dict[str, set[tuple[str, str]]] = {}
    heard_from: dict[str | None, set[UUID]] = {}  # who unsubscribes → by which deliveries
    for (word, row), place in zip(live, _places(live), strict=True):
        if place is None:
            continue
        match word.kind:
            case "bounced" if place.works_since is None or place.works_since < word.at:
                reason = word.code or BOUNCE
                dead.append(Dead(place.id, place.digest, place.channel, row.channel, reason, word.provider, row.id))
            case "complained":
                complained.append((place.digest, place.channel, word.provider))
            case "stopped" if word.digest is None:
                stopped.append((place.digest, place.channel, row.channel, word.provider))
            case "unsubscribed" if row.type in types and may_unsubscribe_from(types[row.type]):
                heard_from.setdefault(place.user_id, set()).add(row.id)
                if place.user_id is None:
                    unsubscribed.append(
                        Hold(place.digest, place.channel, row.category, suppressions.UNSUBSCRIBED, word.provider)
                    )
                else:
                    wishes.setdefault(place.user_id, set()).add((row.category, row.channel))
    suppressions.switch_off(dead)
    suppressions.complain(complained)
    suppressions.stop(stopped)
    suppressions.hold(unsubscribed)
    changed = {None, *preferences.withdraw(wishes, source=preferences.PROVIDER)}
    events.tell(names.UNSUBSCRIBED, {key for who, ids in heard_from.items() if who in changed for key in ids})


def _places(live: Sequence[tuple[Word, "sa.Row[Any]"]]) -> list[_Place | None]:
    """Where each went. None for an address that has been changed or removed since: what a provider says of the old one
    must not hit the new one.
    """
    ids = {row.address_id for _, row in live if row.address_id}
    chosen = sa.select(Address).where(Address.id.in_(ids)).execution_options(populate_existing=True)
    addresses = {address.id: address for address in db.session.scalars(chosen)} if ids else {}
    given = _given({row.notification_id for _, row in live if row.address_id is None})
    return [
        _stored(word, row, addresses.get(row.address_id))
        if row.address_id
        else _came_along(word, row, given.get(row.notification_id))
        for word, row in live
    ]


def _stored(word: Word, row: "sa.Row[Any]", address: Address | None) -> _Place | None:
    if address is None or address.masked != row.address_masked or not _is_same(address, address.user_id, word.digest):
        return None
    works_since = max((at for at in (address.revived_at, address.confirmed_at) if at), default=None)
    return _Place(address.digest, address.channel, address.id, address.user_id, works_since)


def _came_along(word: Word, row: "sa.Row[Any]", given: Mapping[str, Any] | None) -> _Place | None:
    address = given_address(given, row.user_id, row.channel)
    if address is None or not _is_same(address, row.user_id, word.digest):
        return None
    return _Place(address.digest, address.channel)


def _given(notifications: Collection[UUID]) -> dict[UUID, Mapping[str, Any]]:
    if not notifications:
        return {}
    rows = db.session.execute(sa.select(Notification.id, Notification.given).where(Notification.id.in_(notifications)))
    return {row.id: row.given for row in rows if row.given}


def _is_same(address: Address | GivenAddress, user_id: str, digest: bytes | None) -> bool:
    """Providers may write it in small letters."""
    if digest is None or vault.newest(digest) == vault.newest(address.digest):
        return True
    small = digest_of(address.channel, address.value.casefold(), is_test=is_of_tests(user_id))
    return vault.newest(digest) == vault.newest(small)


def obey_stops(words: Collection[Word]) -> None:
    """STOP and START of the addresses that these are about: the last one counts, in whatever order they come. Inside
    the transaction that has stored them; at most three statements.
    """
    named = {word.digest for word in words if word.kind in BY_ADDRESS and word.digest is not None}
    digests = sorted({form for digest in named for form in vault.forms(digest)})
    if not digests:
        return
    said_by = (Receipt.digest, Receipt.channel, Receipt.status, Receipt.provider)
    statement = sa.select(*said_by, sa.func.max(Receipt.at).label("last_at")).group_by(*said_by)
    latest: dict[tuple[bytes, str], tuple[datetime, bool, str]] = {}
    for row in db.session.execute(statement.where(Receipt.digest.in_(digests), Receipt.status.in_(BY_ADDRESS))):
        key, said = (vault.newest(row.digest), row.channel), (row.last_at, row.status == STOP, row.provider)
        latest[key] = max(latest.get(key, said), said)
    suppressions.stop(
        (digest, CHANNELS[channel].borrows_from or channel, channel, provider)
        for (digest, channel), (_, is_stop, provider) in latest.items()
        if is_stop and channel in CHANNELS
    )
    suppressions.start([key for key, (_, is_stop, _) in latest.items() if not is_stop])
