"""People's addresses: given by a producer, added and confirmed by the person, and browsers with push switched on.

Called by the users' API and the addresses page. An address that a person adds gets nothing but a code
(`access.address_codes`) until it is confirmed.
"""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from notifier import channels
from notifier.channels import serving
from notifier.channels.addresses import PHONE, digest_of, endpoint_of
from notifier.channels.table import WEB_PUSH
from notifier.channels.wire import standard_webhooks
from notifier.core.errors import Fault, Rejected
from notifier.core.reasons import COUNTRY
from notifier.core.worlds import is_of_tests, shown_id
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.encryption import vault
from notifier.ground.ids import show
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.models import Address, User
from notifier.models.user import PAGE
from notifier.people import consent, redigesting, staff
from notifier.people.suppressions import forget_bounces
from notifier.queries import webhook_targets
from notifier.queries.producer_limits import country_refused

MOST_ADDRESSES = 20  # that a person adds to
MOST_GIVEN = 200  # that producers add to: a message to all of somebody's addresses is planned in one transaction
LONGEST_LABEL = 100


class BelongsToStaff(Exception):
    """A device of staff: their alerts go there, so callers that may not change staff may not take it away either."""


# ---- given by a producer --------------------------------------------------------------------------------------------


@retried
def add_given(
    user_id: str,
    channel: str,
    value: str,
    *,
    label: str | None,
    platform: str | None = None,
    app: str | None = None,
    is_vouched: bool = False,
    spares_staff: bool = False,
    producer_id: UUID | None = None,
) -> tuple[Address, bool]:
    """The address counts as verified, and as confirmed by its owner if it is vouched for; the same value again switches
    a disabled address on.

    A device is taken from everybody else (`_find_or_add`). What is None stays as it is stored. → (address, whether it
    is new).

    `spares_staff`: raises BelongsToStaff for a device of somebody with a role in the console.
    """
    value = _checked(channel, value, producer_id)
    _check_device(channel, platform, app)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, channel, value, spares_staff=spares_staff)
        if is_new and _count(session, user_id) > MOST_GIVEN:
            sentence = f"this user has {MOST_GIVEN} addresses and devices, the most there can be; remove some first"
            raise refused(Fault("/value", "too_many_addresses", sentence))
        address.label = label if label is not None else address.label
        address.platform = platform or address.platform
        address.app = app or address.app
        if address.is_device and not is_new:
            address.revived_at = now()
        address.is_primary = address.is_primary or (is_new and primary_of(session, user_id, channel) is None)
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
    """Names the address by its id: nothing can be erased from the audit trail."""
    if not is_of_tests(address.user_id):
        audit.write(
            f"address.{what}", address.user_id, after={"channel": address.channel, "address": show("adr", address.id)}
        )


# ---- the person's own -----------------------------------------------------------------------------------------------


def keep_own(user_id: str, channel: str, value: str, *, label: str | None) -> Address:
    """Stores an address unconfirmed, and sends no code: nothing goes there but the product's own messages to that very
    address. Raises Rejected.
    """
    value = _checked(channel, value)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, channel, value)
        if is_new:
            _check_room(session, user_id)
            tell(session, address, None, f"{address.masked} (not confirmed)")
        address.label = label or address.label
    return address


def make_primary(user_id: str, address_id: UUID) -> Address:
    """Makes it the address that is used where a channel uses only one. Raises Rejected if it is unconfirmed or switched
    off.
    """
    with transaction() as session:
        address = find_own(session, user_id, address_id)
        if not works(address) or channels.CHANNELS[address.channel].every_address:
            raise Rejected("conflict", N_("Only a confirmed address that is not switched off can be the main one."))
        current = primary_of(session, user_id, address.channel)
        if current is not address:
            set_primary(session, address, current)
            change = {
                "choice": f"addresses.{address.channel}.primary",
                "from": current.masked if current else None,
                "to": address.masked,
            }
            consent.write({user_id: [change]}, PAGE, now())
    return address


def remove_own(user_id: str, address_id: UUID) -> Address:
    """→ the removed address. Raises Rejected if it is not theirs."""
    with transaction() as session:
        address = find_own(session, user_id, address_id)
        tell(session, address, address.masked, None)
        _remove(session, address)
    return address


@retried
def add_browser(user_id: str, subscription: str, *, label: str) -> Address:
    """Switches push on in a browser. The browser is its own proof, so no code is needed.

    A browser belongs to one person: the one who switched push on in it before no longer gets messages there.
    """
    value = _checked(WEB_PUSH.name, subscription)
    with transaction() as session:
        address, is_new = _find_or_add(session, user_id, WEB_PUSH.name, value)
        if is_new:
            _check_room(session, user_id)
            tell(session, address, None, label)
        address.label, address.verified_at, address.confirmed_at = label, now(), now()
        address.disabled_at = address.disabled_reason = None
        forget_bounces([address.digest])
    return address


