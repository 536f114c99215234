"""What delivery hands to a channel adapter, and what the adapter returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

IOS, ANDROID = "ios", "android"
PLATFORMS = (IOS, ANDROID)


@dataclass(frozen=True, slots=True)
class Content:
    """One notification rendered for one channel. Everything is final text; `html` is a whole document. `extra`: the
    fields that the channel's shape declares, by name, without those that are empty: a text, True of a switch, a tuple
    of texts, or of pairs. `language`: of the words, as a BCP 47 tag; None where it is not known.
    """

    title: str
    body: str
    subject: str | None = None
    html: str | None = None
    action_label: str | None = None
    action_url: str | None = None
    image: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    secondary_label: str | None = None
    secondary_url: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """How a phone presents a message. `sound`: `default`, the name of one that the app brings, or None.

    `content_available`: the app is woken in the background as well. `is_silent`: it is woken and gets the data, and
    nothing is shown.
    """

    sound: str | None = "default"
    content_available: bool = False
    is_silent: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any] | None, priority: str) -> "Push":
        """As a submission says it: `sound`, `content_available`, `silent`. Left out, the sound is the default one, and
        none for the priority low.
        """
        said = said or {}
        sound = said.get("sound", None if priority == "low" else "default")
        return cls(sound, said.get("content_available", False), said.get("silent", False))


@dataclass(frozen=True, slots=True)
class Message:
    """A rendered delivery. The same `delivery_id` on every try lets providers recognise a repeat.

    `try_number` starts at 1 and counts rate-limited tries too. `unsubscribe_url` is set for
    non-transactional mail only. `badge`: how many unread items the person has in the inbox, where the channel shows
    cards; None for whom nothing has ever reached. `do_not_track`: the person has refused it, whatever the provider is
    set to. `traceparent`: of this try, where its trace is recorded (W3C Trace Context).
    """

    delivery_id: str
    notification_id: str
    user_id: str
    try_number: int
    type: str
    category: str
    priority: str
    created_at: datetime
    content: Content
    data: Mapping[str, Any] = field(default_factory=dict)
    unsubscribe_url: str | None = None
    collapse_key: str | None = None
    expires_at: datetime | None = None
    badge: int | None = None
    push: Push = Push()
    do_not_track: bool = False
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes. `secret` is the address's own (a webhook's signing secret). Of a phone: its `platform`
    (one of PLATFORMS) and the `app` by its bundle id or package name, where they are known.
    """

    address: str
    secret: str | None = None
    name: str | None = None
    locale: str | None = None
    platform: str | None = None
    app: str | None = None


@dataclass(frozen=True, slots=True)
class Foretold:
    """What the sandbox is going to say of a message, in the words of a provider's receipts (`channels.receipts`):
    `after_s` seconds from now it comes, and `at_s` seconds from now it happened.
    """

    kind: str
    after_s: float
    at_s: float
    by: str = "unknown"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's acceptance. `captured` is what the sandbox kept instead of sending, `foretold` what it will say of
    it later.
    """

    status: Literal["sent", "delivered"] = "sent"
    provider_message_id: str | None = None
    captured: Mapping[str, Any] | None = None
    foretold: tuple[Foretold, ...] = ()
