"""The shapes of what is known of people: their ids, their locales, and the texts that can be stored."""

import re
from typing import Any

LONGEST_NAME = 200
LONGEST_REGION = 64
LARGEST_ATTRIBUTES = 64 * 1024  # bytes of JSON: each condition on attributes reads all that a person has
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL, and half a surrogate pair
_USER_ID = re.compile(r"[A-Za-z0-9._@+-]{1,128}\Z")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*\Z")


def storable(text: str, longest: int) -> str:
    """What a stranger says, as both databases take it."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:longest]


def parse_user_id(value: Any) -> str:
    """A user id as a producer gives it; an integer is taken as its text. Raises ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _USER_ID.match(text):
        raise ValueError("a user id is 1 to 128 of A-Z a-z 0-9 . _ @ + -")
    return text


def parse_locale(value: str) -> str:
    """→ with hyphens. Raises ValueError."""
    if len(value) > 35 or not _LOCALE.match(value):
        raise ValueError("a locale is written as de or pt-BR")
    return value.replace("_", "-")
