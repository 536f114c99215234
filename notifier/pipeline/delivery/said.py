"""By what the log and traces name a delivery, wherever they speak of one."""

from typing import Any, Protocol
from uuid import UUID

from notifier.ground.ids import show


class _Notified(Protocol):
    """A row of the notification and its submission."""

    request_id: Any
    producer_id: Any
    submission_id: Any


def ids_of(row: _Notified, notification_id: UUID, delivery_id: UUID) -> dict[str, str | None]:
    return {
        "request_id": row.request_id,
        "producer": show("prd", row.producer_id) if row.producer_id else None,
        "submission": show("sub", row.submission_id),
        "notification": show("ntf", notification_id),
        "delivery": show("dlv", delivery_id),
    }
