"""Checks that a webhook comes from Notifier (Standard Webhooks: HMAC-SHA256 over id, time and body)."""

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from notifier_client.errors import BadSignature


def verify_webhook(secret: str, body: bytes | str, headers: Mapping[str, str]) -> dict[str, Any]:
    """→ `{"type", "timestamp", "data"}`. `secret`: the subscription's, `whsec_…`; `body`: as it came, byte for byte.

    Raises BadSignature. A webhook may come more than once: those with the same `webhook-id` header are the same.
    """
    try:
        verified = Webhook(secret).verify(body, {name: headers[name] for name in headers})
    except (WebhookVerificationError, ValueError) as error:  # ValueError: no text, no base64, no JSON
        raise BadSignature(f"the webhook cannot be verified: {error}") from None
    if not isinstance(verified, dict):
        raise BadSignature("the webhook is no JSON object")
    return verified
