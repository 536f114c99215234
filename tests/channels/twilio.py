"""Twilio as it calls us: signed by its own library."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from twilio.request_validator import RequestValidator

from notifier.channels.receipts import HookRequest

ACCOUNT = "AC" + "0" * 32
TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MESSAGE = "SM" + "3" * 32
DELIVERY = "dlv_01930000000070008000000000000001"
HOOK = "https://notify.test/hooks/x"
CALLBACK = f"{HOOK}?delivery={DELIVERY}"
AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def called(
    form: Mapping[str, str], *, url: str = CALLBACK, token: str = TOKEN, signature: str | None = None
) -> HookRequest:
    """A call with a form; `signature` instead of the right one."""
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
        "x-twilio-signature": signature or RequestValidator(token).compute_signature(url, dict(form)),
        "i-twilio-idempotency-token": "7c2b0b2e-5d3c-4a83-9a53-1f0a5a3d8c2f",
    }
    return HookRequest("POST", url, headers, urlencode(form).encode(), AT)
