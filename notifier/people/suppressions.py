"""Suppressions: what holds messages back from an address, whoever gives it. Bounces, complaints, STOP, unsubscribing.

Called by `pipeline.delivery` with what providers say, at once or later; by the console, where an operator lifts them
after hearing that an address can be reached again; by the unsubscribe link of an address that is stored with no person;
and wherever an address is shown to be reached again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from notifier.core import facts
from notifier.core.errors import Rejected
from notifier.core.facts import of_channel
from notifier.core.preferences import COMPLAINED_OF
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ledgers import audit, events
from notifier.models import Address, Suppression
from notifier.people import redigesting

BOUNCED = facts.EVERYTHING
UNSUBSCRIBED, COMPLAINED, STOPPED = facts.UNSUBSCRIBED, "complained", "stopped"
_LONGEST_REASON = 64


@dataclass(frozen=True, slots=True)
class Dead:
    """An address that will never work. `id` None: it came with a notification and is stored nowhere. `channel`: whose
    addresses it belongs to; `through`: the channel that it will never work on, which may be one that borrows it.
    `provider`: the account that says so, of `delivery_id`. `as_of`: what it knows is of that time; None: of now.
    """

    id: UUID | None
    digest: bytes
    channel: str
    through: str
    reason: str
    provider: str
    delivery_id: UUID
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An address that is held back for a category, or for a channel (`core.facts.of_channel`). `provider`: the account
    that says so.
    """

    digest: bytes
    channel: str
    scope: str
    reason: str
    provider: str


def switch_off(dead: Collection[Dead]) -> None:
    """Switches addresses off with the provider's word for it, and remembers them, should they be given again. Inside
    the caller's transaction; none without any, else two statements and two for each reason.

    An address that was given or confirmed later than what the provider knows may work again, and is left alone. A
    number that is not on WhatsApp takes SMS all the same: through a channel that borrows the address, that channel
    alone ends.
    """
    newer = _given_since({one.id: one.as_of for one in dead if one.id is not None and one.as_of is not None})
    dead = [one for one in dead if one.id not in newer]
    reasons: dict[str, dict[UUID, UUID]] = {}  # address → the delivery that has shown it
    for one in dead:
        if one.id is not None and one.through == one.channel:
            reasons.setdefault(one.reason[:_LONGEST_REASON], {})[one.id] = one.delivery_id
    for reason, ids in sorted(reasons.items()):
        events.tell_disabled(ids.values(), reason)
        db.session.execute(
            sa.update(Address)
            .where(Address.id.in_(sorted(ids)))
            .values(disabled_at=now(), disabled_reason=reason)
            .execution_options(synchronize_session=False)
        )
    hold(
        Hold(
            one.digest,
            one.channel,
            BOUNCED if one.through == one.channel else of_channel(one.through),
            one.reason,
            one.provider,
        )
        for one in dead
    )


def _given_since(known: Mapping[UUID, datetime]) -> set[UUID]:
    """Those of these addresses that were given again, or confirmed by their owner, since then."""
    if not known:
        return set()
    times = (Address.created_at, Address.revived_at, Address.confirmed_at)
    statement = sa.select(Address.id, *times).where(Address.id.in_(known)).order_by(Address.id).with_for_update()
    rows = db.session.execute(statement)
    return {row.id for row in rows if max(at for at in row[1:] if at is not None) > known[row.id]}


def hold(holds: Iterable[Hold]) -> None:
    """Inside the caller's transaction; one statement, none without any. A later reason replaces the one before."""
    at = now()
    holds = list(holds)
    redigesting.settle(one.digest for one in holds)
    rows = {
        (vault.newest(one.digest), one.scope): {
            "digest": vault.newest(one.digest),
            "scope": one.scope,
            "channel": one.channel,
            "reason": one.reason[:_LONGEST_REASON],
            "provider": one.provider,
            "created_at": at,
        }
        for one in holds
    }
    if not rows:
        return
    statement = insert(Suppression)
    again = statement.on_conflict_do_update(
        index_elements=["digest", "scope"],
        set_={name: statement.excluded[name] for name in ("reason", "provider", "created_at")},
    )
    db.session.execute(again, [rows[key] for key in sorted(rows)])  # in one order: two batches never deadlock


