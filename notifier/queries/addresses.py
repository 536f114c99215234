"""A person's addresses and browsers for their own preferences page."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, AddressCode
from notifier.queries import webhook_targets
from notifier.queries.users import ADDRESS


@dataclass(frozen=True, slots=True)
class Entry:
    """One address. `shown` is in full where that tells it apart, and masked where it is a secret. `state`: confirmed,
    given (by somebody else, and in use), waiting, off. `is_left_out`: by the installation's list of webhook targets, so
    that nothing is sent there.

    `code_until`: a code is on its way, and may be entered until then. `secret`: a webhook's, while it is being set up.
    `fingerprint`: the SHA-256 of a browser's endpoint, by which that browser knows itself in the list.
    """

    id: str
    channel: str
    shown: str
    name: str | None
    state: str
    off_because: str | None
    is_main: bool
    may_be_main: bool
    code_until: datetime | None
    secret: str | None
    since: datetime
    fingerprint: str | None
    platform: str | None
    app: str | None
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class Book:
    """`devices` were switched on by themselves, `addresses` typed in."""

    addresses: tuple[Entry, ...]
    devices: tuple[Entry, ...]


def book_of(user_id: str) -> Book:
    """Two queries."""
    rows = db.session.scalars(
        sa.select(Address)
        .where(Address.user_id == user_id)
        .order_by(Address.id)
        .execution_options(populate_existing=True)
    ).all()
    ours = sa.select(Address.id).where(Address.user_id == user_id)
    codes = sa.select(AddressCode.address_id, AddressCode.expires_at).where(
        AddressCode.address_id.in_(ours), AddressCode.expires_at > now()
    )
    until = {row.address_id: row.expires_at for row in db.session.execute(codes)}
    known = [row for row in rows if row.channel in CHANNELS]
    places = {name: place for place, name in enumerate(CHANNELS)}
    known.sort(key=lambda row: (places[row.channel], not row.is_primary))
    entries = [(_is_typed(row.channel), _entry(row, until.get(row.id))) for row in known]
    return Book(
        tuple(entry for is_typed, entry in entries if is_typed),
        tuple(entry for is_typed, entry in entries if not is_typed),
    )


def entry_of(user_id: str, address_id: UUID) -> Entry | None:
    """One address; None if it is not theirs."""
    shown = show(ADDRESS, address_id)
    book = book_of(user_id)
    return next((entry for entry in (*book.addresses, *book.devices) if entry.id == shown), None)


def _is_typed(channel: str) -> bool:
    kind = CHANNELS[channel].address
    return kind is not None and kind.is_typed


def _entry(row: Address, code_until: datetime | None) -> Entry:
    channel = CHANNELS[row.channel]
    kind = channel.address
    is_device = kind is not None and not kind.is_typed
    state = _state(row, is_device=is_device)
    is_secret = is_device or (kind is not None and kind.url is not None)
    url = kind.url(row.value) if is_device and kind and kind.url else None
    return Entry(
        id=show(ADDRESS, row.id),
        channel=row.channel,
        shown=row.masked if is_secret else row.value,
        name=row.label,
        state=state,
        off_because=row.disabled_reason,
        is_main=row.is_primary and not channel.every_address,
        may_be_main=state in ("confirmed", "given") and not row.is_primary and not channel.every_address,
        code_until=code_until if state in ("waiting", "given") else None,
        secret=row.secret if state == "waiting" else None,
        since=row.verified_at or row.created_at,
        fingerprint=sha256(url.encode()).hexdigest() if url else None,
        platform=row.platform,
        app=row.app,
        is_left_out=webhook_targets.left_out_by(row.channel, row.value, None) is not None,
    )


def _state(row: Address, *, is_device: bool) -> str:
    if row.disabled_at:
        return "off"
    if row.verified_at is None:
        return "waiting"
    return "confirmed" if row.confirmed_at or is_device else "given"
