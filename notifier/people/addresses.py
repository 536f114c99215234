"""Where people are reached: what a producer gives, what a person adds and confirms, and the browsers they switch on.

Called by the users' API and the preferences page. An address that a person adds gets nothing but its code until
that is entered. A code goes the ordinary road (`own.submit`), on the address's own channel: a person reads it
from their mail or phone, and the owner of a webhook or Slack URL from what arrives there.
"""

import base64
import hmac
import secrets
from datetime import timedelta
from uuid import UUID

import redis
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from notifier import channels
from notifier.channels.table import WEB_PUSH
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.core.worlds import is_of_tests, shown_id
from notifier.ground.clock import now
from notifier.ground.database import insert, retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.ids import show
from notifier.ledgers import audit, flood
from notifier.models import Address, AddressCode, ConsentEvent, Suppression, User
from notifier.people.profiles import digest_of, forget_bounces
from notifier.people.suppressions import UNSUBSCRIBED
from notifier.pipeline.intake import own

CODE_TYPE = "address_code"
CODE_MINUTES = 10
MOST_TRIES = 5
MOST_ADDRESSES = 20
LONGEST_LABEL = 100

# How many codes: for one address, for one person, and for one address whoever asks, so that many accounts cannot
# flood it.
ALLOWANCES = {"own": "5/hour", "person": "10/hour", "address": "10/hour"}


def is_addable(channel: str) -> bool:
    """Can a person type in an address for it, and be sent its code?"""
    known = channels.CHANNELS.get(channel)
    return (
        known is not None
        and known.address is not None
        and known.address.is_typed
        and known.borrows_from is None
        and _carrier(channel) is not None
    )


# ---- given by a producer --------------------------------------------------------------------------------------------


@retried
def add_given(
    user_id: str, channel: str, value: str, *, label: str | None, is_vouched: bool = False
) -> tuple[Address, bool]:
    """It counts as verified, and as confirmed by its owner if it is vouched for; the same value again switches a
    disabled one on.

    A device becomes theirs alone (`_find_or_add`). → (address, is it new).
    """
    value = _checked(channel, value)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, channel, value)
        address.label = label if label is not None else address.label
        address.is_primary = address.is_primary or (is_new and _primary(session, user_id, channel) is None)
        address.verified_at = address.verified_at or now()
        address.confirmed_at = address.confirmed_at or (now() if is_vouched else None)
        address.disabled_at = address.disabled_reason = None
        forget_bounces([address.digest])
        _tell_the_trail("added" if is_new else "given_again", address)
    return address, is_new


def remove_given(user_id: str, address_id: UUID) -> bool:
    with transaction() as session:
        address = _of(session, user_id, address_id)
        if address is not None:
            _remove(session, address)
            _tell_the_trail("removed", address)
    return address is not None


def _tell_the_trail(what: str, address: Address) -> None:
    """By its id: nothing can be erased there."""
    if not is_of_tests(address.user_id):
        audit.write(
            f"address.{what}", address.user_id, after={"channel": address.channel, "address": show("adr", address.id)}
        )


# ---- the person's own -----------------------------------------------------------------------------------------------


def add_own(user_id: str, channel: str, value: str, *, label: str | None) -> Address:
    """Stores it unconfirmed and sends its code; one that is there already only gets a code if it needs one.

    Raises Rejected: what is wrong with it, too many addresses, too many codes (then it is stored all the same).
    """
    if not is_addable(channel):
        raise _refused(Fault("/channel", "unknown_channel", "Choose one of the kinds in the list."))
    if label is not None and len(label) > LONGEST_LABEL:
        raise _refused(Fault("/label", "too_long", f"A name has at most {LONGEST_LABEL} characters."))
    address = keep_own(user_id, channel, value, label=label)
    if not _works(address):
        send_code(user_id, address.id)
    return address


def keep_own(user_id: str, channel: str, value: str, *, label: str | None) -> Address:
    """Stores it unconfirmed, and sends no code: nothing goes there but what the product itself sends to that very
    address. Raises Rejected.
    """
    value = _checked(channel, value)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, channel, value)
        if is_new:
            _check_room(session, user_id)
            _tell(session, address, None, f"{address.masked} (not confirmed)")
        address.label = label or address.label
    return address


