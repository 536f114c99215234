"""Webhooks to a URL that a user or producer gave, signed after Standard Webhooks (https://www.standardwebhooks.com).

`webhook-id` is the delivery id on every try, so that a receiver can tell a repeat.
"""

import json
from typing import Any

from notifier.channels.contract import Adapter
from notifier.channels.table import WEBHOOK
from notifier.channels.wire import standard_webhooks
from notifier.channels.wire.answers import Response
from notifier.core.errors import DeliveryError
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.timestamps import timestamp
from notifier.ground.clock import now


class StandardWebhook(Adapter):
    channel = WEBHOOK
    provider = "webhook"
    label = "Signed webhook"
    is_safe_to_repeat = True
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        standard_webhooks.post(
            self.http, message.delivery_id, _body(message), to.address, _secrets(to), message.traceparent
        )
        return Receipt("sent")

    def explain(self, response: Response) -> DeliveryError | None:
        return standard_webhooks.explain_answer(response)

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
