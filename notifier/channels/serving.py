"""Which provider accounts serve each channel here: the registry that an app holds, built from settings and database.

Called by everything that plans, claims or sends, and by pages that list channels. Adapters are declared in `channels`;
`providers.accounts` refreshes the registry from the database.
"""

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from flask import Flask, current_app

from notifier import channels
from notifier.channels import CHANNELS
from notifier.channels.contract import MESSAGE, Adapter, Channel
from notifier.channels.sandbox import magic_word, sandbox_for
from notifier.channels.wire.http import Http
from notifier.core.costs import parse_prices
from notifier.core.facts import ChannelFacts
from notifier.core.flags import is_in_rollout
from notifier.core.lifecycle import UNKNOWN
from notifier.core.message import PLATFORMS
from notifier.core.reasons import NOT_LISTED
from notifier.ground import metrics, target_lists
from notifier.ground.config import BadSettings, Settings
from notifier.ground.target_lists import Lists
from notifier.ground.variables import Variables

# Channel → the channels that use its addresses too: a phone given for SMS can be called and takes WhatsApp messages.
BORROWERS: dict[str, tuple[str, ...]] = {
    lender: tuple(channel.name for channel in CHANNELS.values() if channel.borrows_from == lender)
    for lender in CHANNELS
}


_PRIVATE = (
    "This leads into a private network, or is not encrypted; OUTBOUND_ALLOW names the networks for which that is "
    "allowed."
)


class Barred(NamedTuple):
    """`whose`: of which list of webhook targets (`target_lists`)."""

    code: str
    sentence: str
    whose: str | None = None


def flag_of(channel: str, account: str) -> str:
    """The name of an account's flag; a channel's is its own name."""
    return f"{channel}:{account}"


@dataclass(frozen=True, slots=True)
class Account:
    """One configured provider: an adapter with settings of its own. Lower `position` is tried first; equals share by
    `weight`.
    """

    name: str
    adapter: str
    options: Mapping[str, str]
    position: int = 0
    weight: int = 1