def send_code(user_id: str, address_id: UUID) -> None:
    """A new code for an address that is not confirmed, or was switched off. Raises Rejected: not theirs, or too many
    lately.

    One that others have had too many codes sent to gets none either, but nobody learns so.
    """
    with transaction() as session:
        address = _own(session, user_id, address_id)
    carrier = _carrier(address.channel)
    if _works(address):
        raise Rejected("conflict", "This address is confirmed already.")
    if carrier is None:
        raise Rejected("conflict", "No code can be sent there at present.")
    is_flooded = _is_flooded(address)
    code, at = f"{secrets.randbelow(10**6):06}", now()
    row = {
        "digest": _code_digest(address.id, code),
        "tries": 0,
        "expires_at": at + timedelta(minutes=CODE_MINUTES),
        "created_at": at,
    }
    with transaction() as session:
        address = _own(session, user_id, address_id)
        if _works(address):  # confirmed meanwhile
            return
        address.verified_at = address.confirmed_at = address.disabled_at = address.disabled_reason = None
        forget_bounces([address.digest])
        session.execute(
            insert(AddressCode)
            .values(address_id=address.id, **row)
            .on_conflict_do_update(index_elements=["address_id"], set_=row)
        )
    if not is_flooded:
        data = {"code": code, "minutes": CODE_MINUTES}
        own.submit(
            Submission(
                CODE_TYPE,
                (InlineRecipient(user_id),),
                data,
                channels=(carrier,),
                address_id=address.id,
                expires_in=CODE_MINUTES * 60,
            )
        )


def confirm(user_id: str, address_id: UUID, code: str) -> Address:
    """The address with this code is theirs from now on. Each call uses up one of MOST_TRIES; raises Rejected when it
    was not right.
    """
    given = _code_digest(address_id, "".join(code.split()))
    with transaction() as session:
        address = _own(session, user_id, address_id)
        # Counted before it is compared: however many guess at once, the row gives away no more than
        # so many comparisons.
        counted = session.execute(
            sa.update(AddressCode)
            .where(AddressCode.address_id == address_id, AddressCode.tries < MOST_TRIES, AddressCode.expires_at > now())
            .values(tries=AddressCode.tries + 1)
            .returning(AddressCode.digest, AddressCode.tries)
        ).first()
        is_right = counted is not None and hmac.compare_digest(bytes(counted.digest), given)
        if is_right:
            session.execute(sa.delete(AddressCode).where(AddressCode.address_id == address_id))
            address.verified_at = address.confirmed_at = now()
            address.disabled_at = address.disabled_reason = None
            session.execute(
                sa.delete(Suppression).where(Suppression.digest == address.digest, Suppression.reason == UNSUBSCRIBED)
            )
            _tell(session, address, f"{address.masked} (not confirmed)", address.masked)
            current = _primary(session, user_id, address.channel)
            if current is None or not _works(current):
                _make_primary(session, address, current)
    if counted is None:
        raise _refused(Fault("/code", "code_expired", "There is no code that would still be valid. Ask for a new one."))
    if not is_right:
        left = MOST_TRIES - counted.tries
        again = f"You have {left} more {'try' if left == 1 else 'tries'}." if left else "Ask for a new one."
        raise _refused(Fault("/code", "wrong_code", f"That is not the code. {again}"))
    return address


def make_primary(user_id: str, address_id: UUID) -> Address:
    """The one that is used where a channel uses one only. Raises Rejected for one that is not confirmed, or switched
    off.
    """
    with transaction() as session:
        address = _own(session, user_id, address_id)
        if not _works(address) or channels.CHANNELS[address.channel].every_address:
            raise Rejected("conflict", "Only an address that is confirmed and switched on can be the main one.")
        current = _primary(session, user_id, address.channel)
        if current is not address:
            _make_primary(session, address, current)
            change = {
                "choice": f"addresses.{address.channel}.primary",
                "from": current.masked if current else None,
                "to": address.masked,
            }
            session.add(ConsentEvent(user_id=user_id, source="page", change=change, at=now()))
    return address


def remove_own(user_id: str, address_id: UUID) -> Address:
    """→ what it was. Raises Rejected when it is not theirs."""
    with transaction() as session:
        address = _own(session, user_id, address_id)
        _tell(session, address, address.masked, None)
        _remove(session, address)
    return address


@retried
def add_browser(user_id: str, subscription: str, *, label: str) -> Address:
    """A browser that push goes to from now on. It has proved itself by being there, so it needs no code.

    A browser tells one person: whoever switched push on in it before is not shown in it any more.
    """
    value = _checked(WEB_PUSH.name, subscription)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, WEB_PUSH.name, value)
        if is_new:
            _check_room(session, user_id)
            _tell(session, address, None, label)
        address.label, address.verified_at, address.confirmed_at = label, now(), now()
        address.disabled_at = address.disabled_reason = None
        forget_bounces([address.digest])
    return address


# ---- what they share ------------------------------------------------------------------------------------------------


def _refused(*faults: Fault) -> Rejected:
    return Rejected("validation_failed", "the address is not valid", faults)


def _checked(channel: str, value: str) -> str:
    """The value in its normal form. Raises Rejected."""
    kind = channels.CHANNELS[channel].address if channel in channels.CHANNELS else None
    if kind is None:
        raise _refused(Fault("/channel", "unknown_channel", f"{channel!r} has no addresses"))
    try:
        value = kind.parse(value)
    except ValueError as error:
        raise _refused(Fault("/value", "invalid_address", str(error))) from None
    if not channels.registry().may_reach(channel, value):
        sentence = (
            "This leads into a private network, or is not encrypted; OUTBOUND_ALLOW names the networks for which "
            "that is allowed."
        )
        raise _refused(Fault("/value", "target_refused", sentence))
    return value


