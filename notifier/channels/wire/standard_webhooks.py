"""Signing after Standard Webhooks (https://www.standardwebhooks.com): of messages to people's webhooks, and of events
to subscribers.
"""

import base64
import secrets as random
from collections.abc import Iterable, Sequence
from datetime import datetime

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from notifier.channels.wire.answers import STATUSES, Family, Response, explain
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent
from notifier.ground.clock import now

PATIENCE = 1.5  # times what a provider gets: the standard asks senders to wait for 15 seconds at least

# 401 and 403 are the receiver's business here, not our credentials. 410: the standard's word for "do not come back".
_STATUSES: dict[int, Family] = {**STATUSES, 401: Permanent, 403: Permanent, 410: InvalidRecipient}


def post(
    http: Http,
    message_id: str,
    body: str,
    url: str,
    secrets: Sequence[str],
    traceparent: str | None = None,
    at: datetime | None = None,
) -> None:
    """Posts a body, signed by each secret, with that time (None: now). Raises a DeliveryError."""
    signed = headers(message_id, body, secrets, at or now())
    if traceparent is not None:
        signed["traceparent"] = traceparent
    http.post(url, body.encode(), signed, explain=explain_answer, read_s=PATIENCE * http.read_s)


def explain_answer(response: Response) -> DeliveryError | None:
    return explain(response, _STATUSES)


def new_secret() -> str:
    """24 to 64 random bytes in base64, says the standard."""
    return "whsec_" + base64.b64encode(random.token_bytes(32)).decode()


def headers(message_id: str, body: str, secrets: Iterable[str], at: datetime) -> dict[str, str]:
    """A signature by each secret: several while one is being rotated. Raises Misconfigured where there is none, or one
    is broken.
    """
    try:
        signatures = [Webhook(secret).sign(message_id, at, body) for secret in secrets]
    except (EmptyWebhookSecretError, ValueError):  # ValueError: it is not base64
        signatures = []
    if not signatures:
        raise Misconfigured("the webhook's signing secret is missing or broken", code="no_secret")
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
