"""The sandbox provider of every channel: keeps the message instead of sending it, or fails if its recipient asks for
that.

Used for channels without a provider, for test keys, and for magic recipients whatever the provider. Messages take the
whole path as with any other adapter; `delivery.record` stores the captured message.
"""

import re
from collections.abc import Mapping
from typing import Any

from notifier.channels.addresses import DEVICE_TOKEN, EMAIL, PHONE
from notifier.channels.contract import Adapter, Channel
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited, Retryable
from notifier.core.message import Foretold, Message, Receipt, Recipient

EVERY = 1_000_000

# The word or last digit of a magic recipient → the first so many tries fail, with what. Whoever is not named here is
# delivered to.
_FAULTS: dict[str, tuple[int, type[DeliveryError], dict[str, Any]]] = {
    "soft-fail": (EVERY, Retryable, {}),
    "rejected": (EVERY, Permanent, {}),
    "dead": (EVERY, InvalidRecipient, {}),
    "timeout": (EVERY, Retryable, {"ambiguous": True}),
    "throttled": (1, RateLimited, {"retry_after": 1.0}),
    "flaky-2": (2, Retryable, {}),
}
# Those who are sent to, and what is said of it later: kind, after how many seconds, when it happened. Somebody who is
# named in neither table is delivered to at once.
_RECEIPTS: dict[str, tuple[Foretold, ...]] = {
    "late": (Foretold("delivered", 30, 30),),
    "twice": (Foretold("delivered", 1, 1), Foretold("delivered", 2, 1)),
    "unordered": (Foretold("opened", 1, 0.5, by="person"), Foretold("delivered", 2, 0.25)),
    "bounced": (Foretold("bounced", 1, 1),),
    "undelivered": (Foretold("failed", 1, 1),),
    "opened": (Foretold("delivered", 1, 1), Foretold("opened", 2, 2, by="person")),
    "scanned": (Foretold("delivered", 1, 1), Foretold("opened", 2, 2, by="machine")),
    "complained": (Foretold("delivered", 1, 1), Foretold("complained", 2, 2)),
    "unsubscribed": (Foretold("delivered", 1, 1), Foretold("unsubscribed", 2, 2)),
    "stopped": (Foretold("delivered", 1, 1), Foretold("stopped", 2, 2)),
}
_DIGITS = (
    *("delivered", "soft-fail", "rejected", "dead", "timeout", "throttled", "flaky-2"),
    *("undelivered", "stopped", "late"),
)

# All of sandbox.test and every +1555010000<digit>, also those without a word: none of them is real.
_MAGIC_EMAIL = re.compile(r"(.+)@sandbox\.test", re.IGNORECASE)
_MAGIC_PHONE = re.compile(r"\+1555010000(\d)")
_MAGIC_DEVICE = re.compile(r"sandbox:([a-z0-9-]+):.*")


def magic_word(channel: Channel, address: str | None) -> str | None:
    """The result that a magic recipient asks for; None for everybody else."""
    if address is None:
        return None
    if channel.address is EMAIL and (found := _MAGIC_EMAIL.fullmatch(address)):
        return found[1].lower()
    if channel.address is PHONE and (found := _MAGIC_PHONE.fullmatch(address)):
        return _DIGITS[int(found[1])]
    if channel.address is DEVICE_TOKEN and (found := _MAGIC_DEVICE.fullmatch(address)):
        return found[1]
    return None


def address_of(channel: Channel) -> str | None:
    """An address to which the sandbox delivers; None: the channel has none."""
    if channel.address is None:
        return None
    return {EMAIL: "delivered@sandbox.test", PHONE: "+15550100000"}.get(channel.address, channel.address.example)


class Sandbox(Adapter):
    """Shows each message as the channel's own adapter would have sent it, and refuses what no provider of the channel
    would take.
    """

    provider = "sandbox"
    label = "Sandbox"
    is_sandbox = True
    model: type[Adapter]

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        self._model = self.model(settings, http)

    def send(self, message: Message, to: Recipient) -> Receipt:
        word = magic_word(self.channel, to.address)
        failing, family, options = _FAULTS.get(word or "", (0, Permanent, {}))
        if message.try_number <= failing:
            raise family(f"the sandbox plays {word}", code=str(word).replace("-", "_"), **options)
        captured = self.preview(message, to)
        refusal = self._model.refusal(message, to, captured)
        if refusal is not None:
            raise Permanent(refusal, code="payload_too_large")
        foretold = _RECEIPTS.get(word or "", ())
        return Receipt(
            "sent" if foretold else "delivered",
            provider_message_id=f"sandbox-{message.delivery_id}",
            captured=captured,
            foretold=foretold,
        )

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return self._model.preview(message, to)


def sandbox_for(channel: Channel, model: type[Adapter] | None = None) -> type[Sandbox]:
    """The sandbox adapter of one channel. `model` is the channel's real adapter, where there is one."""
    model = model or type("Model", (Adapter,), {"channel": channel, "provider": "none", "label": channel.label})
    return type(
        f"{channel.name.capitalize()}Sandbox",
        (Sandbox,),
        {"channel": channel, "model": model, "is_safe_to_repeat": model.is_safe_to_repeat, "__module__": __name__},
    )