def _find_or_add(session: scoped_session[Session], user_id: str, channel: str, value: str) -> tuple[Address, bool]:
    """The user's row is held, so that nobody else changes their addresses meanwhile.

    Whoever takes over a phone or a browser must not read its former owner's messages: a device is taken away from
    everybody else. Their rows are locked in no order, and two may register one device at once: callers that add devices
    are `retried`.
    """
    if session.get(User, user_id, with_for_update={"key_share": True}) is None:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
    digest = digest_of(channel, value, is_test=is_of_tests(user_id))
    address = session.scalar(
        sa.select(Address).where(Address.user_id == user_id, Address.channel == channel, Address.digest == digest)
    )
    if address is not None:
        return address, False
    kind = channels.CHANNELS[channel].address
    is_device = kind is not None and not kind.is_typed
    if is_device:
        for other in session.scalars(sa.select(Address).where(Address.channel == channel, Address.digest == digest)):
            _remove(session, other)
    address = Address(
        user_id=user_id,
        channel=channel,
        value=value,
        digest=digest,
        masked=channels.mask(channel, value),
        secret=_new_signing_secret() if kind and kind.has_secret else None,
        is_device=is_device,
    )
    session.add(address)
    session.flush()
    return address, True


def _new_signing_secret() -> str:
    """Standard Webhooks: 24 to 64 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _check_room(session: scoped_session[Session], user_id: str) -> None:
    if (session.scalar(sa.select(sa.func.count()).where(Address.user_id == user_id)) or 0) > MOST_ADDRESSES:
        raise _refused(
            Fault(
                "/value",
                "too_many_addresses",
                f"You have {MOST_ADDRESSES} addresses and devices already. Remove one first.",
            )
        )


def _of(session: scoped_session[Session], user_id: str, address_id: UUID) -> Address | None:
    session.get(User, user_id, with_for_update={"key_share": True})
    return session.scalar(sa.select(Address).where(Address.id == address_id, Address.user_id == user_id))


def _own(session: scoped_session[Session], user_id: str, address_id: UUID) -> Address:
    address = _of(session, user_id, address_id)
    if address is None:
        raise Rejected("not_found", "there is no such address")
    return address


def _works(address: Address) -> bool:
    return address.verified_at is not None and address.disabled_at is None


def _primary(session: scoped_session[Session], user_id: str, channel: str) -> Address | None:
    return session.scalar(
        sa.select(Address).where(Address.user_id == user_id, Address.channel == channel, Address.is_primary)
    )


def _make_primary(session: scoped_session[Session], address: Address, current: Address | None) -> None:
    if current is not None:
        current.is_primary = False
        session.flush()  # there is never more than one
    address.is_primary = True


def _remove(session: scoped_session[Session], address: Address) -> None:
    """The next confirmed one takes the place of a primary address."""
    session.delete(address)
    session.flush()
    if address.is_primary:
        following = sa.select(Address).where(Address.user_id == address.user_id, Address.channel == address.channel)
        heir = session.scalar(
            following.where(Address.verified_at.is_not(None), Address.disabled_at.is_(None))
            .order_by(Address.id)
            .limit(1)
        )
        if heir is not None:
            heir.is_primary = True


def _tell(session: scoped_session[Session], address: Address, before: str | None, after: str | None) -> None:
    """Into the history of what the person has chosen."""
    change = {"choice": f"addresses.{address.channel}", "from": before, "to": after}
    session.add(ConsentEvent(user_id=address.user_id, source="page", change=change, at=now()))


def _carrier(channel: str) -> str | None:
    """The channel a code is sent by: the address's own, or one that borrows its addresses (a phone can be called)."""
    registry = channels.registry()
    return next((name for name in (channel, *channels.BORROWERS[channel]) if registry.is_on(name)), None)


def _code_digest(address_id: UUID, code: str) -> bytes:
    return vault.digest(f"address_code\0{address_id.hex}\0{code}")


def _is_flooded(address: Address) -> bool:
    """Counts a code. True: others have asked for too many. Raises Rejected for too many of the person's own, and while
    nothing can count.
    """
    digest = address.digest.hex()
    keys = {
        "own": f"code:{digest}:{address.user_id}",
        "person": f"codes-to-person:{address.user_id}",
        "address": f"codes-to-address:{digest}",
    }
    try:
        used_up = flood.used_up({keys[name]: allowance for name, allowance in ALLOWANCES.items()})
    except redis.RedisError:
        raise Rejected(
            "unavailable", "No codes can be sent at the moment. Try again in a minute.", retry_after=60
        ) from None
    if used_up & {keys["own"], keys["person"]}:
        raise Rejected("rate_limited", "That were many codes in a short time. Try again in an hour.", retry_after=3600)
    return keys["address"] in used_up
