"""Shows in-app items: puts them into inboxes, in the place of those that they replace, and counts them.

Called by `store` for items that are shown at once, and by the scheduler for items that had to wait, each inside its own
transaction. The words are made before it begins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier.core import lifecycle
from notifier.core.message import Content
from notifier.core.record import record
from notifier.core.routing import BEST
from notifier.core.worlds import SYNTHETIC
from notifier.inbox import items
from notifier.ledgers import scores, tallies
from notifier.models import EventType
from notifier.pipeline.planning import replacing
from notifier.pipeline.planning.replacing import Place
from notifier.signals.publish import ItemEvent

Fate = tuple[str, dict[str, Any]]  # status and columns of a delivery; the same columns for all


@record
class Showing:
    """An in-app delivery whose turn has come. `content`: as `Beforehand.find` says it; `place`: of its collapse key."""

    delivery_id: UUID
    notification_id: UUID
    user_id: str
    channel: str
    detail: Mapping[str, Any]
    type: EventType
    data: Mapping[str, Any]
    routing: str
    place: Place | None
    content: Content | str | None

    def fate(self, now: datetime) -> Fate | None:
        """What becomes of the delivery. None: its words are not at hand, and it waits for the next round."""
        if self.content is None:
            return None
        if isinstance(self.content, str):
            return left_out("template_error", {"message": self.content})
        times = {"wake_at": None, "sent_at": now, "delivered_at": now}
        return lifecycle.DELIVERED, {"reason": None, "detail": self.detail, "provider": self.channel, **times}


@dataclass(frozen=True, slots=True)
class Shown:
    """`events` and `changes` are published after the commit (`announce`); `happened` is for the tallies, before it."""

    events: list[ItemEvent]
    changes: list[tuple[str, dict[str, Any]]]
    happened: list[tallies.Happened]


def left_out(reason: str, detail: Mapping[str, Any]) -> Fate:
    """An item that is not shown after all."""
    times = {"wake_at": None, "sent_at": None, "delivered_at": None}
    return lifecycle.SKIPPED, {"reason": reason, "detail": dict(detail), "provider": None, **times}


def show(showings: Sequence[Showing], now: datetime) -> Shown:
    """Those that have words. The rows of their deliveries are the caller's, and are written before.

    The number of statements does not depend on the number of items.
    """
    ready = [(one, one.content) for one in showings if isinstance(one.content, Content)]
    events = items.add([_row(one, content, now) for one, content in ready])
    changes = replacing.replace_items({one.delivery_id: one.place for one, _ in ready if one.place is not None})
    scores.count_sent((one.user_id, one.channel) for one, _ in ready if one.routing == BEST)
    arrived = (tallies.DELIVERED, tallies.latency(0))
    counted = [one for one, _ in ready if one.user_id != SYNTHETIC]
    return Shown(events, changes, [(one.channel, event) for one in counted for event in arrived])


def _row(one: Showing, content: Content, now: datetime) -> dict[str, Any]:
    """As `items.add` takes it."""
    return {
        "id": one.delivery_id,
        "notification_id": one.notification_id,
        "user_id": one.user_id,
        "type": one.type.key,
        "category": one.type.category,
        "title": content.title,
        "body": content.body,
        "language": content.language,
        "action_label": content.action_label,
        "action_url": content.action_url,
        "secondary_label": content.secondary_label,
        "secondary_url": content.secondary_url,
        "image": content.image,
        "data": one.data,
        "created_at": now,
    }
