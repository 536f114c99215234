"""Which sites may use a producer's inbox tokens: each producer's list of origins, such as `https://shop.example`, or
any.

Called by `api.inbox` and the sockets for what browsers send, and by the console and the commands that change the lists.
All lists are read at once and cached for CACHED_S: there are few producers, and preflight requests ask about all of
them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import sqlalchemy as sa
from flask import current_app

from notifier.core import revisions
from notifier.core.revisions import refuse_stale
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Producer

CACHED_S = 3
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")


@dataclass(slots=True)
class _Lists:
    """`by_producer`: None where any origin will do."""

    read_at: datetime | None = None
    by_producer: Mapping[UUID, frozenset[str] | None] = field(default_factory=dict)


def parse(text: str) -> str:
    """An origin as browsers send it. Raises ValueError with a sentence for other texts."""
    try:
        url = urlsplit(text.strip())
        host, port = (url.hostname or "").encode("idna").decode(), url.port
    except ValueError:
        host = ""
    is_origin = (
        _HOST.fullmatch(host)
        and url.scheme in _PORTS
        and url.username is None
        and url.path in ("", "/")
        and not (url.query or url.fragment)
    )
    if not is_origin:
        raise ValueError(f"{text!r} is not an origin: write it like https://shop.example, without a path")
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((url.scheme, host if port in (None, _PORTS[url.scheme]) else f"{host}:{port}", "", "", ""))


def revision_of(allowed: Sequence[str] | None) -> str:
    return revisions.revision_of(allowed)


def limit(producer_id: UUID, origins: Sequence[str] | None, *, seen: str | None = None) -> None:
    """Sets a producer's list; None lifts the limit. Holds in other processes after CACHED_S. Raises ValueError; and
    Rejected if the list is no longer the one of which `seen` is the `revision_of`.
    """
    wanted = None if origins is None else list(dict.fromkeys(map(parse, origins)))
    with transaction() as session:
        producer = session.get(Producer, producer_id, with_for_update=True)
        if producer is not None:
            refuse_stale(seen, revision_of(producer.allowed_origins), f"the sites of {producer.name}")
            audit.write(
                "producer.origins_set",
                producer.name,
                before={"origins": producer.allowed_origins},
                after={"origins": wanted},
            )
            producer.allowed_origins = wanted
    forget_cached()


def is_ours(origin: str, host_url: str) -> bool:
    """Whether a page of our own asks; `host_url` is how the request named us."""
    ours = urlsplit(current_settings().public_url)
    return origin in (ours._replace(path="").geturl(), host_url.rstrip("/"))


def may_use(origin: str | None, producer_id: UUID | None, host_url: str) -> bool:
    """Whether a token that this producer has made may be used by pages of that origin (None: the caller is no page of
    another site).

    `producer_id` None: a token from before tokens named their producer, or one of our own.
    """
    if origin is None or producer_id is None or is_ours(origin, host_url):
        return True
    return _admits(_lists().get(producer_id, frozenset()), origin)


def may_ask(origin: str | None, host_url: str) -> bool:
    """Whether any producer's token may be used by pages of that origin: a preflight, or an invalid token, names no
    producer.
    """
    return origin is None or is_ours(origin, host_url) or any(_admits(allowed, origin) for allowed in _lists().values())


def forget_cached() -> None:
    current_app.extensions.pop("origins", None)


def _admits(allowed: frozenset[str] | None, origin: str) -> bool:
    return allowed is None or origin in allowed


def _lists() -> Mapping[UUID, frozenset[str] | None]:
    known: _Lists = current_app.extensions.setdefault("origins", _Lists())
    at = now()
    if known.read_at is None or abs(at - known.read_at) >= timedelta(seconds=CACHED_S):
        rows = db.session.execute(sa.select(Producer.id, Producer.allowed_origins)).all()
        known.by_producer = {
            row.id: None if row.allowed_origins is None else frozenset(row.allowed_origins) for row in rows
        }
        known.read_at = at
    return known.by_producer
