"""What the push services of phones and browsers have in common: shortening, how long a message is worth keeping, and
the part that Apple's devices read.

Shared by the adapters of `push` and `webpush`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from notifier.channels.contract import Adapter
from notifier.core.errors import Permanent
from notifier.core.message import Message, Recipient
from notifier.core.shortening import cut

LONGEST_TTL_S = 28 * 86_400  # what FCM and browsers' services keep a message for at most
_SHORT, _SHORTEST = 200, 40  # characters
_LONGEST_COLLAPSE_ID = 64  # bytes


class PushAdapter(Adapter):
    """An adapter whose provider takes so many bytes and no more: `counted` says which of them count."""

    def counted(self, message: Message, to: Recipient) -> bytes:
        """What counts towards `most_bytes`, as it is sent."""
        raise NotImplementedError

    @property
    def most_bytes(self) -> int:
        assert self.channel.shape.longest_payload is not None
        return self.channel.shape.longest_payload

    def shortened(self, message: Message, to: Recipient) -> Message:
        """Raises Permanent where the data alone have no room."""
        lean = self._fitted(message, to)
        refusal = self._refusal(lean, to)
        if refusal is not None:
            raise Permanent(refusal, code="payload_too_large")
        return lean

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return super().preview(self._fitted(message, to), to)

    def refusal(self, message: Message, to: Recipient, preview: Mapping[str, Any]) -> str | None:
        return self.channel.shape.refusal({"text": preview["text"]}) or self._refusal(self._fitted(message, to), to)

    def _fitted(self, message: Message, to: Recipient) -> Message:
        return fitted(message, lambda lean: len(self.counted(lean, to)) <= self.most_bytes)

    def _refusal(self, message: Message, to: Recipient) -> str | None:
        size = len(self.counted(message, to))
        if size <= self.most_bytes:
            return None
        return f"the message has {size} bytes with its data; providers accept at most {self.most_bytes}"


def fitted(message: Message, fits: Callable[[Message], bool]) -> Message:
    """The fullest form of a message that `fits`: whole; without its image; with title and text cut to 200 characters;
    without its link; with title and text cut to 40. The last of these where none does: data are never left out.
    """
    for leaner in _ever_leaner(message):
        if fits(leaner):
            break
    return leaner


def _ever_leaner(message: Message) -> Iterator[Message]:
    yield message
    content = replace(message.content, image=None)
    yield replace(message, content=content)
    content = replace(content, title=cut(content.title, _SHORT), body=cut(content.body, _SHORT))
    yield replace(message, content=content)
    content = replace(content, action_url=None, action_label=None)
    yield replace(message, content=content)
    content = replace(content, title=cut(content.title, _SHORTEST), body=cut(content.body, _SHORTEST))
    yield replace(message, content=content)


def ttl_s(message: Message, at: datetime) -> int:
    """For how many seconds a device that is away may still get it."""
    left_s = (message.expires_at - at).total_seconds() if message.expires_at else LONGEST_TTL_S
    return int(min(max(left_s, 0), LONGEST_TTL_S))


def about(message: Message) -> dict[str, Any]:
    """What the app is told about the notification itself, beside the producer's data: under the same name as in a
    webhook.
    """
    told = {"id": message.notification_id, "delivery": message.delivery_id, "type": message.type}
    url = message.content.action_url
    return {**told, "url": url} if url else told


def aps(message: Message) -> dict[str, Any]:
    """The `aps` dictionary of a message, for APNs and for FCM, which passes it on (Apple's "Generating a remote
    notification").
    """
    content, push = message.content, message.push
    if push.is_silent:
        return {"content-available": 1}  # Apple refuses a background push that has anything else
    found: dict[str, Any] = {"alert": {"title": content.title, "body": content.body}}
    if message.badge is not None:
        found["badge"] = message.badge
    if push.sound:
        found["sound"] = push.sound
    if content.image:
        found["mutable-content"] = 1  # so that the app's extension can fetch it
    if push.content_available:
        found["content-available"] = 1
    return found


def apns_headers(message: Message) -> dict[str, str]:
    """Apple's request headers that say how a message is delivered ("Sending notification requests to APNs")."""
    is_pressing = message.priority in ("urgent", "high") and not message.push.is_silent
    headers = {
        "apns-push-type": "background" if message.push.is_silent else "alert",
        "apns-priority": "10" if is_pressing else "5",
        "apns-collapse-id": _collapse_id(message),
    }
    return headers | ({"apns-expiration": str(int(message.expires_at.timestamp()))} if message.expires_at else {})


def _collapse_id(message: Message) -> str:
    """What replaces what on the device: a repeat the first one, and a newer one that of its collapse key."""
    key = message.collapse_key or message.delivery_id
    return (
        key
        if key.isascii() and key.isprintable() and len(key) <= _LONGEST_COLLAPSE_ID
        else hashlib.sha256(key.encode()).hexdigest()
    )
