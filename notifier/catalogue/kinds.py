"""The kinds of data that event types share, as JSON Schema: a TOML file says `tracking_url = "url"`.

Additional keys are always allowed; a key named here must have the right type and a reasonable size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_LONGEST_URL = 2_048

KINDS: dict[str, dict[str, Any]] = {
    "id": {"type": "string", "minLength": 1, "maxLength": 128},
    "name": {"type": "string", "minLength": 1, "maxLength": 200},
    "word": {"type": "string", "minLength": 1, "maxLength": 100},
    "text": {"type": "string", "maxLength": 2_000},
    "long_text": {"type": "string", "minLength": 1, "maxLength": 50_000},
    "code": {"type": "string", "minLength": 1, "maxLength": 64},
    "url": {"type": "string", "pattern": r"^https?://[^\s\\]+$", "maxLength": _LONGEST_URL},
    # An ISO date or time is formatted for its reader, other text shown as it is
    "moment": {"type": "string", "maxLength": 64},
    "amount": {"type": ["number", "string"], "maxLength": 32},
    "currency": {"type": "string", "pattern": "^[A-Za-z]{3}$"},
    "items": {"type": "array", "maxItems": 1_000},
    "minutes": {"type": "integer", "minimum": 1, "maximum": 525_600},
    "count": {"type": "integer", "minimum": 0},
}

# The patterns in words, for what is refused: `name` must be …
FORMS: dict[str, str] = {
    KINDS["url"]["pattern"]: "a link that begins with https:// or http://, without spaces",
    KINDS["currency"]["pattern"]: "three letters, such as EUR",
}


def schema_of(data: Mapping[str, str], *, required: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of an object with these keys, each of the named kind."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": list(required),
        "properties": {name: KINDS[kind] for name, kind in data.items()},
        "additionalProperties": True,
    }