def complain(addresses: Iterable[tuple[bytes, str, str]]) -> None:
    """These addresses (digest, channel, provider) have called a message spam."""
    hold(
        Hold(digest, channel, scope, COMPLAINED, provider)
        for digest, channel, provider in addresses
        for scope in COMPLAINED_OF
    )


def stop(addresses: Iterable[tuple[bytes, str, str, str]], reason: str = STOPPED) -> None:
    """These addresses (digest, channel of the address, channel of the message, provider) want nothing more on that
    channel.
    """
    hold(Hold(digest, lender, of_channel(channel), reason, provider) for digest, lender, channel, provider in addresses)


def start(addresses: Collection[tuple[bytes, str]]) -> None:
    """These addresses (digest, channel of the message) take their STOP back. Inside the caller's transaction."""
    if addresses:
        redigesting.settle(digest for digest, _ in addresses)
        keys = sorted((vault.newest(digest), of_channel(channel)) for digest, channel in addresses)
        db.session.execute(
            sa.delete(Suppression)
            .where(sa.tuple_(Suppression.digest, Suppression.scope).in_(keys))
            .execution_options(synchronize_session=False)
        )


def unsubscribe(digest: bytes, channel: str, category: str) -> None:
    """No message of that category goes to that address any more, whichever producer gives it. Its owner undoes this by
    confirming the address in Notifier.
    """
    scope = {"scope": category, "channel": channel, "reason": UNSUBSCRIBED}
    with transaction() as session:
        redigesting.settle([digest])
        row = {"digest": vault.newest(digest), **scope, "created_at": now()}
        added = insert(Suppression).values(**row).on_conflict_do_nothing().returning(Suppression.scope)
        if session.execute(added).first() is not None:
            events.tell_unsubscribed([(None, category, channel)])


def bounced_among(digests: Collection[bytes]) -> set[bytes]:
    """Those of these addresses that have bounced, for any person."""
    places = {form: digest for digest in digests for form in vault.forms(digest)}
    held = sa.select(Suppression.digest).where(Suppression.digest.in_(places), Suppression.scope == BOUNCED)
    return {places[bytes(digest)] for digest in db.session.scalars(held)}


def forget_bounces(digests: Iterable[bytes]) -> None:
    """Forgets the bounces of addresses that are given again on purpose, or were reached again. Complaints are kept by
    category, and stay.
    """
    digests = list(digests)
    redigesting.settle(digests)
    newest = sorted(map(vault.newest, digests))
    db.session.execute(sa.delete(Suppression).where(Suppression.digest.in_(newest), Suppression.scope == BOUNCED))


def lift(user_id: str, address_id: UUID) -> bool:
    """Forgets what the address bounced with, complaints and STOP, and switches it on again. False: there was nothing to
    lift. Raises Rejected('not_found').

    Where they have unsubscribed, it stays: only they can take that back.
    """
    with transaction() as session:
        address = session.scalar(
            sa.select(Address).where(Address.id == address_id, Address.user_id == user_id).with_for_update()
        )
        if address is None:
            raise Rejected("not_found", "there is no such address any more")
        redigesting.settle([address.digest])
        held = (
            sa.delete(Suppression)
            .where(Suppression.digest == vault.newest(address.digest), Suppression.reason != UNSUBSCRIBED)
            .returning(Suppression.scope, Suppression.reason)
        )
        lifted = {row.scope: row.reason for row in session.execute(held)}
        if not lifted and address.disabled_at is None:
            return False
        before = {"reason": lifted.get(BOUNCED) or address.disabled_reason, "lifted": lifted}
        address.disabled_at = address.disabled_reason = None
        audit.write("suppression.lifted", f"{user_id} {address.channel} {address.masked}", before=before)
    return True
