"""Why a notification reached a person and why another did not, in their own language and time zone.

Read by the page `/why`, and by the inbox on other sites.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from notifier.core.decisions import Step
from notifier.core.explain import sentence, story, unpacked
from notifier.core.lifecycle import OPEN, SKIPPED
from notifier.ground import shapes
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ground.languages import Language, language_for
from notifier.ground.zones import UTC
from notifier.models import Delivery, InboxItem, Notification
from notifier.queries import readers
from notifier.queries.titles import descriptions, titled

_LEFT_OUT = ("skip", SKIPPED)  # by a decision, and of a delivery
_IDS = ("duplicate_of", "superseded_by", "digest")
_DELIVERY = (
    Delivery.notification_id,
    Delivery.channel,
    Delivery.status,
    Delivery.reason,
    Delivery.detail,
    Delivery.due_at,
)


@dataclass(frozen=True, slots=True)
class Told:
    """The explanation for one channel, or for all of them (`channel` None): what became of it first, then why."""

    channel: str | None
    sentences: tuple[str, ...]
    is_left_out: bool


@dataclass(frozen=True, slots=True)
class Story:
    """One notification. `language` is that of the texts; `about` says what its type is for, if anybody has said it."""

    id: str
    type: str
    title: str
    about: str | None
    at: datetime
    language: str
    parts: tuple[Told, ...]


def recent(user_id: str, language: Language | None = None, limit: int = 30) -> list[Story]:
    """The person's latest notifications, newest first, without those of test keys; in their own language unless one is
    given.
    """
    return _told(
        user_id, _mine(user_id).where(~Notification.is_test).order_by(Notification.id.desc()).limit(limit), language
    )


def of_item(user_id: str, item_id: UUID, locale: str | None = None) -> Story | None:
    """The notification of an item in this person's inbox. `locale`: for a person whose own is not known."""
    theirs = sa.select(InboxItem.notification_id).where(InboxItem.id == item_id, InboxItem.user_id == user_id)
    wanted = _mine(user_id).where(Notification.id == theirs.scalar_subquery())
    return next(iter(_told(user_id, wanted, locale=locale)), None)


def _mine(user_id: str) -> sa.Select[Any]:
    columns = (Notification.id, Notification.type, Notification.created_at, Notification.decision)
    return sa.select(*columns).where(Notification.user_id == user_id)


def _told(
    user_id: str, statement: sa.Select[Any], language: Language | None = None, locale: str | None = None
) -> list[Story]:
    rows = db.session.execute(statement).all()
    reader = readers.find(user_id)
    if reader is None:
        return []
    return _stories(rows, language or language_for(reader.locale or locale), reader.zone or UTC)


def _stories(rows: Sequence[sa.Row[Any]], language: Language, zone: ZoneInfo) -> list[Story]:
    deliveries: dict[UUID, list[dict[str, Any]]] = {}
    for row in db.session.execute(
        sa.select(*_DELIVERY).where(Delivery.notification_id.in_([row.id for row in rows])).order_by(Delivery.id)
    ):
        shown = {
            "channel": row.channel,
            "status": row.status,
            "reason": row.reason,
            "detail": row.detail or {},
            "due_at": shapes.timestamp(row.due_at),
        }
        deliveries.setdefault(row.notification_id, []).append(shown)
    titles = titled(rows, language.name, is_own=True)
    about = descriptions({row.type for row in rows}, language)
    when = _clock(language, zone)
    stories = []
    for row in rows:
        parts: dict[str, list[Step]] = {}
        for step in story(unpacked(row.decision), deliveries.get(row.id, ())):
            parts.setdefault(step.channel, []).append(step)
        told = tuple(_part(channel, steps, language, when) for channel, steps in parts.items())
        title, said = titles[row.id], about.get(row.type)
        stories.append(Story(show("ntf", row.id), row.type, title, said, row.created_at, language.name, told))
    return stories


def _part(channel: str, steps: Sequence[Step], language: Language, when: Callable[[str], str]) -> Told:
    """Without what was still to come when it was decided, where it has come since."""
    outcomes = [step for step in steps if step.rule == "delivery"]
    is_over = any(step.outcome not in OPEN for step in outcomes)
    is_left_out = any(step.outcome in _LEFT_OUT for step in outcomes or steps)
    # The reason of what was left out at once is its outcome
    first = outcomes or [step for step in steps if step.outcome in _LEFT_OUT]
    rest = [step for step in steps if step not in first and not (is_over and step.reason == "at_once")]
    said = dict.fromkeys(sentence(_without_ids(step), language.gettext, when) for step in (*first, *rest))
    return Told(None if channel == "*" else channel, tuple(said), is_left_out)


def _without_ids(step: Step) -> Step:
    """They are names of ours, which say nothing to a person."""
    return replace(step, detail={name: value for name, value in step.detail.items() if name not in _IDS})


def _clock(language: Language, zone: ZoneInfo) -> Callable[[str], str]:
    """A time as the API shows it → as the reader's clock and calendar do."""
    return lambda at: language.moment(datetime.fromisoformat(at), zone)
