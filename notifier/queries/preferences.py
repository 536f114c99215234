"""A person's preferences: the whole document, and the effective value for each type and channel."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from notifier import channels
from notifier.core.digest import MORNING
from notifier.core.errors import Rejected
from notifier.core.preferences import Answer, Preferences, from_document, resolve
from notifier.core.worlds import shown_id
from notifier.ground.extensions import db
from notifier.ground.shapes import timestamp
from notifier.models import ConsentEvent, EventType
from notifier.queries import readers
from notifier.queries.readers import Known

Grid = dict[str, dict[str, dict[str, Any]]]


def document(user_id: str) -> dict[str, Any]:
    """API.md, Preferences: the choices, with `effective`. Raises Rejected('not_found')."""
    made = choices(user_id)
    return made | {"effective": effective(from_document(made))}


def choices(user_id: str, conditions: Iterable[sa.ColumnElement[bool]] = ()) -> dict[str, Any]:
    """What the person has chosen. Raises Rejected('not_found').

    `conditions`: the person counts as not found unless these hold (`valid_tokens.conditions_of`).
    """
    known = readers.find(user_id, conditions)
    if known is None:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
    return choices_of(known)


def choices_of(known: Known) -> dict[str, Any]:
    """The same of a person who has been read already; choices that were not made have their defaults."""
    stored = known.choices
    return {
        "channels": stored.get("channels", {}),
        "categories": stored.get("categories", {}),
        "types": stored.get("types", {}),
        "quiet_hours": stored.get("quiet_hours"),
        "mute_until": stored.get("mute_until"),
        "held": stored.get("held", "wait"),
        "digest": stored.get("digest", {}),
        "digest_at": stored.get("digest_at", MORNING.strftime("%H:%M")),
        "caps": stored.get("caps", {}),
        "do_not_track": stored.get("do_not_track", False),
        "time_zone": known.time_zone,
    }


def effective(preferences: Preferences) -> Grid:
    """`{type: {channel: {"enabled", "because"}}}` for every event type and channel, without the product's own types."""
    columns = (EventType.key, EventType.category, EventType.channels, EventType.is_mandatory)
    types = db.session.execute(
        sa.select(*columns).where(EventType.is_internal.is_(False)).order_by(EventType.key)
    ).all()
    return {row.key: {name: _cell(preferences, row, name) for name in channels.CHANNELS} for row in types}


def _cell(preferences: Preferences, row: Any, channel: str) -> dict[str, Any]:
    answer = answer_for(preferences, row, channel)
    return {"enabled": answer.enabled, "because": answer.because}


def answer_for(preferences: Preferences, type: Any, channel: str) -> Answer:
    """Whether the type (its row) reaches the person on the channel, and which choice decides that."""
    return resolve(
        preferences,
        type=type.key,
        category=type.category,
        channel=channel,
        default_on=channels.CHANNELS[channel].default_on,
        mandatory=type.is_mandatory and channel in type.channels,
    )


def in_seed_words(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The same document in the words of the third seed: allowed, blocked, and quiet times."""
    quiet = shown["quiet_hours"] or {}
    return {
        "allowed_channels": [
            name for name, channel in channels.CHANNELS.items() if shown["channels"].get(name, channel.default_on)
        ],
        "blocked_types": [
            key for key, row in shown["effective"].items() if not any(cell["enabled"] for cell in row.values())
        ],
        "mute_start": quiet.get("start"),
        "mute_end": quiet.get("end"),
    }


def history(user_id: str, limit: int | None = 200) -> list[dict[str, Any]]:
    """The consent history, newest first: `{"at", "source", "choice", "from", "to"}`."""
    rows = db.session.scalars(
        sa.select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.id.desc()).limit(limit)
    )
    return [{"at": timestamp(row.at), "source": row.source, **row.change} for row in rows]


def changes(user_id: str, events: tuple[int, int], since: datetime) -> list[dict[str, Any]]:
    """The changes in these lines of the consent history, unless they are older: `{"choice", "from", "to"}`."""
    rows = sa.select(ConsentEvent.change).where(
        ConsentEvent.user_id == user_id, ConsentEvent.id.between(*events), ConsentEvent.at >= since
    )
    return list(db.session.scalars(rows.order_by(ConsentEvent.id)))
