"""What an HTTP answer amounts to: success, or an error of `core.errors`. By its status, or by a provider's own codes.

Called by the adapters, which pass their literal tables, and by the client (`wire.http`).
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from notifier.core.errors import DeliveryError, Misconfigured, Permanent, RateLimited, Retryable
from notifier.core.record import record
from notifier.ground.clock import now

LONGEST_RETRY_AFTER_S = 3600.0
DEFAULT_RETRY_AFTER_S = 5.0


@record
class Response:
    """An answer. Header names are looked up whatever their case; `body` is cut at the client's limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The object that the body holds as JSON; an empty one where it holds none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


Explain = Callable[[Response], DeliveryError | None]
Family = Callable[..., DeliveryError]
# For codes and statuses with which the message may have gone out all the same.
AMBIGUOUS: Family = partial(Retryable, ambiguous=True)

# What a status means unless an adapter knows better. 2xx is success, other 3xx and 4xx are Permanent, other 5xx
# Retryable. No address is blamed here: where the URL is a provider's own, 404 and 410 are about the URL.
STATUSES: dict[int, Family] = {
    401: Misconfigured,
    403: Misconfigured,
    408: Retryable,
    425: Retryable,
    429: RateLimited,
}


def explain(response: Response, statuses: Mapping[int, Family] = STATUSES) -> DeliveryError | None:
    """The error an answer amounts to, None for success. An adapter passes `{**STATUSES, its own}`.

    The answer's text is not quoted: a receiver may echo what it was sent, signatures included.
    """
    status = response.status
    if response.is_success:
        return None
    message, code = f"the receiver answered {status}", f"http_{status}"
    family: Family = statuses.get(status, Retryable if status >= 500 else Permanent)
    if family is RateLimited or (status == 503 and "retry-after" in response.headers):
        return RateLimited(message, code=code, retry_after=retry_after_s(response))
    if family is Retryable:
        # A gateway that gave up on a server that may not have
        return Retryable(message, code=code, ambiguous=status == 504)
    return family(message, code=code)


def explain_code(
    code: str | int | None,
    response: Response,
    codes: Mapping[str | int, Family],
    statuses: Mapping[int, Family] = STATUSES,
    *,
    retry_after: float | None = None,
) -> DeliveryError | None:
    """The error that a provider's own `code` stands for, by the adapter's literal table. A code that is not in it, or
    None, is judged by the status.

    `retry_after`: what the body says, in seconds. An unknown code in a successful answer may be anything, so that the
    message may have gone out.
    """
    family = codes.get(code) if code is not None else None
    said = f"the provider answered {code}"
    if family is RateLimited:
        return RateLimited(said, code=str(code), retry_after=retry_after_s(response, told=retry_after))
    if family is not None:
        return family(said, code=str(code))
    if code is not None and response.is_success:
        return Retryable(said, code=str(code), ambiguous=True)
    error = explain(response, statuses)
    if error is not None and code is not None:
        error.code = str(code)
    return error


def not_understood(response: Response) -> DeliveryError:
    """For a successful answer that is not what the provider's documents promise: a proxy's page, or something new.

    The message may have gone out.
    """
    return Retryable(f"the answer ({response.status}) was not understood", code="not_understood", ambiguous=True)


def retry_after_s(response: Response, *, told: object = None) -> float:
    """How long the provider wants to be left alone, in seconds, between one second and an hour.

    `told`: what its body says. Else Retry-After in seconds (also with a fraction) or as a date (RFC 9110, 10.2.3), else
    X-RateLimit-Reset in Unix seconds.
    """
    for seconds in (
        _seconds(told),
        _seconds(response.headers.get("retry-after")),
        _seconds_until(response.headers.get("retry-after")),
        _seconds_since_epoch(response.headers.get("x-ratelimit-reset")),
    ):
        if seconds is not None:
            return min(max(seconds, 1.0), LONGEST_RETRY_AFTER_S)
    return DEFAULT_RETRY_AFTER_S


def _seconds(value: object) -> float | None:
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _seconds_until(date: str | None) -> float | None:
    try:
        at = parsedate_to_datetime(date or "")
        return (at.replace(tzinfo=at.tzinfo or UTC) - now()).total_seconds()
    except (ValueError, OverflowError):
        return None


def _seconds_since_epoch(value: str | None) -> float | None:
    at = _seconds(value)
    return None if at is None else at - now().timestamp()
