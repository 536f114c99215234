"""Opens and clicks by our own links: puts them into mails that are about to go out, and takes in what comes back.

Called by `delivery.claim`, and by the door of tracked links. A hit is a receipt like any provider's, from `ACCOUNT`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
import structlog

from notifier.channels.receipts import Event
from notifier.core import lifecycle
from notifier.core.tracking import ACCOUNT, DECOY, Hit, verdict
from notifier.ground.database import UNAVAILABLE, set_each, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Delivery, Notification, User
from notifier.pipeline.delivery import receipts
from notifier.pipeline.delivery.task import Task
from notifier.words.tracked import Tracked, track

_deliveries: sa.Table = Delivery.__table__

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Followed:
    """A delivery whose link or pixel was asked for. `links`: where its links lead, from number 1."""

    id: UUID
    channel: str
    status: str
    sent_at: datetime | None
    links: Sequence[str] | None

    def target(self, number: int) -> str | None:
        links = self.links or ()
        return links[number - 1] if 0 < number <= len(links) else None

    def since_sent(self, at: datetime) -> timedelta | None:
        """None where nobody knows when it went out, if it did."""
        if self.status == lifecycle.SENDING:
            return timedelta()
        return None if self.sent_at is None else at - self.sent_at


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of who sends it. `headers` by lower-case name."""

    method: str
    headers: Mapping[str, str]
    is_crawler: bool


def put_links(tasks: Sequence[Task]) -> None:
    """Of the mails whose types track opens or clicks. One statement for the batch, and none where all links are known
    from an earlier try.

    The targets are stored before the mails go out: scanners follow links while a mail is still being taken, and a
    worker may die before it has recorded the send. Mails whose targets cannot be stored go out untracked.
    """
    tracked = [(task, one) for task in tasks if (one := _tracked(task)) is not None]
    new = {task.delivery.id: one.targets for task, one in tracked if one.targets != _known(task)}
    try:
        _store(new)
    except Exception as error:
        is_away = isinstance(error, UNAVAILABLE)
        log.warning("tracking.not_stored", error=type(error).__name__, deliveries=len(new), exc_info=not is_away)
        tracked = [(task, one) for task, one in tracked if task.delivery.id not in new]
    for task, one in tracked:
        assert not isinstance(task.message, str)
        task.message = replace(task.message, content=replace(task.message.content, html=one.html))


def _known(task: Task) -> tuple[str, ...]:
    """Where the links of the mails before led."""
    return tuple(task.delivery.links or ())


def _tracked(task: Task) -> Tracked | None:
    if task.tracks is None or isinstance(task.message, str) or task.message.content.html is None:
        return None
    opens, clicks = task.tracks
    return track(task.message.content.html, task.delivery.id, opens=opens, clicks=clicks, targets=_known(task))


def _store(links: dict[UUID, tuple[str, ...]]) -> None:
    if not links:
        return
    with transaction():
        set_each(_deliveries, "id", [{"id": key, "links": list(targets)} for key, targets in sorted(links.items())])


def find(delivery_id: UUID) -> Followed | None:
    """None for a delivery that is gone, or whose person has been erased."""
    names = (Delivery.id, Delivery.channel, Delivery.status, Delivery.sent_at, Delivery.links)
    statement = (
        sa.select(*names)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(User, User.id == Notification.user_id)
        .where(Delivery.id == delivery_id, Notification.data.is_not(None))  # erasing takes the data away
    )
    row = db.session.execute(statement).first()
    return None if row is None else Followed(*row)


def note(
    followed: Followed, kind: Literal["opened", "clicked"], number: int | None, asked: Asked, at: datetime
) -> None:
    """Takes in a hit on the pixel, or on the link of that number; `receipts` passes over those of people who refused to
    be tracked. One that cannot be stored is lost: nobody is kept from where a link leads.

    The first hit of each link and verdict is kept: what follows them says nothing new. Hits on the decoy are kept for
    each minute, since they speak of those around them.
    """
    by = verdict(Hit(kind, asked.method, asked.headers, followed.since_sent(at), number, asked.is_crawler))
    if by is None:
        return
    minute = f" {at:%Y-%m-%dT%H:%M}" if number == DECOY else ""
    reference = show("dlv", followed.id)
    event = Event(
        id=f"{reference} {kind} {'' if number is None else number} {by}{minute}",
        kind=kind,
        at=at,
        delivery_id=reference,
        by=by,
        detail={} if number is None else {"link": number},
    )
    try:
        receipts.submit(receipts.Call(ACCOUNT, followed.channel, (event,), at))
    except UNAVAILABLE as error:
        log.warning("tracking.not_noted", error=type(error).__name__, delivery=reference)
