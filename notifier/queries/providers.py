"""Providers for the console: the accounts of each channel, from the environment and the database; never a secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from notifier.channels import ADAPTERS, CHANNELS, serving
from notifier.channels.contract import Adapter
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.models import Flag, Provider
from notifier.queries import hooks


@dataclass(frozen=True, slots=True)
class Line:
    """An account. `row` None: it cannot be changed here; it is built in, or (`is_of_environment`) set up by environment
    variables. `lacks`: the settings that its receipts need and that are not given.
    """

    name: str
    adapter: type[Adapter]
    position: int
    weight: int
    row: Provider | None
    is_of_environment: bool
    percentage: int
    lacks: Sequence[str]


@dataclass(frozen=True, slots=True)
class ChannelLines:
    """`percentage`: of the people for whom the channel is on. Without accounts the sandbox serves it, or nobody."""

    name: str
    percentage: int
    accounts: Sequence[Line]
    may_add: Sequence[type[Adapter]]


def by_channel() -> list[ChannelLines]:
    """Every channel that sends."""
    rows = {row.name: row for row in db.session.scalars(sa.select(Provider).order_by(Provider.position, Provider.name))}
    flags = {row.name: row.percentage for row in db.session.execute(sa.select(Flag.name, Flag.percentage))}
    models = {model.provider: model for model in ADAPTERS}
    given = [(account, adapter) for account, adapter in serving.registry().accounts() if account.name not in rows]
    found = []
    for name, channel in CHANNELS.items():
        if channel.address is None:
            continue
        lines = [
            _line(row.name, models[row.adapter], row.position, row.weight, row, flags)
            for row in rows.values()
            if row.channel == name and row.adapter in models
        ]
        lines += [
            _line(a.name, models[a.adapter], a.position, a.weight, None, flags)
            for a, adapter in given
            if adapter.channel.name == name and a.adapter in models
        ]
        lines.sort(key=lambda line: (line.position, line.name))
        addable = [model for model in ADAPTERS if model.channel.name == name and model.settings]
        found.append(ChannelLines(name, flags.get(name, 100), lines, addable))
    return found


def _line(
    name: str, adapter: type[Adapter], position: int, weight: int, row: Provider | None, flags: Mapping[str, int]
) -> Line:
    percentage = flags.get(serving.flag_of(adapter.channel.name, name), 100)
    is_of_environment = row is None and adapter.is_begun(current_settings())
    lacks = hooks.lacking(name, adapter, row)
    return Line(name, adapter, position, weight, row, is_of_environment, percentage, lacks)


def find(name: str) -> tuple[Provider | None, type[Adapter]]:
    """An account of the database, or of the environment (None). Raises Rejected('not_found')."""
    given = next((account.adapter for account, _ in serving.registry().accounts() if account.name == name), None)
    try:
        return one(name)
    except Rejected:
        return None, adapter_of(given or name)


def one(name: str) -> tuple[Provider, type[Adapter]]:
    """Raises Rejected('not_found')."""
    row = db.session.scalar(
        sa.select(Provider).where(Provider.name == name.replace("\0", "")).execution_options(populate_existing=True)
    )
    return (row, adapter_of(row.adapter)) if row is not None else _missing(name)


def adapter_of(provider: str) -> type[Adapter]:
    """Raises Rejected('not_found')."""
    return next((model for model in ADAPTERS if model.provider == provider), None) or _missing(provider)


def _missing(name: str) -> Any:
    raise Rejected("not_found", f"there is no provider {name[:80]!r}")
