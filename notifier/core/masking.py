"""A notification's data as an admin may see it: enough to understand it, but nothing that would let them act as its
recipient.

Codes, tokens and passwords are recognised by their field's name; links lose their query and anything in their path that
looks like a token; e-mail addresses and phone numbers keep a letter and the last digits.
"""

import re
from collections.abc import Mapping
from typing import Any

MASK = "•••"

_SECRET_NAME = re.compile(
    r"code|token|secret|passw|otp|(^|_)pin($|_)|(^|_)key($|_)|credential|iban|card_?number|cvc", re.IGNORECASE
)
_SHOWN_CODES = re.compile(
    r"country_?code|currency_?code|language_?code|post(al)?_?code|zip_?code|promo|discount|coupon|status_?code|error_?code",
    re.IGNORECASE,
)
_URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)
_PARTS = re.compile(
    r"(?P<scheme>https?://)(?:[^/?#]*@)?(?P<host>[^/?#@]*)(?P<path>[^?#]*)(?P<mark>[?#]?).*", re.IGNORECASE | re.DOTALL
)
# Tried once for each run of letters: texts may be long
_EMAIL = re.compile(r"(?<![\w.+-])([\w.+-])[\w.+-]*+@([\w-]+\.[\w.-]+)")
_PHONE = re.compile(r"(?<![\w.-])\+\d[\d ()/-]{5,}(\d{2})(?!\w)")
_TOKEN = re.compile(r"(?=[\w.~=-]*\d)[\w.~=-]{20,}")
_DEEPEST = 8


def masked(data: Any, name: str = "", depth: int = 0) -> Any:
    """The same shape, fit to be shown."""
    if depth > _DEEPEST:
        return "…"
    if data is None or isinstance(data, bool):
        return data
    if _SECRET_NAME.search(name) and not _SHOWN_CODES.search(name):
        return MASK
    if isinstance(data, Mapping):
        return {str(key): masked(value, str(key), depth + 1) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [masked(value, "", depth + 1) for value in data]
    return masked_text(data) if isinstance(data, str) else data


def masked_text(text: str) -> str:
    text = _URL.sub(lambda found: _link(found[0]), text)
    text = _EMAIL.sub(rf"\1{MASK}@\2", text)
    return _PHONE.sub(rf"{MASK}\1", text)


def _link(url: str) -> str:
    found = _PARTS.fullmatch(url)
    if found is None:
        return MASK
    path = "/".join(MASK if _TOKEN.fullmatch(part) else part for part in found["path"].split("/"))
    return f"{found['scheme']}{found['host']}{path}{found['mark']}{MASK if found['mark'] else ''}"
