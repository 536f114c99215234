"""The channels and the providers that serve them. A new provider is one file here and one line in ADAPTERS.

Called at the door (addresses), by planning (which channels are on) and by `pipeline.deliver` (who sends).
"""

from typing import Any

from flask import Flask, current_app

from notifier.channels.contract import Adapter, Channel
from notifier.channels.email_smtp import EmailSmtp
from notifier.channels.http import Http
from notifier.channels.sandbox import magic_word, sandbox_for
from notifier.channels.table import BUILT_IN
from notifier.channels.webhook_standard import StandardWebhook
from notifier.config import BadSettings, Settings
from notifier.core.plan import ChannelFacts

ADAPTERS: tuple[type[Adapter], ...] = (
    EmailSmtp,
    StandardWebhook,
)

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in (*BUILT_IN, *(adapter.channel for adapter in ADAPTERS))}

# Channel → the channels that use its addresses too: a phone given for SMS can be called and takes WhatsApp messages.
BORROWERS: dict[str, tuple[str, ...]] = {lender: tuple(channel.name for channel in CHANNELS.values() if channel.borrows_from == lender) for lender in CHANNELS}


class Registry:
    """Who sends what in this installation. Built once a process; its adapters are shared by all threads.

    Raises BadSettings when an adapter cannot make sense of its own.
    """

    def __init__(self, settings: Settings, *, http: Http | None = None) -> None:
        self.http = http or Http(settings.outbound_allow)
        self._real: dict[str, Adapter] = {}
        self._sandbox: dict[str, Adapter] = {}
        for name, channel in CHANNELS.items():
            serving = [adapter for adapter in ADAPTERS if adapter.channel.name == name]
            configured = [adapter for adapter in serving if _is_configured(adapter, settings)]
            model = next(iter(configured or serving), None)
            options = _options(model, settings) if model else {}
            try:
                self._sandbox[name] = sandbox_for(channel, model)(options, self.http)
                if model and model in configured:
                    self._real[name] = model(options, self.http)
            except ValueError as error:
                raise BadSettings(f"The settings do not make sense:\n  - {error}") from None
        self._has_sandbox_for_all = not settings.is_production
        self._facts = {is_test: self._state_facts(is_test) for is_test in (False, True)}

    def is_on(self, channel: str, *, is_test: bool = False) -> bool:
        """Can anything be sent there? In production a channel without a provider is off, except for test keys."""
        return CHANNELS[channel].address is None or channel in self._real or self._has_sandbox_for_all or is_test

    def adapter_for(self, channel: str, address: str | None, *, is_test: bool) -> Adapter | None:
        """Who sends a delivery. None: the channel is off, or, being in-app, needs nobody to send it."""
        if is_test or magic_word(CHANNELS[channel], address):
            return self._sandbox[channel]
        if CHANNELS[channel].address is None:
            return None
        return self._real.get(channel) or (self._sandbox[channel] if self._has_sandbox_for_all else None)

    def facts(self, *, is_test: bool = False) -> dict[str, ChannelFacts]:
        """The channels as the planner sees them."""
        return self._facts[is_test]

    def _state_facts(self, is_test: bool) -> dict[str, ChannelFacts]:
        return {
            channel.name: ChannelFacts(
                channel.name,
                default_on=channel.default_on,
                every_address=channel.every_address,
                needs_address=channel.address is not None,
                waits_when_quiet=channel.waits_when_quiet,
                is_on=self.is_on(channel.name, is_test=is_test),
            )
            for channel in CHANNELS.values()
        }

    def close(self) -> None:
        for adapter in self._real.values():
            adapter.close()
        self.http.close()


def _options(adapter: type[Adapter], settings: Settings) -> dict[str, str]:
    """What the environment gives of an adapter's settings; the adapter adds its defaults."""
    given: dict[str, Any] = {setting.name: getattr(settings, setting.name.lower(), None) for setting in adapter.settings}
    return {name: str(value) for name, value in given.items() if value is not None}


def _is_configured(adapter: type[Adapter], settings: Settings) -> bool:
    options = _options(adapter, settings)
    return all(setting.name in options for setting in adapter.settings if setting.is_required and setting.default is None)


def init_app(app: Flask, settings: Settings) -> None:
    app.extensions["channels"] = Registry(settings)


def registry() -> Registry:
    """The registry of the current app."""
    found: Registry = current_app.extensions["channels"]
    return found


def normalise(channel: str, value: str) -> str:
    """An address as it is stored and compared. Raises ValueError with a sentence for people."""
    kind = CHANNELS[channel].address if channel in CHANNELS else None
    if kind is None:
        raise ValueError(f"There are no addresses for the channel {channel!r}.")
    return kind.parse(value)


def mask(channel: str, value: str) -> str:
    """An address as it may be shown and logged."""
    kind = CHANNELS[channel].address if channel in CHANNELS else None
    return kind.mask(value) if kind else "…"
