"""What a person wants to receive, and the one rule for it: the most specific choice wins.

Order: type × channel, type, category × channel, category, channel, the channel's default. A mandatory type ignores all
choices on its own channels (but not on others that a producer names).
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, time
from typing import Any, Literal

from notifier.core.digest import MORNING
from notifier.core.quiet_hours import EVERY_DAY, QuietHours
from notifier.core.record import record
from notifier.core.timestamps import reckonable

CATEGORIES = ("transactional", "marketing", "social", "system")
# What a complaint counts for: never what somebody waits for, a code, a receipt, an alarm
COMPLAINED_OF = ("marketing", "social")
EVERY_CHANNEL = "*"  # the key that switches a whole type or category

Because = Literal["mandatory", "type_channel", "type", "category_channel", "category", "channel", "default"]
Held = Literal["wait", "summary", "drop"]


@record
class Preferences:
    """A person's choices. `categories` and `types` map a key to channel → on/off; `*` stands for all channels."""

    channels: Mapping[str, bool] = field(default_factory=dict)
    categories: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    types: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    mute_until: datetime | None = None
    held: Held = "wait"
    digest: Mapping[str, str] = field(default_factory=dict)  # category → one of digest.FREQUENCIES
    digest_at: time = MORNING  # local
    caps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # category → as API.md shows them
    do_not_track: bool = False  # opens and clicks are neither asked for nor recorded, whatever the type says


NO_CHOICES = Preferences()


@record
class Answer:
    enabled: bool
    because: Because


def resolve(
    preferences: Preferences, *, type: str, category: str, channel: str, default_on: bool, mandatory: bool
) -> Answer:
    """May `type` reach this person by `channel`? `mandatory` means: mandatory on this channel."""
    if mandatory:
        return Answer(True, "mandatory")
    by_type = preferences.types.get(type, {})
    by_category = preferences.categories.get(category, {})
    questions: tuple[tuple[Because, bool | None], ...] = (
        ("type_channel", by_type.get(channel)),
        ("type", by_type.get(EVERY_CHANNEL)),
        ("category_channel", by_category.get(channel)),
        ("category", by_category.get(EVERY_CHANNEL)),
        ("channel", preferences.channels.get(channel)),
    )
    for because, choice in questions:
        if choice is not None:
            return Answer(choice, because)
    return Answer(default_on, "default")


def has_any_type_on(preferences: Preferences, channel: str) -> bool:
    """Whether some type has been switched on by name for this channel."""
    return any(choices.get(channel, choices.get(EVERY_CHANNEL)) for choices in preferences.types.values())


def from_document(document: Mapping[str, Any]) -> Preferences:
    """The choices in a stored preference document (API.md, Preferences), which has been validated already."""
    quiet = document.get("quiet_hours")
    mute_until = document.get("mute_until")
    return Preferences(
        channels=document.get("channels", {}),
        categories=document.get("categories", {}),
        types=document.get("types", {}),
        quiet_hours=quiet
        and QuietHours(
            time.fromisoformat(quiet["start"]),
            time.fromisoformat(quiet["end"]),
            frozenset(quiet.get("days") or EVERY_DAY),
        ),
        mute_until=mute_until and reckonable(datetime.fromisoformat(mute_until)),
        held=document.get("held", "wait"),
        digest=document.get("digest", {}),
        digest_at=time.fromisoformat(document["digest_at"]) if document.get("digest_at") else MORNING,
        caps=document.get("caps", {}),
        do_not_track=document.get("do_not_track", False),
    )
