"""JSON shapes of the API that more than one module returns. Rows in, plain dicts out; no queries."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from notifier.core import digest, timestamps
from notifier.core.worlds import shown_id
from notifier.ground.ids import show
from notifier.ground.languages import is_rtl

HOW_OFTEN = "often-panel"  # the place of digests on the preference page


class DeliveryRow(Protocol):
    id: Any
    channel: Any
    address_masked: Any
    status: Any
    reason: Any
    detail: Any
    due_at: Any
    provider: Any
    sent_at: Any
    delivered_at: Any
    opened_at: Any
    clicked_at: Any


def timestamp(at: datetime | None) -> str | None:
    """A time that need not have come."""
    return None if at is None else timestamps.timestamp(at)


def delivery(row: DeliveryRow, attempts: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """API.md, Delivery."""
    return {
        "id": show("dlv", row.id),
        "channel": row.channel,
        "address": row.address_masked,
        "status": row.status,
        "reason": row.reason,
        "detail": row.detail or {},
        "due_at": timestamp(row.due_at),
        "provider": row.provider,
        "sent_at": timestamp(row.sent_at),
        "delivered_at": timestamp(row.delivered_at),
        "opened_at": timestamp(row.opened_at),
        "clicked_at": timestamp(row.clicked_at),
        "attempts": list(attempts),
    }


def attempt(row: Any) -> dict[str, Any]:
    """One provider call, inside a delivery."""
    return {
        "number": row.number,
        "at": timestamp(row.at),
        "provider": row.provider,
        "outcome": row.outcome,
        "code": row.code,
        "message": row.message,
        "duration_ms": row.duration_ms,
    }


def notification_summary(key: UUID, user_id: str, deliveries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A notification inside the answer to its submission."""
    return {"id": show("ntf", key), "user": shown_id(user_id), "deliveries": list(deliveries)}


def submission(key: UUID, status: str, notifications: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {
        "id": show("sub", key),
        "status": status,
        "notifications": None if notifications is None else list(notifications),
    }


def _direction(language: str | None) -> str:
    return "auto" if language is None else "rtl" if is_rtl(language) else "ltr"


def _action(label: str | None, url: str | None) -> dict[str, str] | None:
    return {"label": label or "", "url": url} if url else None


def inbox_item(item: Mapping[Any, Any]) -> dict[str, Any]:
    """API.md, Item, from the columns of `models.InboxItem`. `why` links to the setting that let it through, or to the
    digest's frequency.

    An item that was replaced by a newer one is sent once more, with `replaced_by`, so that clients remove it.
    """
    return {
        "id": show("dlv", item["id"]),
        "type": item["type"],
        "category": item["category"],
        "title": item["title"],
        "body": item["body"],
        "language": item["language"],
        "dir": _direction(item["language"]),
        "action": _action(item["action_label"], item["action_url"]),
        "secondary_action": _action(item["secondary_label"], item["secondary_url"]),
        "image": item["image"],
        "data": item["data"] or {},
        "created_at": timestamp(item["created_at"]),
        "seen_at": timestamp(item["seen_at"]),
        "read_at": timestamp(item["read_at"]),
        "archived_at": timestamp(item["archived_at"]),
        "snoozed_until": timestamp(item["snoozed_until"]),
        "why": (
            f"/preferences#{HOW_OFTEN if item['type'] == digest.type_of(item['category']) else item['type'] + '-inapp'}"
        ),
        **({"replaced_by": show("dlv", item["replaced_by"])} if item["replaced_by"] else {}),
    }
