"""Provider accounts and flags in the database; every process takes up changes within seconds (`refresh`).

Called by intake, delivery and upkeep to stay current, and by the console and the commands, which change them.
"""

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from flask import current_app
from sqlalchemy.exc import IntegrityError

from notifier.channels import ADAPTERS, serving
from notifier.channels.contract import Adapter
from notifier.channels.serving import Account, flag_of
from notifier.core import revisions
from notifier.core.errors import Fault, Rejected
from notifier.core.revisions import refuse_stale
from notifier.ground.config import BadSettings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Flag, Provider
from notifier.providers import health
from notifier.signals import hook_health

REFRESH_S = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it is part of URLs
_NO_NAMES = {"flags", "new"}  # these are pages of their own

log = structlog.get_logger()


@dataclass(slots=True)
class _TakenUp:
    at: float = float("-inf")
    accounts: list[Account] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)


def refresh() -> None:
    """At most two queries every REFRESH_S, outside of any transaction. An unusable account is left out, and logged."""
    taken: _TakenUp = current_app.extensions.setdefault("providers", _TakenUp())
    if time.monotonic() < taken.at + REFRESH_S:
        return
    taken.at = time.monotonic()
    rows = db.session.scalars(sa.select(Provider).where(Provider.is_on).order_by(Provider.name)).all()
    accounts = [Account(row.name, row.adapter, row.settings or {}, row.position, row.weight) for row in rows]
    percentages: dict[str, int] = {
        row.name: row.percentage for row in db.session.execute(sa.select(Flag.name, Flag.percentage))
    }
    db.session.close()
    if percentages != taken.flags:
        taken.flags = percentages
        serving.registry().obey(percentages)
    if accounts == taken.accounts:
        return
    taken.accounts = accounts
    try:
        serving.registry().configure(accounts)
    except BadSettings as error:
        log.error("providers.not_usable", error="; ".join(error.faults))


def refresh_now() -> None:
    """After a change made here, and for commands: this process takes it up at once."""
    taken: _TakenUp = current_app.extensions.setdefault("providers", _TakenUp())
    taken.at = float("-inf")
    refresh()


def add(
    name: str, adapter: str, options: Mapping[str, str], *, position: int = 0, weight: int = 1, is_on: bool = True
) -> UUID:
    """Stores an account, if its adapter can make sense of the settings. Raises Rejected, naming what is wrong."""
    model = _checked(adapter, options, weight)
    if not _NAME.fullmatch(name) or name in _NO_NAMES:
        raise _refused("/name", "use 1 to 64 letters, digits, dots, dashes and underscores, but not flags or new")
    refresh_now()
    if serving.registry().account(name) is not None:  # of the environment, perhaps: hook and breaker go by the name
        raise _taken(name)
    with transaction() as session:
        row = Provider(
            channel=model.channel.name,
            adapter=adapter,
            name=name,
            settings=dict(options),
            position=position,
            weight=weight,
            is_on=is_on,
        )
        session.add(row)
        try:
            session.flush()
        except IntegrityError:
            raise _taken(name) from None
        audit.write("provider.added", name, after=_told(row))
    refresh_now()
    return row.id


def change(
    name: str,
    options: Mapping[str, str],
    *,
    keeping: Collection[str],
    position: int,
    weight: int,
    is_on: bool,
    seen: str | None = None,
) -> None:
    """Secret settings (`keeping`) that are not given stay as they are. `seen`: the `revision_of` the account as its
    author was shown it. Raises Rejected with the faults.
    """
    with transaction() as session:
        row = session.scalar(sa.select(Provider).where(Provider.name == name).with_for_update())
        if row is None:
            raise Rejected("not_found", f"there is no provider {name[:80]!r}")
        refuse_stale(seen, revision_of(row), name)
        kept = {setting: value for setting, value in (row.settings or {}).items() if setting in keeping}
        settings = {**kept, **options}
        _checked(row.adapter, settings, weight)
        before = _told(row)
        row.settings, row.position, row.weight, row.is_on = settings, position, weight, is_on
        audit.write(
            "provider.changed",
            name,
            before=before,
            after={**_told(row), "replaced": sorted(options.keys() & set(keeping))},
        )
    refresh_now()


def revision_of(row: Provider) -> str:
    return revisions.revision_of(row.changed_at)


def _checked(adapter: str, options: Mapping[str, str], weight: int) -> type[Adapter]:
    model = next((model for model in ADAPTERS if model.provider == adapter), None)
    if model is None:
        raise _refused(
            "/adapter",
            f"there is no provider {adapter!r}; there are: {', '.join(sorted(a.provider for a in ADAPTERS))}",
        )
    declared = [setting.name for setting in model.settings]
    unknown = sorted(options.keys() - set(declared))
    missing = sorted(model.missing(options))
    if unknown or missing:
        raise _refused(
            "/options",
            f"{adapter} knows {', '.join(declared) or 'no settings'}"
            + (f"; missing: {', '.join(missing)}" if missing else ""),
        )
    if weight < 1:
        raise _refused("/weight", "the weight must be 1 or more")
    try:
        model(options, serving.registry().http).close()
    except ValueError as error:
        raise _refused("/options", str(error)) from None
    return model


def _told(row: Provider) -> dict[str, Any]:
    """For the audit log, which masks what is secret."""
    return {
        "channel": row.channel,
        "adapter": row.adapter,
        "position": row.position,
        "weight": row.weight,
        "is_on": row.is_on,
        "settings": row.settings,
    }


def remove(name: str) -> bool:
    """With its flag, its breaker and what is known of its hook: a later account of that name starts without them."""
    with transaction() as session:
        channel = session.scalar(sa.delete(Provider).where(Provider.name == name).returning(Provider.channel))
        if channel is not None:
            session.execute(sa.delete(Flag).where(Flag.name == flag_of(channel, name)))
            audit.write("provider.removed", name)
    if channel is not None:
        health.forget(name)
        hook_health.forget(name)
    refresh_now()
    return channel is not None


def listing() -> list[dict[str, Any]]:
    """Every account, those of the environment too; no secrets."""
    return [
        {
            "name": account.name,
            "adapter": account.adapter,
            "channel": adapter.channel.name,
            "position": account.position,
            "weight": account.weight,
        }
        for account, adapter in serving.registry().accounts()
    ]


def _taken(name: str) -> Rejected:
    return _refused("/name", f"there is already a provider {name!r}")


def _refused(pointer: str, message: str) -> Rejected:
    return Rejected("validation_failed", message, (Fault(pointer, "invalid", message),))
