"""Keys: UUIDv7 (RFC 9562), so that they sort by creation; shown to the world with their kind in front."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
import uuid_utils.compat

from notifier.core.errors import Rejected


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()


def new_hex() -> str:
    """A new key's digits, where nothing but these is wanted: a fifth of the work."""
    return uuid_utils.uuid7().hex


def first_at(at: datetime) -> UUID:
    """Keys that are made at that time or later are not less than this; earlier ones are. None is of before 1970."""
    return UUID(int=max(int(at.timestamp() * 1000), 0) << 80)


def made_at(key: UUID) -> datetime:
    """By the clock of the machine that made it."""
    return datetime.fromtimestamp((key.int >> 80) / 1000, UTC)


def show(kind: str, key: UUID) -> str:
    """`show("ntf", key)` → `ntf_0193…`: letters, digits and `_` only, which is also what RQ takes as a job id."""
    return f"{kind}_{key.hex}"


def parse(kind: str, text: str) -> UUID:
    """The key behind a shown id. Raises `Rejected('not_found')` for anything that is not one of that kind."""
    prefix, _, digits = text.partition("_")
    if prefix != kind or len(digits) != 32:
        raise Rejected("not_found", f"there is no {text[:80]!r}")
    try:
        return UUID(hex=digits)
    except ValueError:
        raise Rejected("not_found", f"there is no {text[:80]!r}") from None


def parse_many(kind: str, texts: Iterable[str]) -> list[UUID]:
    """The keys behind shown ids, without repeats; what is no id of that kind is left out, as is fitting where unknown
    ids are ignored.
    """
    keys: dict[UUID, None] = {}
    for shown in texts:
        with suppress(Rejected):
            keys[parse(kind, shown)] = None
    return list(keys)
