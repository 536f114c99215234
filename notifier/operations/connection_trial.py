"""Tries the connection to a provider, as an admin asked: connects, signs in, and sends nothing.

Called by the console. What an admin has typed there must not serve to look around in the network: servers inside it
are tried only where OUTBOUND_ALLOW names them. Those of the environment are whatever the installation's operator says.
"""

import threading

import redis
import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.contract import Adapter
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, Rejected
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit, flood
from notifier.models import Provider
from notifier.queries.providers import adapter_of

LONGEST_S = 20.0
_CONNECT_S, _READ_S = 3.0, 2.0  # mail servers get a multiple of the latter
_REFUSED_TARGET = "target_refused"


def can_be_tried(model: type[Adapter]) -> bool:
    """Whether there is anything to connect to before a message is sent."""
    return model.try_out is not Adapter.try_out


def try_out(name: str, user_id: str) -> str:
    """→ what lets us in. Raises Rejected, with what went wrong in a sentence. Outside of any transaction."""
    model, options, is_typed = _account(name)
    _count(user_id)
    with transaction():
        audit.write("provider.tried", name)
    settings = current_settings()
    http = Http(settings.outbound_allow, connect_s=_CONNECT_S, read_s=_READ_S, is_confined=is_typed)
    try:
        adapter = model(options, http)
    except ValueError as error:
        raise Rejected("conflict", str(error)) from None
    try:
        return _within(adapter, LONGEST_S)
    except DeliveryError as error:
        raise Rejected("conflict", _in_words(error)) from None


def _account(name: str) -> tuple[type[Adapter], dict[str, str], bool]:
    """→ its adapter, its settings, and whether they were typed in the console. Raises Rejected('not_found')."""
    row = db.session.scalar(sa.select(Provider).where(Provider.name == name))
    if row is not None:
        found = adapter_of(row.adapter), dict(row.settings or {}), True
        db.session.close()
        return found
    for account, adapter in serving.registry().accounts():
        if account.name == name:
            return type(adapter), dict(adapter.options), False
    raise Rejected("not_found", f"there is no provider {name[:80]!r}")


def _within(adapter: Adapter, seconds: float) -> str:
    """A server that answers a byte at a time is not waited for."""
    said: list[str | Exception] = []

    def work() -> None:
        try:
            said.append(adapter.try_out() or "it")
        except Exception as error:
            said.append(error)
        finally:
            adapter.close()
            adapter.http.close()

    thread = threading.Thread(target=work, name="connection-trial", daemon=True)
    thread.start()
    thread.join(seconds)
    if not said:
        raise Rejected("conflict", f"it was not done within {seconds:g} seconds")
    if isinstance(said[0], Exception):
        raise said[0]
    return said[0]


def _in_words(error: DeliveryError) -> str:
    if error.code == _REFUSED_TARGET:
        return (
            "the server is not on the public internet, and OUTBOUND_ALLOW does not name its network, so it is not "
            "tried from here; `python -m notifier doctor` tries it from the machine itself"
        )
    return str(error)


def _count(user_id: str) -> None:
    try:
        used_up = flood.used_up({"trial": f"connection-trial:{user_id}"})
    except redis.RedisError:
        raise Rejected("unavailable", "Redis cannot be reached; try again in a minute", retry_after=60) from None
    if used_up:
        raise Rejected("rate_limited", "you have tried too often; try again in ten minutes", retry_after=600)
