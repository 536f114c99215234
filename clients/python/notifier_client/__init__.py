"""Calls the API of Notifier: `Client` makes the calls, `verify_webhook` checks what Notifier calls back with."""

from notifier_client.broadcasts import Broadcasts
from notifier_client.client import BulkResult, Client
from notifier_client.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    NotifierError,
    Problem,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthenticated,
    Unreachable,
)
from notifier_client.version import VERSION
from notifier_client.webhooks import verify_webhook

__all__ = [
    "VERSION",
    "BadRequest",
    "BadSignature",
    "Broadcasts",
    "BulkResult",
    "Client",
    "Conflict",
    "Fault",
    "Forbidden",
    "Invalid",
    "NotFound",
    "NotifierError",
    "Problem",
    "RateLimited",
    "ServerError",
    "TooLarge",
    "Unauthenticated",
    "Unreachable",
    "verify_webhook",
]
