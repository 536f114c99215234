"""Pausing a channel: nothing is sent on it until somebody resumes it.

Called by the console; obeyed by `delivery.claim` and `upkeep.due`. The claim reads the row in its own transaction: once
the pause is committed, nothing more goes out in any process, except sends already in flight. Due deliveries go back to
`waiting` (`delivery.outages`), lose nothing, and follow a part at a time once the channel is resumed. Urgent messages
wait too, and expiries stay as they are.
"""

from collections.abc import Collection

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.errors import Fault, Rejected
from notifier.ground.database import insert, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import PausedChannel
from notifier.signals import publish


def pause(channel: str) -> bool:
    """False: it was paused before. Raises Rejected for a channel that cannot be paused."""
    known = CHANNELS.get(channel)
    if known is None or known.address is None:
        words = (
            f"there is no channel {channel[:40]!r}"
            if known is None
            else f"{known.label} cannot be paused: messages are shown there as soon as they are accepted"
        )
        raise Rejected("validation_failed", words, (Fault("/channel", "invalid", words),))
    with transaction() as session:
        statement = insert(PausedChannel).on_conflict_do_nothing().returning(PausedChannel.channel)
        is_new = session.execute(statement.values(channel=channel, paused_by=audit.actor())).first() is not None
        if is_new:
            audit.write("channel.paused", channel)
    publish.hint(publish.OVERVIEW, publish.QUEUES)
    return is_new


def resume(channel: str) -> bool:
    """False: it was not paused."""
    with transaction() as session:
        is_gone = (
            session.execute(
                sa.delete(PausedChannel).where(PausedChannel.channel == channel).returning(PausedChannel.channel)
            ).first()
            is not None
        )
        if is_gone:
            audit.write("channel.resumed", channel)
    publish.hint(publish.OVERVIEW, publish.QUEUES)
    return is_gone


def paused() -> set[str]:
    return set(db.session.scalars(sa.select(PausedChannel.channel)))


def paused_of(channels: Collection[str]) -> set[str]:
    """The paused ones of these channels; one statement, for a batch that is being claimed."""
    return (
        set(db.session.scalars(sa.select(PausedChannel.channel).where(PausedChannel.channel.in_(channels))))
        if channels
        else set()
    )
