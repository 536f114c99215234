"""What a notification is called wherever notifications are listed: by its own title, or else by its type's."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.ground.languages import Language
from notifier.models import EventType, InboxItem

_PLAIN = "en"


class Named(Protocol):
    """A notification, or a row with as much of it."""

    id: UUID
    type: str


def titled(rows: Sequence[Named], language: str = _PLAIN, *, is_own: bool = False) -> dict[UUID, str]:
    """Notification → its title in the inbox; for one that is in no inbox, the title of its type in `language`.

    Titles of the product's own messages may hold a code: only their receiver (`is_own`) is shown them. Two statements.
    """
    if not rows:
        return {}
    types = {
        row.key: row
        for row in db.session.execute(
            sa.select(EventType.key, EventType.titles, EventType.is_internal).where(
                EventType.key.in_({row.type for row in rows})
            )
        )
    }
    hidden = set() if is_own else {key for key, row in types.items() if row.is_internal}
    told: dict[UUID, str] = {
        row.notification_id: row.title
        for row in db.session.execute(
            sa.select(InboxItem.notification_id, InboxItem.title).where(
                InboxItem.notification_id.in_([row.id for row in rows if row.type not in hidden])
            )
        )
        if row.title
    }
    names = {key: of_type(key, row.titles, language) for key, row in types.items()}
    return {row.id: told.get(row.id) or names.get(row.type) or spelled(row.type) for row in rows}


def descriptions(types: Collection[str], language: Language) -> dict[str, str]:
    """What people are told of each type, without those of which nothing is said. One statement."""
    found = db.session.execute(sa.select(EventType.key, EventType.descriptions).where(EventType.key.in_(types)))
    said = {row.key: language.title(row.descriptions) for row in found}
    return {key: text for key, text in said.items() if text}


def of_type(key: str, titles: Mapping[str, str], language: str = _PLAIN) -> str:
    """What a type is called; its key in words where it has no title."""
    return titles.get(language) or titles.get(_PLAIN) or spelled(key)


def spelled(key: str) -> str:
    """`tracking_url` → Tracking URL."""
    words = " ".join("URL" if word == "url" else word for word in key.split("_"))
    return words[:1].upper() + words[1:]
