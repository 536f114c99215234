"""Flags: for whom a channel (`sms`) or one provider account (`sms:twilio`) is on: for nobody, a percentage of the
users, everybody.

Called by the commands and the console. `core.flags` is the rule; `providers.accounts.refresh` takes up a change in
every process within seconds. Without a flag, it is on.
"""

import sqlalchemy as sa

from notifier.channels import ADAPTERS, CHANNELS, serving
from notifier.channels.serving import flag_of
from notifier.core.errors import Fault, Rejected
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Flag, Provider


def listing() -> dict[str, int]:
    """Name → percentage, of all that are set."""
    return {
        row.name: row.percentage
        for row in db.session.execute(sa.select(Flag.name, Flag.percentage).order_by(Flag.name))
    }


def put(name: str, percentage: int) -> None:
    """Sets a flag; 100 removes it, which is the same. Raises Rejected for an unknown name or a wrong percentage. A
    provider's flag may be set before its first account is added.
    """
    if not 0 <= percentage <= 100:
        raise _refused("/percentage", "the percentage must be a whole number from 0 (off) to 100 (on)")
    known = _known()
    if name not in known:
        raise _refused("/name", f"there is no channel or provider {name!r}; there are: {', '.join(known)}")
    if percentage == 100:
        clear(name)
        return
    statement = insert(Flag)
    changed = {column: statement.excluded[column] for column in ("percentage", "updated_at")}
    with transaction() as session:
        audit.write("flag.set", name, after={"percentage": percentage})
        rows = [{"name": name, "percentage": percentage, "updated_at": now()}]
        session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed), rows)


def clear(name: str) -> bool:
    """On for everybody again; → whether there was such a flag."""
    with transaction() as session:
        percentage = session.scalar(sa.delete(Flag).where(Flag.name == name).returning(Flag.percentage))
        if percentage is not None:
            audit.write("flag.cleared", name, before={"percentage": percentage})
    return percentage is not None


def _known() -> list[str]:
    accounts = {flag_of(adapter.channel.name, account.name) for account, adapter in serving.registry().accounts()}
    accounts |= {
        flag_of(row.channel, row.name) for row in db.session.execute(sa.select(Provider.channel, Provider.name))
    }
    accounts |= {flag_of(adapter.channel.name, adapter.provider) for adapter in ADAPTERS}
    return [*CHANNELS, *sorted(accounts)]


def _refused(pointer: str, message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault(pointer, "invalid", message),))
