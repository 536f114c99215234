"""Webhooks to a URL that a user or producer gave, signed after Standard Webhooks (https://www.standardwebhooks.com).

`webhook-id` is the delivery id on every try, so that a receiver can tell a repeat.
"""

import json
from collections.abc import Sequence
from typing import Any

from notifier.channels.contract import Adapter
from notifier.channels.table import WEBHOOK
from notifier.channels.wire import standard_webhooks
from notifier.channels.wire.answers import STATUSES, Family, Response, explain
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.timestamps import timestamp
from notifier.ground.clock import now

# 401 and 403 are the receiver's business here, not our credentials. 410: the standard's word for "do not come back".
_STATUSES: dict[int, Family] = {**STATUSES, 401: Permanent, 403: Permanent, 410: InvalidRecipient}


class StandardWebhook(Adapter):
    channel = WEBHOOK
    provider = "webhook"
    label = "Signed webhook"
    is_safe_to_repeat = True
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        self.post(message.delivery_id, _body(message), to.address, _secrets(to))
        return Receipt("sent")

    def post(self, message_id: str, body: str, url: str, secrets: Sequence[str]) -> None:
        """Posts a body, signed by each secret. Raises a DeliveryError."""
        headers = standard_webhooks.headers(message_id, body, secrets, now())
        read_s = standard_webhooks.PATIENCE * self.http.read_s
        self.http.post(url, body.encode(), headers, explain=self.explain, read_s=read_s)

    def explain(self, response: Response) -> DeliveryError | None:
        return explain(response, _STATUSES)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        """`text` is the very body that `headers` sign."""
        body = _body(message)
        headers = standard_webhooks.headers(message.delivery_id, body, _secrets(to), now())
        return {
            "to": to.address,
            "subject": None,
            "text": body,
            "html": None,
            "payload": json.loads(body),
            "headers": headers,
        }


def _body(message: Message) -> str:
    """The same on every try: its timestamp is the notification's, the signature's is the try's."""
    content = message.content
    notification = {
        "id": message.notification_id,
        "user": message.user_id,
        "title": content.title,
        "body": content.body,
        "url": content.action_url,
    }
    payload = {
        "type": message.type,
        "timestamp": timestamp(message.created_at),
        "data": {**message.data, "notification": notification},
    }
    return json.dumps(payload, separators=(",", ":"))


def _secrets(to: Recipient) -> list[str]:
    """Two while a secret is being rotated: the address then holds both, with a space between."""
    return (to.secret or "").split()
