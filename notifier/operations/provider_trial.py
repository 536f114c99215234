"""A test of one provider account: a message of the product's own, to a destination that an admin chooses, through that
account only.

Called by the console. The message goes the normal way (`intake.own`): a worker sends it, and its history can be
followed like any other's. A destination that is typed in is stored among the admin's own addresses, unconfirmed.
"""

from datetime import datetime, timedelta
from uuid import UUID

import redis
import sqlalchemy as sa

from notifier.channels import CHANNELS, serving
from notifier.channels.contract import Channel
from notifier.channels.sandbox import magic_word
from notifier.core.errors import Fault, Rejected
from notifier.core.flags import is_in_rollout
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ledgers import audit, flood
from notifier.models import Address, Provider
from notifier.people import addresses
from notifier.pipeline.intake import own
from notifier.providers import accounts as providers

TYPE = "provider_test"
EXPIRES_IN_S = 600

_TAKEN_UP = timedelta(seconds=providers.REFRESH_S + 1)


def why_not(account: str, user_id: str) -> str | None:
    """Why nothing can be sent through the account now, in a sentence; None if it can. The account's own flag is no
    reason.
    """
    providers.refresh_now()
    row = db.session.scalar(sa.select(Provider).where(Provider.name == account))
    if row is not None and not row.is_on:
        return (
            "It is not in use, so no process knows it. Switch it on with its share at 0 %: then only tests go "
            "through it."
        )
    channel = _channel_of(account)
    known = serving.registry().facts()[channel.name]
    if not known.is_on or not is_in_rollout(channel.name, known.percentage, user_id):
        return (
            f"{channel.label} is switched off for you, and so are its tests. Set its share on "
            "the list of providers first."
        )
    return None


def destinations(account: str, user_id: str) -> list[Address]:
    """The admin's own addresses that a test may go to: confirmed and in use, the main one first."""
    channel = _channel_of(account)
    mine = (
        Address.user_id == user_id,
        Address.channel == _kept_under(channel),
        Address.verified_at.is_not(None),
        Address.disabled_at.is_(None),
    )
    return list(db.session.scalars(sa.select(Address).where(*mine).order_by(Address.is_primary.desc(), Address.id)))


def send(account: str, user_id: str, to: UUID | str) -> str:
    """`to`: the id of one of the admin's addresses, or a new address. → the notification's id. Raises Rejected with the
    faults.
    """
    reason = why_not(account, user_id)
    if reason is not None:
        raise Rejected("conflict", reason)
    channel = _channel_of(account)
    count(user_id)
    address = _theirs(account, channel, user_id, to) if isinstance(to, UUID) else _new(channel, user_id, to)
    submission = Submission(
        TYPE,
        (InlineRecipient(user_id),),
        {"account": account},
        channels=(channel.name,),
        expires_in=EXPIRES_IN_S,
        send_at=_known_everywhere_at(account),
        address_id=address.id,
        only_through=account,
    )
    noted = audit.Entry("provider.tested", account, {"channel": channel.name, "to": address.masked})
    [notification] = own.submit(submission, noted=noted).answer["notifications"]
    return str(notification["id"])


def _channel_of(account: str) -> Channel:
    """The channel of an account in the database, or in the environment. Raises Rejected('not_found')."""
    name = db.session.scalar(sa.select(Provider.channel).where(Provider.name == account))
    given = next((adapter.channel for known, adapter in serving.registry().accounts() if known.name == account), None)
    channel = CHANNELS.get(name) if name is not None else given
    if channel is None:
        raise Rejected("not_found", f"there is no provider {account[:80]!r}")
    return channel


def _kept_under(channel: Channel) -> str:
    """The channel its addresses are stored for: a phone that is called is one that takes SMS."""
    return channel.borrows_from or channel.name


def _check_real(channel: Channel, value: str) -> None:
    if magic_word(channel, value.strip()):
        raise _refused("Messages to this address go to the sandbox: no provider would see them.")


def _theirs(account: str, channel: Channel, user_id: str, key: UUID) -> Address:
    address = next((one for one in destinations(account, user_id) if one.id == key), None)
    if address is None:
        raise _refused("This is no longer one of your addresses.")
    _check_real(channel, address.value)
    return address


def _new(channel: Channel, user_id: str, value: str) -> Address:
    if channel.address is None or not channel.address.is_typed:
        raise _refused("Choose one of your devices.")
    _check_real(channel, value)
    try:
        return addresses.keep_own(user_id, _kept_under(channel), value, label=None)
    except Rejected as error:
        if error.code == "not_found":
            raise _refused("Your account has no user, so it has no addresses.") from None
        raise


def _known_everywhere_at(account: str) -> datetime | None:
    """Soon, if it was changed a moment ago: until then workers send by what it was before. None: it is known."""
    changed_at = db.session.scalar(sa.select(Provider.changed_at).where(Provider.name == account))
    at = changed_at + _TAKEN_UP if changed_at else None
    return at if at and at > now() else None


def count(user_id: str) -> None:
    """A test that the person asks for. Raises Rejected: `rate_limited` for too many, `unavailable`."""
    try:
        used_up = flood.used_up({"trial": f"provider-test:{user_id}"})
    except redis.RedisError:
        raise Rejected(
            "unavailable",
            "Redis cannot be reached, and without it nothing is sent. Try again in a minute.",
            retry_after=60,
        ) from None
    if used_up:
        raise Rejected("rate_limited", "You have sent too many tests. Try again in ten minutes.", retry_after=600)


def _refused(sentence: str) -> Rejected:
    return Rejected("validation_failed", sentence, (Fault("/to", "invalid", sentence),))
