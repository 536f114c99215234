"""Provider accounts: are their settings complete and readable, and do the servers let us in? Nothing is sent."""

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial

import redis
import sqlalchemy as sa

from notifier.channels import ADAPTERS, CHANNELS, MADE
from notifier.channels.contract import Adapter
from notifier.channels.table import MAIL
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError
from notifier.ground.encryption import KeysDoNotFit
from notifier.ground.extensions import db
from notifier.models import InstallationSecret, Provider
from notifier.operations.installation import settings_of_providers
from notifier.programs.doctor.findings import Finding, fault, ok, skipped, warning
from notifier.programs.doctor.hooks import hooks
from notifier.programs.doctor.patient import Patient
from notifier.programs.doctor.tasks import Task
from notifier.providers import health

_CONNECT_S, _READ_S = 3.0, 1.5  # mail servers get a multiple of the latter
_MARGIN_S = 1.0
_NOT_IN_ORDER = {
    "open": "keeps failing and is not used for a while",
    "half_open": "is being tried again after failing",
    "forced_open": "was switched off by hand",
}


@dataclass(frozen=True, slots=True)
class _Account:
    """`remedy`: where its settings are to be corrected."""

    name: str
    model: type[Adapter]
    options: Mapping[str, str]
    remedy: str


def providers(patient: Patient) -> Iterator[Finding]:
    has_database = patient.answers("database")
    accounts: list[_Account] = []
    for found in (
        *_of_environment(patient, _made(patient) if has_database else {}),
        *(_of_database(patient) if has_database else ()),
    ):
        if isinstance(found, _Account):
            accounts.append(found)
        else:
            yield found
    http = Http(patient.settings.outbound_allow, connect_s=_CONNECT_S, read_s=_READ_S)
    tasks = [Task(partial(_examine, account, http)) for account in accounts]
    for task in tasks:
        yield from task.findings(patient.until - _MARGIN_S)
    yield from hooks(patient, {account.name: (account.model, account.options) for account in accounts})
    if has_database:
        yield from _channels(patient, {account.model.channel.name for account in accounts})
    else:
        yield skipped("the accounts in the database: it must answer and be up to date first")
    if patient.answers("redis"):
        yield from _breakers({account.name for account in accounts})


def _made(patient: Patient) -> dict[str, str]:
    """The settings that `migrate` made, unless they cannot be read: then `secrets` says so."""
    if patient.vault is None:
        return {}
    rows = db.session.scalars(sa.select(InstallationSecret).where(InstallationSecret.name.in_(MADE)))
    try:
        return settings_of_providers(
            {row.name: patient.vault.decrypt(bytes(row.sealed), f"installation_secret.{row.name}") for row in rows}
        )
    except KeysDoNotFit:
        return {}


def _of_environment(patient: Patient, made: Mapping[str, str]) -> Iterator[_Account | Finding]:
    """An adapter is configured when all that it requires is given; a part of that is a mistake."""
    for model in ADAPTERS:
        options = model.options_here(patient.settings, made)
        missing = model.missing(options)
        if model.missing({}) and not missing:
            own = [s.name for s in model.settings if s.make and patient.settings.of_provider(s.name)]
            unset = f", or unset {' and '.join(own)} to use what migrate made" if own else ""
            yield _Account(model.provider, model, options, f"Correct it in the environment{unset}.")
        elif missing and model.is_begun(patient.settings):
            yield fault(
                f"{model.label} lacks {', '.join(missing)}, and is not used", "Set it too, or unset the others."
            )


def _of_database(patient: Patient) -> Iterator[_Account | Finding]:
    models = {model.provider: model for model in ADAPTERS}
    columns = (Provider.name, Provider.adapter, sa.type_coerce(Provider.settings, sa.LargeBinary).label("sealed"))
    for row in db.session.execute(sa.select(*columns).where(Provider.is_on).order_by(Provider.name)):
        at = f"Correct it at /admin/providers/{row.name}."
        model = models.get(row.adapter)
        if model is None:
            yield fault(
                f"{row.name} is an account of {row.adapter}, which this program does not know",
                f"Remove it: python -m notifier providers remove {row.name}",
            )
            continue
        try:
            if patient.vault is None:
                raise KeysDoNotFit("there are no keys")
            options = json.loads(patient.vault.decrypt(bytes(row.sealed), "provider.settings"))
        except KeysDoNotFit:
            yield fault(
                f"the settings of {row.name} cannot be read with the ENCRYPTION_KEYS",
                "Put the key they were written with at their end, or enter the settings again.",
            )
            continue
        missing = model.missing(options)
        if missing:
            yield fault(f"{row.name} ({model.label}) lacks {', '.join(missing)}", at)
            continue
        yield _Account(row.name, model, options, at)


def _examine(account: _Account, http: Http) -> Iterator[Finding]:
    said = f"{account.name} ({account.model.label})"
    try:
        adapter = account.model(account.options, http)
    except ValueError as error:
        yield fault(f"{said} cannot be used: {error}", account.remedy)
        return
    try:
        reached = adapter.try_out()
    except DeliveryError as error:
        yield fault(f"{said} cannot be used: {error}", f"{account.remedy.rstrip('.')}, or fix what it points to.")
    else:
        yield ok(f"{said}: its settings are complete" if reached is None else f"{said}: {reached} lets us in")
    finally:
        adapter.close()


def _channels(patient: Patient, served: Set[str]) -> Iterator[Finding]:
    """Which channels have no provider."""
    free = {model.channel.name for model in ADAPTERS if not model.missing({})}
    unserved = [name for name, channel in CHANNELS.items() if channel.address is not None and name not in served | free]
    if not patient.settings.is_production:
        yield ok(f"without a provider, so the sandbox captures: {', '.join(unserved) or 'none'}")
        return
    if MAIL.name in unserved:
        needed = next(model.missing({}) for model in ADAPTERS if model.channel is MAIL)
        remedy = f"Set {' and '.join(needed)}, or add one: python -m notifier providers add"
        yield warning("there is no e-mail provider: sign-in links and alerts reach nobody", remedy)
    yield ok(f"without a provider, and so off: {', '.join(unserved) or 'none'}")


def _breakers(names: Set[str]) -> Iterator[Finding]:
    try:
        states = health.states()
    except redis.RedisError:
        return
    for name in sorted(names & states.keys()):
        if states[name] in _NOT_IN_ORDER:
            yield warning(
                f"{name} {_NOT_IN_ORDER[states[name]]} (its breaker is {states[name].replace('_', ' ')})",
                "See /admin/providers; by hand: python -m notifier providers force",
            )