class Registry:
    """The provider accounts of this installation, by channel. One per process; all threads share its adapters.

    The environment configures one account of a provider, the database any number (`configure`). Raises BadSettings when
    an adapter's own settings make no sense.
    """

    def __init__(self, settings: Settings, *, http: Http | None = None) -> None:
        self.http = http or Http(settings.outbound_allow)
        self._settings = settings
        self._made: Mapping[str, str] = {}
        self._accounts: Sequence[Account] = ()
        self._sandbox: dict[str, Adapter] = {}
        for name, channel in CHANNELS.items():
            serving = [adapter for adapter in channels.ADAPTERS if adapter.channel.name == name]
            model = next(
                (adapter for adapter in serving if self._is_configured(adapter)), serving[0] if serving else None
            )
            try:
                self._sandbox[name] = sandbox_for(channel, model)(self._options(model) if model else {}, self.http)
            except ValueError as error:
                raise BadSettings(str(error)) from None
        self._has_sandbox_for_all = not settings.is_production
        self._flags: dict[str, int] = {}
        self._real: dict[str, list[tuple[Account, Adapter]]] = {}
        self._built: dict[Account, Adapter] = {}
        if settings.synthetic is not None:
            for name, value in settings.synthetic.addresses.items():
                _check_synthetic(name, value)
        self.configure(())

    def use_made(self, made: Mapping[str, str]) -> None:
        """Settings that were made once for the installation, by name; the environment's go first."""
        self._made = made
        self.configure(self._accounts)

    def configure(self, accounts: Sequence[Account]) -> None:
        """Takes up the accounts of the database beside those of the environment. Those that have not changed keep their
        connections. Raises BadSettings, which names those that cannot be used, once the others are.
        """
        self._accounts = accounts
        given = [
            Account(adapter.provider, adapter.provider, _Options(self._options(adapter)))
            for adapter in channels.ADAPTERS
            if self._is_configured(adapter)
        ]
        built: dict[Account, Adapter] = {}
        real: dict[str, list[tuple[Account, Adapter]]] = {}
        faults: list[str] = []
        for account in (*given, *(replace(a, options=_Options(a.options)) for a in accounts)):
            try:
                adapter = self._built.get(account) or self._build(account)
            except (KeyError, ValueError) as error:
                faults.append(f"The provider {account.name} cannot be used: {error}")
                continue
            built[account] = adapter
            real.setdefault(adapter.channel.name, []).append((account, adapter))
        dropped = [adapter for account, adapter in self._built.items() if account not in built]
        self._built = built
        self._real = {name: sorted(serving, key=lambda pair: pair[0].position) for name, serving in real.items()}
        self._state()
        self._begin_counts()
        for adapter in dropped:
            adapter.close()
        if faults:
            raise BadSettings(*faults)

    def obey(self, flags: Mapping[str, int]) -> None:
        """The percentage of the users for whom a channel (`sms`) or an account (`sms:twilio`) is on, where it is not on
        for all.
        """
        self._flags = dict(flags)
        self._state()

    def _options(self, adapter: type[Adapter]) -> dict[str, str]:
        return adapter.options_here(self._settings, self._made)

    def _is_configured(self, adapter: type[Adapter]) -> bool:
        return not adapter.missing(self._options(adapter))

    def _build(self, account: Account) -> Adapter:
        models = {adapter.provider: adapter for adapter in channels.ADAPTERS}
        adapter = models[account.adapter](account.options, self.http)
        adapter.name = account.name
        adapter.hook_url = self._settings.hook_url(account.name) if adapter.tells else None
        return adapter

    def is_on(self, channel: str, *, is_test: bool = False) -> bool:
        """Can anything be sent there? In production a channel without a provider is off, except for test keys. Nor is
        one whose flag is off.
        """
        if self._flags.get(channel) == 0:
            return False
        return CHANNELS[channel].address is None or channel in self._real or self._has_sandbox_for_all or is_test

    def adapters_for(
        self,
        channel: str,
        address: str | None,
        *,
        is_test: bool,
        user_id: str | None = None,
        only: str | None = None,
        platform: str | None = None,
    ) -> list[Adapter]:
        """The accounts that may send a delivery, in the order to try them. None: the channel is off, in-app, which
        no account sends, or gone; or none of them serves the platform of the device. An address of None asks for all.

        `user_id`: without the accounts whose flag is not on for that person. `only`: this account and no other,
        whatever its flag, be it a test (none of a key's: the product alone says so).
        """
        known = CHANNELS.get(channel)
        if known is None:
            return []
        if (is_test and only is None) or magic_word(known, address):
            return [self._sandbox[channel]]
        if known.address is None:
            return []
        serving = self._real.get(channel)
        if serving and address is not None:
            serving = [(account, adapter) for account, adapter in serving if adapter.serves(platform)]
        if only is not None:
            return [adapter for account, adapter in serving or () if account.name == only]
        if serving is None:
            return [self._sandbox[channel]] if self._has_sandbox_for_all else []
        if user_id is not None and self._flags:
            serving = [(account, adapter) for account, adapter in serving if self._is_on_for(account, channel, user_id)]
        if len(serving) == 1:
            return [serving[0][1]]
        # Among equals the heavier come first more often: the keys of Efraimidis and Spirakis' weighted shuffle.
        keyed = [
            (account.position, -(random.random() ** (1 / max(account.weight, 1))), adapter)
            for account, adapter in serving
        ]
        return [adapter for _, _, adapter in sorted(keyed, key=lambda entry: entry[:2])]

    def _is_on_for(self, account: Account, channel: str, user_id: str) -> bool:
        name = flag_of(channel, account.name)
        return is_in_rollout(name, self._flags.get(name, 100), user_id)

    def accounts(self) -> list[tuple[Account, Adapter]]:
        """All accounts in use, by channel and in the order of their positions."""
        return [pair for name in CHANNELS for pair in self._real.get(name, ())]

    def account(self, name: str) -> Adapter | None:
        """The account of that name, if it is in use."""
        return next((adapter for account, adapter in self._built.items() if account.name == name), None)

    def public_key(self, channel: str) -> str | None:
        """The key with which devices subscribe on a channel; None where there is none (yet)."""
        return next((key for _, adapter in self._real.get(channel, ()) if (key := adapter.public_key)), None)

    def why_not(self, channel: str, value: str, lists: Lists) -> "Barred | None":
        """Why an address that is a URL may not be called, as far as it can be told without a look-up; None: it may be.
        `lists`: of webhook targets.
        """
        kind = CHANNELS[channel].address
        url = kind.url(value) if kind and kind.url else None
        if kind is None or url is None:
            return None
        if not self.http.targets.may_be_meant(url):
            return Barred("target_refused", _PRIVATE)
        whose = target_lists.leaves_out(kind.lists_for(value, lists), urlsplit(url).hostname or "")
        return Barred(NOT_LISTED, target_lists.sentence(whose), whose) if whose else None

    def facts(self, *, is_test: bool = False) -> dict[str, ChannelFacts]:
        """The channels as the planner sees them."""
        return self._facts[is_test]

    def _begin_counts(self) -> None:
        """From 0, so that the first one of them is an increase: an alert waits for it. What a dead worker had in hand
        has no account yet, and goes by its channel.
        """
        sending = [name for name, channel in CHANNELS.items() if channel.address is not None]
        for channel, account in (
            *((name, name) for name in sending),
            *((a.channel.name, a.name) for a in self._built.values()),
        ):
            metrics.series(metrics.deliveries, channel, metrics.bounded("provider", account), UNKNOWN)

    def _state(self) -> None:
        self._facts = {is_test: self._state_facts(is_test) for is_test in (False, True)}

    def _state_facts(self, is_test: bool) -> dict[str, ChannelFacts]:
        return {
            channel.name: ChannelFacts(
                channel.name,
                default_on=channel.default_on,
                every_address=channel.every_address,
                needs_address=channel.address is not None,
                waits_when_quiet=channel.waits_when_quiet,
                is_on=self.is_on(channel.name, is_test=is_test),
                percentage=self._flags.get(channel.name, 100),
                follows=channel.follows,
                unserved=frozenset() if is_test else self._unserved(channel),
            )
            for channel in CHANNELS.values()
        }

    def _unserved(self, channel: Channel) -> frozenset[str | None]:
        """The platforms that none of its accounts sends to, where it has any."""
        serving = self._real.get(channel.name)
        if not serving or channel.address is None or not channel.address.has_platform:
            return frozenset()
        return frozenset(p for p in (None, *PLATFORMS) if not any(adapter.serves(p) for _, adapter in serving))

    def close(self) -> None:
        for adapter in self._built.values():
            adapter.close()
        self.http.close()


