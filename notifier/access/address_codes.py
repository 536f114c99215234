"""Addresses that people add themselves, and the codes that confirm them.

Called by the addresses page. A code is stored as a keyed digest, valid for a few minutes and a few tries, and sent
through `intake.own` on the address's own channel. Limits per person and address are counted by `ledgers.flood`.
"""

import secrets
from datetime import timedelta
from uuid import UUID

import redis
import sqlalchemy as sa

from notifier import channels
from notifier.channels import serving
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.encryption import vault
from notifier.ground.languages import N_
from notifier.ledgers import flood
from notifier.models import Address, AddressCode, Suppression
from notifier.people import redigesting
from notifier.people.addresses import LONGEST_LABEL, find_own, keep_own, primary_of, refused, set_primary, tell, works
from notifier.people.suppressions import UNSUBSCRIBED, forget_bounces
from notifier.pipeline.intake import own

CODE_TYPE = "address_code"

CODE_MINUTES = 10
# By how many tries are left: whole sentences, which can be translated.
_WRONG = (
    N_("That is not the code. Ask for a new one."),
    N_("That is not the code. You have 1 more attempt."),
    N_("That is not the code. You have 2 more attempts."),
    N_("That is not the code. You have 3 more attempts."),
    N_("That is not the code. You have 4 more attempts."),
)
MOST_TRIES = len(_WRONG)


def is_addable(channel: str) -> bool:
    """Whether people can type in an address for this channel, and be sent its code."""
    known = channels.CHANNELS.get(channel)
    return (
        known is not None
        and known.address is not None
        and known.address.is_typed
        and known.borrows_from is None
        and _carrier(channel) is not None
    )


def add_own(user_id: str, channel: str, value: str, *, label: str | None) -> Address:
    """Stores an address unconfirmed and sends its code; an address that is there already gets a code only if it needs
    one.

    Raises Rejected for a faulty address, too many addresses, or too many codes (then it is stored all the same).
    """
    if not is_addable(channel):
        raise refused(Fault("/channel", "unknown_channel", N_("Choose one of the kinds in the list.")))
    if label is not None and len(label) > LONGEST_LABEL:
        raise refused(Fault("/label", "too_long", f"A name can have at most {LONGEST_LABEL} characters."))
    address = keep_own(user_id, channel, value, label=label)
    if needs_code(address):
        send_code(user_id, address.id)
    return address


def needs_code(address: Address) -> bool:
    """Whether a code does anything: it is switched off, not confirmed, or in use only because somebody else gave it."""
    return not works(address) or address.confirmed_at is None


def send_code(user_id: str, address_id: UUID) -> None:
    """A new code for an address that needs one. What somebody else gave stays in use meanwhile. Raises Rejected if it
    is not theirs, is confirmed, or for too many codes lately.

    An address to which others have had too many codes sent gets none either, but the caller does not learn this.
    """
    with transaction() as session:
        address = find_own(session, user_id, address_id)
    carrier = _carrier(address.channel)
    if not needs_code(address):
        raise Rejected("conflict", N_("This address is already confirmed."))
    if carrier is None:
        raise Rejected("conflict", N_("No code can be sent there at the moment."))
    is_flooded = _is_flooded(address)
    code, at = f"{secrets.randbelow(10**6):06}", now()
    row = {
        "digest": vault.newest(_code_digest(address.id, code)),
        "tries": 0,
        "expires_at": at + timedelta(minutes=CODE_MINUTES),
        "created_at": at,
    }
    with transaction() as session:
        address = find_own(session, user_id, address_id)
        if not needs_code(address):  # confirmed meanwhile
            return
        if not works(address):
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
    """Confirms an address if the code is right. Each call uses up one of MOST_TRIES. Raises Rejected for a
    wrong code.
    """
    given = _code_digest(address_id, "".join(code.split()))
    with transaction() as session:
        address = find_own(session, user_id, address_id)
        # Counted before it is compared: however many guess at once, the row gives away no more than
        # so many comparisons.
        counted = session.execute(
            sa.update(AddressCode)
            .where(AddressCode.address_id == address_id, AddressCode.tries < MOST_TRIES, AddressCode.expires_at > now())
            .values(tries=AddressCode.tries + 1)
            .returning(AddressCode.digest, AddressCode.tries)
        ).first()
        is_right = counted is not None and bytes(counted.digest) in vault.forms(given)
        if is_right:
            session.execute(sa.delete(AddressCode).where(AddressCode.address_id == address_id))
            had_worked = works(address)
            address.verified_at = address.confirmed_at = now()
            address.disabled_at = address.disabled_reason = None
            redigesting.settle([address.digest])
            if not had_worked:  # one in use is only shown to be theirs: what they unsubscribed it from stays so
                lifted = (Suppression.digest == vault.newest(address.digest), Suppression.reason == UNSUBSCRIBED)
                session.execute(sa.delete(Suppression).where(*lifted))
            tell(session, address, f"{address.masked} (not confirmed)", address.masked)
            current = primary_of(session, user_id, address.channel)
            if current is None or not works(current):
                set_primary(session, address, current)
    if counted is None:
        raise refused(Fault("/code", "code_expired", N_("There is no valid code any more. Ask for a new one.")))
    if not is_right:
        raise refused(Fault("/code", "wrong_code", _WRONG[MOST_TRIES - counted.tries]))
    return address


def _carrier(channel: str) -> str | None:
    """The channel a code is sent by: the address's own, or one that borrows its addresses (a phone can be called)."""
    registry = serving.registry()
    return next((name for name in (channel, *serving.BORROWERS[channel]) if registry.is_on(name)), None)


def _code_digest(address_id: UUID, code: str) -> bytes:
    return vault.digest(f"address_code\0{address_id.hex}\0{code}")


def _is_flooded(address: Address) -> bool:
    """Counts a code. True: others have asked for too many. Raises Rejected for too many of the person's own, and while
    nothing can count.
    """
    digest = vault.newest(address.digest).hex()
    uses = {
        "code_own": f"code:{digest}:{address.user_id}",
        "code_person": f"codes-to-person:{address.user_id}",
        "code_address": f"codes-to-address:{digest}",
    }
    try:
        used_up = flood.used_up(uses)
    except redis.RedisError:
        raise Rejected(
            "unavailable", N_("No codes can be sent at the moment. Try again in a minute."), retry_after=60
        ) from None
    if used_up & {"code_own", "code_person"}:
        raise Rejected("rate_limited", N_("You have asked for too many codes. Try again in an hour."), retry_after=3600)
    return "code_address" in used_up
