"""The hooks of the providers' accounts: who could tell more, whose calls are not taken, and can providers call us?"""

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import redis

from notifier.channels.contract import Adapter
from notifier.programs.doctor.findings import Finding, counted, ok, warning
from notifier.programs.doctor.patient import Patient
from notifier.signals import hook_health
from notifier.signals.hook_health import HookHealth

_INTERNAL = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test")


def hooks(patient: Patient, accounts: Mapping[str, tuple[type[Adapter], Mapping[str, str]]]) -> Iterator[Finding]:
    """`accounts`: by name, each with its adapter and settings. To send without receipts is no fault."""
    public_url = patient.settings.public_url
    telling: list[str] = []
    for name, (model, options) in accounts.items():
        missing = model.unverifiable(options)
        if model.tells and missing:
            yield ok(f"{name} ({model.label}) sends without receipts; it could tell more with {' and '.join(missing)}")
        elif model.tells:
            telling.append(name)
    if telling and is_private(urlsplit(public_url).hostname or ""):
        yield warning(
            f"no receipts can come from {', '.join(telling)}: nobody outside can call PUBLIC_URL ({public_url})",
            "Set PUBLIC_URL to an address that providers can reach.",
        )
    if telling and patient.answers("redis"):
        try:
            health = hook_health.read(telling)
        except redis.RedisError:
            return
        for name in telling:
            yield from _not_taken(name, health[name], patient.settings.hook_url(name))


def _not_taken(name: str, health: HookHealth, url: str) -> Iterator[Finding]:
    for calls, what, remedy in (
        (health.refused, "refused", "Compare the secret with the provider's. The URL to enter there:"),
        (health.unreadable, "not readable", "Have the provider send its receipts there and nothing else:"),
        (health.misdirected, "meant for another hook", f"Enter this URL at the provider for {name} alone:"),
    ):
        if calls.count:
            yield warning(
                f"the hook of {name} had {counted(calls.count, 'call')} in the last 24 hours that"
                f" {'was' if calls.count == 1 else 'were'} {what}; the last one: {calls.why}",
                f"{remedy} {url}",
            )


def is_private(host: str) -> bool:
    """Whether nobody outside can call it, as far as its name or number tells."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_INTERNAL)