@retried
def renew_browser(user_id: str, endpoint: str, subscription: str) -> Address | None:
    """The browser that had the subscription with this endpoint has another one now. None: it is none of theirs, or they
    have removed it meanwhile, and nothing is stored.
    """
    value = _checked(WEB_PUSH.name, subscription)
    with transaction() as session:
        session.get(User, user_id, with_for_update={"key_share": True})
        theirs = session.scalars(sa.select(Address).where(Address.user_id == user_id, Address.channel == WEB_PUSH.name))
        before = next((address for address in theirs if endpoint_of(address.value) == endpoint), None)
        if before is None:
            return None
        address, _ = _find_or_add(session, user_id, WEB_PUSH.name, value)
        address.label, address.verified_at, address.confirmed_at = before.label, now(), now()
        address.disabled_at = address.disabled_reason = None
        forget_bounces([address.digest])
        if address is not before:
            _remove(session, before)
    return address


# ---- shared by both sides -------------------------------------------------------------------------------------------


def refused(*faults: Fault) -> Rejected:
    return Rejected("validation_failed", "the address is not valid", faults)


def _checked(channel: str, value: str, producer_id: UUID | None = None) -> str:
    """The value in its normal form. `producer_id`: who gives it. Raises Rejected."""
    kind = channels.CHANNELS[channel].address if channel in channels.CHANNELS else None
    if kind is None:
        raise refused(Fault("/channel", "unknown_channel", f"{channel!r} has no addresses"))
    try:
        value = kind.parse(value)
    except ValueError as error:
        raise refused(Fault("/value", "invalid_address", str(error))) from None
    refused_by = country_refused(value, producer_id) if kind is PHONE else None
    if refused_by is not None:
        raise refused(Fault("/value", COUNTRY, N_("Phones in this country may not be reached from here.")))
    barred = serving.registry().why_not(channel, value, webhook_targets.lists_of(producer_id))
    if barred is not None:
        raise refused(Fault("/value", barred.code, barred.sentence))
    return value


def _check_device(channel: str, platform: str | None, app: str | None) -> None:
    """Raises Rejected where an address that is no phone's is said to be one."""
    kind = channels.CHANNELS[channel].address
    if kind is not None and not kind.has_platform:
        given = {"platform": platform, "app": app}
        faults = [
            Fault(f"/{name}", "not_a_phone", f"addresses of {channel!r} have none")
            for name, value in given.items()
            if value is not None
        ]
        if faults:
            raise refused(*faults)


def _find_or_add(
    session: scoped_session[Session], user_id: str, channel: str, value: str, *, spares_staff: bool = False
) -> tuple[Address, bool]:
    """The user's row is locked, so that no other transaction changes their addresses meanwhile.

    The new owner of a phone or a browser must not read the former owner's messages: a device is taken away from
    everybody else. Their rows are locked in no fixed order, and two people may register one device at once: callers
    that add devices are `retried`.
    """
    if session.get(User, user_id, with_for_update={"key_share": True}) is None:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
    given = digest_of(channel, value, is_test=is_of_tests(user_id))
    redigesting.settle([given])
    digest = vault.newest(given)
    mine = sa.select(Address).where(Address.user_id == user_id, Address.channel == channel, Address.digest == digest)
    address = session.scalar(mine.with_for_update())  # somebody else may be taking the device away
    if address is not None:
        return address, False
    kind = channels.CHANNELS[channel].address
    is_device = kind is not None and not kind.is_typed
    if is_device:
        others = session.scalars(sa.select(Address).where(Address.channel == channel, Address.digest == digest)).all()
        if spares_staff and staff.among({other.user_id for other in others}):
            raise BelongsToStaff("this device belongs to somebody with a role in the console; the scope admin takes it")
        for other in others:
            _remove(session, other)
    address = Address(
        user_id=user_id,
        channel=channel,
        value=value,
        digest=digest,
        masked=serving.mask(channel, value),
        secret=standard_webhooks.new_secret() if kind and kind.has_secret else None,
        is_device=is_device,
    )
    session.add(address)
    session.flush()
    return address, True


def _check_room(session: scoped_session[Session], user_id: str) -> None:
    if _count(session, user_id) > MOST_ADDRESSES:
        sentence = N_("You have as many addresses and devices as there can be. Remove one first.")
        raise refused(Fault("/value", "too_many_addresses", sentence))


def _count(session: scoped_session[Session], user_id: str) -> int:
    return session.scalar(sa.select(sa.func.count()).where(Address.user_id == user_id)) or 0


def _of(session: scoped_session[Session], user_id: str, address_id: UUID) -> Address | None:
    session.get(User, user_id, with_for_update={"key_share": True})
    return session.scalar(sa.select(Address).where(Address.id == address_id, Address.user_id == user_id))


def find_own(session: scoped_session[Session], user_id: str, address_id: UUID) -> Address:
    address = _of(session, user_id, address_id)
    if address is None:
        raise Rejected("not_found", "there is no such address")
    return address


def works(address: Address) -> bool:
    return address.verified_at is not None and address.disabled_at is None


def primary_of(session: scoped_session[Session], user_id: str, channel: str) -> Address | None:
    return session.scalar(
        sa.select(Address).where(Address.user_id == user_id, Address.channel == channel, Address.is_primary)
    )


def set_primary(session: scoped_session[Session], address: Address, current: Address | None) -> None:
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


def tell(session: scoped_session[Session], address: Address, before: str | None, after: str | None) -> None:
    """Writes a change of an address into the person's consent history."""
    change = {"choice": f"addresses.{address.channel}", "from": before, "to": after}
    session.flush()
    consent.write({address.user_id: [change]}, PAGE, now())
