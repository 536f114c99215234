"""What a provider's answer amounts to, for the tables of the adapters' tests."""

from typing import Any

import pytest

from notifier.channels.contract import Adapter
from notifier.core.errors import DeliveryError
from notifier.core.message import Message, Recipient

Meaning = tuple[type[DeliveryError], str, float | None]


def meaning(adapter: Adapter, sink: Any, message: Message, to: Recipient, *secrets: str) -> Meaning:
    """Sends once, as the sink answers now. → family, code, and how long to wait, or whether the message may have gone
    out all the same. No error tells a secret.
    """
    with pytest.raises(DeliveryError) as caught:
        adapter.send(message, to)
    error = caught.value
    assert len(sink.requests) == 1
    assert not [secret for secret in secrets if secret in str(error)]
    return type(error), error.code, getattr(error, "retry_after", getattr(error, "ambiguous", None))
