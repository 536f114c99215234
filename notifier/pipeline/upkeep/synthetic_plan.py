"""Who the synthetic person is, and what they are to hear: their addresses and their turns follow the settings, the
event types and the accounts of providers.

Called by `upkeep.synthetic`.
"""

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.channels import CHANNELS, sandbox, serving
from notifier.channels.addresses import digest_of
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.core.synthetic import Synthetic
from notifier.core.worlds import SYNTHETIC
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.database import look_again, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.models import Address, EventType, SyntheticTurn, User
from notifier.people import addresses, profiles
from notifier.providers import accounts as providers

NAME = "Synthetic person"
_turns: sa.Table = SyntheticTurn.__table__
_t = _turns.c

log = structlog.get_logger()


def is_there() -> bool:
    look_again()
    return db.session.scalar(sa.select(User.id).where(User.id == SYNTHETIC)) is not None


def make(asked: Synthetic) -> None:
    """Brings person, addresses and turns up to date. Nothing is written where nothing has changed."""
    providers.refresh()
    if not is_there():
        with transaction():
            profiles.upsert([InlineRecipient(SYNTHETIC, {"name": NAME})])
    _keep_addresses(asked)
    _keep_turns(asked)


def _keep_addresses(asked: Synthetic) -> None:
    wanted: dict[tuple[str, bytes], str] = {}
    for name, channel in CHANNELS.items():
        of = channel.borrows_from or name
        value = asked.addresses.get(name) or (sandbox.address_of(channel) if channel.borrows_from is None else None)
        if value is not None:
            normal = serving.normalise(of, value)
            wanted[of, vault.newest(digest_of(of, normal, is_test=True))] = normal
    rows = db.session.execute(
        sa.select(Address.id, Address.channel, Address.digest).where(Address.user_id == SYNTHETIC)
    ).all()
    there = {(row.channel, vault.newest(row.digest)): row.id for row in rows}
    for place, key in there.items():
        if place not in wanted:
            addresses.remove_given(SYNTHETIC, key)
    for (channel_name, digest), value in wanted.items():
        if (channel_name, digest) not in there:
            try:
                addresses.add_given(SYNTHETIC, channel_name, value, label=None)
            except Rejected as error:
                log.warning("synthetic.address_refused", channel=channel_name, code=error.code)


def _keep_turns(asked: Synthetic) -> None:
    """New turns are spread over the time between two of one kind."""
    accounts = {
        f"@{account.name}": account.name
        for account, adapter in serving.registry().accounts()
        if adapter.channel.name in asked.addresses
    }
    types = db.session.execute(sa.select(EventType.key, EventType.channels).order_by(EventType.key))
    keys = [*(row.key for row in types if row.channels), *sorted(accounts)]
    there = {row.key: row.due_at for row in db.session.execute(sa.select(_t.key, _t.due_at))}
    now = clock_now()
    new = [key for key in keys if key not in there]
    far = [key for key in keys if key in there and there[key] > now + asked.every]  # it was less often before
    gone = there.keys() - set(keys)
    db.session.close()
    if not (new or far or gone):
        return
    with transaction() as session:
        if gone:
            session.execute(sa.delete(_turns).where(_t.key.in_(gone)))
        for place, key in enumerate(far):
            session.execute(sa.update(_turns).where(_t.key == key).values(due_at=now + _part(asked, place, len(far))))
        for place, key in enumerate(new):
            due_at = now + _part(asked, place, len(new))
            session.add(SyntheticTurn(key=key, account=accounts.get(key), due_at=due_at, results=[], so_far=[], bad=0))


def _part(asked: Synthetic, place: int, of: int) -> timedelta:
    return asked.every * place / of


def channel_of(account: str) -> str | None:
    """None: it is no longer in use."""
    adapter = serving.registry().account(account)
    return adapter.channel.name if adapter is not None else None


def address_for(account: str) -> UUID:
    """The address to which messages through it go. Raises Rejected if there is none."""
    asked, name = current_settings().synthetic, channel_of(account)
    value = asked.addresses.get(name) if asked is not None and name is not None else None
    of = (name and CHANNELS[name].borrows_from) or name or ""
    digest = digest_of(of, serving.normalise(of, value), is_test=True) if value is not None else b""
    mine = (Address.user_id == SYNTHETIC, Address.channel == of, Address.digest.in_(vault.forms(digest)))
    found: UUID | None = db.session.scalar(sa.select(Address.id).where(*mine))
    if found is None:
        raise Rejected("no_address", "the address cannot be used")
    return found