class _Options(dict[str, str]):
    """Settings of an account that can be compared and hashed with it."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def init_app(app: Flask, settings: Settings) -> None:
    app.extensions["channels"] = Registry(settings)


def registry() -> Registry:
    """The registry of the current app."""
    found: Registry = current_app.extensions["channels"]
    return found


def faults(environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with the settings of providers in an environment (None: the process's own), in sentences.

    Called where other settings are wrong, so that all faults are told at once: a registry needs valid settings.
    """
    variables = Variables(environ)
    for name in parse_prices(variables.text("MESSAGE_PRICES", ""))[0]:
        channel = channels.CHANNELS.get(name)
        if channel is None:
            variables.faults.append(f"MESSAGE_PRICES: there is no channel {name}")
        elif channel.charged_by not in (None, MESSAGE):
            variables.faults.append(f"MESSAGE_PRICES: {name} has a price of its own, by the {channel.charged_by}")
    with contextlib.closing(Http()) as http:
        for adapter in channels.ADAPTERS:
            options = {s.name: value for s in adapter.settings if (value := variables.secret(s.name))}
            try:
                adapter(options, http).close()
            except ValueError as error:
                variables.faults.append(str(error))
    return variables.faults


def _check_synthetic(channel: str, value: str) -> None:
    """An address of SYNTHETIC. Raises BadSettings, without the address."""
    try:
        normalise(channel, value)
    except ValueError as error:
        raise BadSettings(f"SYNTHETIC, {channel}: {error}") from None


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
