"""Mails with tracked links, for tests: a type that tracks, what its mails hold, and hits on it."""

import contextlib
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from notifier.ground import kept
from notifier.ground.database import transaction
from notifier.models import EventType

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"


@contextlib.contextmanager
def tracking(key: str, **flags: bool) -> Iterator[None]:
    """The type tracks so inside: `tracking("order_shipped", opens=True, clicks=True)`."""
    _set(key, {f"tracks_{name}": value for name, value in flags.items()})
    try:
        yield
    finally:
        _set(key, {"tracks_opens": False, "tracks_clicks": False})


def _set(key: str, columns: dict[str, Any]) -> None:
    with transaction() as session:
        session.execute(sa.update(EventType).where(EventType.key == key).values(**columns))
    kept.forget()


def links_in(html: str) -> list[str]:
    """The paths of its tracked links in their order, the decoy first."""
    return [urlsplit(unescape(found)).path for found in re.findall(r'href="([^"]+/t/[^"]+)"', html)]


def pixel_in(html: str) -> str | None:
    found = re.search(r'src="([^"]+/o/[^"]+\.gif)"', html)
    return urlsplit(unescape(found[1])).path if found else None
