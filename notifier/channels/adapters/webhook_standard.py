"""Webhooks to a URL that a user or producer gave, signed after Standard Webhooks (https://www.standardwebhooks.com).

`webhook-id` is the delivery id on every try, so that a receiver can tell a repeat.
"""

import json
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from notifier.channels.contract import Adapter
from notifier.channels.table import WEBHOOK
from notifier.channels.wire.answers import STATUSES, Family, Response, explain
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.timestamps import timestamp
from notifier.ground.clock import now

PATIENCE = 1.5  # times what a provider gets: the standard asks senders to wait for 15 seconds at least

# 401 and 403 are the receiver's business here, not our credentials. 410: the standard's word for "do not come back".
_STATUSES: dict[int, Family] = {**STATUSES, 401: Permanent, 403: Permanent, 410: InvalidRecipient}


class StandardWebhook(Adapter):
    channel = WEBHOOK
    provider = "webhook"
    label = "Signed webhook"
    is_safe_to_repeat = True
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        body = _body(message)
        self.http.post(
            to.address,
            body.encode(),
            _headers(message, to, body, now()),
            explain=self.explain,
            read_s=PATIENCE * self.http.read_s,
        )
        return Receipt("sent")

    def explain(self, response: Response) -> DeliveryError | None:
        return explain(response, _STATUSES)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        """`text` is the very body that `headers` sign."""
        body = _body(message)
        headers = _headers(message, to, body, now())
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


def _headers(message: Message, to: Recipient, body: str, at: datetime) -> dict[str, str]:
    """Two signatures while a secret is being rotated: the address then holds both, with a space between."""
    try:
        signatures = [Webhook(secret).sign(message.delivery_id, at, body) for secret in (to.secret or "").split()]
    except (EmptyWebhookSecretError, ValueError):  # ValueError: it is not base64
        signatures = []
    if not signatures:
        raise Misconfigured("the webhook's signing secret is missing or broken", code="no_secret")
    return {
        "Content-Type": "application/json",
        "webhook-id": message.delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
