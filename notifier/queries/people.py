"""People for the console: found by id or address, and the details of one; addresses are masked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.channels.serving import normalise
from notifier.channels.table import WEBHOOK
from notifier.core.errors import Rejected
from notifier.core.facts import EVERYTHING, UNSUBSCRIBED, channel_of
from notifier.core.worlds import MARK
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ground.replica import may_lag
from notifier.models import Account, Address, InboxState, Notification, Suppression, User
from notifier.queries import webhook_targets

PAGE_SIZE = 50
_LONGEST = 320
_LAST = "\U0010ffff"  # no id has it


@dataclass(frozen=True, slots=True)
class Line:
    user: User
    addresses: Sequence[str]


@dataclass(frozen=True, slots=True)
class Held:
    """What holds an address back, and for what: all that is sent, one channel of those it serves, or one category
    (at most one of the two). `reason`: a provider's code for an address that does not work; else complained, stopped
    or unsubscribed. `provider`: the account that said so (None: the person themselves, or nobody has noted it).
    `may_be_lifted`: by an operator; where they have unsubscribed, only they can take that back.
    """

    reason: str
    since: datetime
    provider: str | None
    channel: str | None
    category: str | None
    may_be_lifted: bool


@dataclass(frozen=True, slots=True)
class AddressLine:
    """`held`: empty where nothing holds it back."""

    id: str
    key: UUID
    channel: str
    masked: str
    label: str | None
    platform: str | None
    app: str | None
    is_main: bool
    is_device: bool
    verified_at: datetime | None
    confirmed_at: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    held: Sequence[Held]
    left_out_for: Sequence[str]  # the producers whose webhooks may not lead there

    @property
    def is_webhook(self) -> bool:
        return self.channel == WEBHOOK.name

    @property
    def may_be_lifted(self) -> bool:
        return self.disabled_at is not None or any(one.may_be_lifted for one in self.held)


@dataclass(frozen=True, slots=True)
class Person:
    """`account`: their role here, if they can sign in. `notifications`: how many there have been."""

    user: User
    account: str | None
    addresses: Sequence[AddressLine]
    notifications: int
    unread: int | None


@may_lag
def page(text: str = "", after: str | None = None) -> tuple[list[Line], str | None]:
    """Sorted by id (code points), without people of test keys. `text`: the beginning of an id, or a whole address. →
    the people, and the cursor of the next page.
    """
    by_id = _in_code_points()
    statement = sa.select(User).where(~User.id.startswith(MARK)).order_by(by_id).limit(PAGE_SIZE + 1)
    text = text.strip()[:_LONGEST].replace("\0", "")
    if after:
        statement = statement.where(by_id > after[:128].replace("\0", ""))
    if text:
        owners = sa.select(Address.user_id).where(Address.digest.in_(digests_of(text)))
        begins = sa.and_(by_id >= text, by_id < text + _LAST)
        # One index scan for each: an OR would be neither
        either = sa.union(
            *(
                sa.select(statement.where(wanted).with_only_columns(User.id).subquery())
                for wanted in (begins, User.id.in_(owners))
            )
        )
        statement = statement.where(User.id.in_(either))
    rows = list(db.session.scalars(statement))
    shown = rows[:PAGE_SIZE]
    masked: dict[str, list[str]] = {}
    for user_id, value in db.session.execute(
        sa.select(Address.user_id, Address.masked)
        .where(Address.user_id.in_([row.id for row in shown]), Address.is_primary)
        .order_by(Address.channel)
    ):
        masked.setdefault(user_id, []).append(value)
    return [Line(row, masked.get(row.id, [])) for row in shown], shown[-1].id if len(rows) > PAGE_SIZE else None


def _in_code_points() -> "sa.ColumnElement[str]":
    """The id, to be sorted by and compared: on both databases by an index, which LIKE is not."""
    column = User.__table__.c.id
    return column if db.engine.dialect.name == "sqlite" else sa.collate(column, "C")


def digests_of(text: str) -> list[bytes]:
    """The digests of the text, read as an address of each channel, live and test."""
    found: list[bytes] = []
    for name, channel in CHANNELS.items():
        if channel.address is not None:
            try:
                value = normalise(name, text)
                for mark in ("", MARK):
                    found += vault.forms(vault.digest(f"{mark}{name}\0{value}"))
            except ValueError:
                continue
    return found


def one(user_id: str) -> Person:
    """The number of queries is constant. Raises Rejected('not_found')."""
    user = db.session.get(User, user_id, populate_existing=True) if "\0" not in user_id else None
    if user is None:
        raise Rejected("not_found", f"there is no user {user_id[:128]!r}")
    rows = db.session.scalars(
        sa.select(Address)
        .where(Address.user_id == user_id)
        .order_by(Address.channel, Address.id)
        .execution_options(populate_existing=True)
    ).all()
    held: dict[bytes, list[Held]] = {}
    for row in db.session.scalars(
        sa.select(Suppression)
        .where(Suppression.digest.in_([address.digest for address in rows]))
        .order_by(Suppression.scope)
    ):
        held.setdefault(row.digest, []).append(_held(row))
    addresses = [
        AddressLine(
            id=show("adr", row.id),
            key=row.id,
            channel=row.channel,
            masked=row.masked,
            label=row.label,
            platform=row.platform,
            app=row.app,
            is_main=row.is_primary and not (row.channel in CHANNELS and CHANNELS[row.channel].every_address),
            is_device=row.is_device,
            verified_at=row.verified_at,
            confirmed_at=row.confirmed_at,
            disabled_at=row.disabled_at,
            disabled_reason=row.disabled_reason,
            held=held.get(row.digest, []),
            left_out_for=webhook_targets.leaving_out(row.channel, row.value),
        )
        for row in rows
    ]
    role = db.session.scalar(sa.select(Account.role).where(Account.user_id == user_id))
    count = (
        db.session.scalar(sa.select(sa.func.count()).select_from(Notification).where(Notification.user_id == user_id))
        or 0
    )
    unread = db.session.scalar(sa.select(InboxState.unread).where(InboxState.user_id == user_id))
    return Person(user, role, addresses, count, unread)


def _held(row: Suppression) -> Held:
    channel = channel_of(row.scope)
    return Held(
        reason=row.reason,
        since=row.created_at,
        provider=row.provider,
        channel=channel,
        category=None if channel or row.scope == EVERYTHING else row.scope,
        may_be_lifted=row.reason != UNSUBSCRIBED,
    )
