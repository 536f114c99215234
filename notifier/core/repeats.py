"""Repeats: which contents are the same, and for how long a repeat is left out.

Called by `planning.orders` and `planning.repeats`. Two notifications are compared by the text that `content` returns;
nothing is stored or hashed here.
"""

import json
import re
import unicodedata
from collections.abc import Collection
from decimal import Decimal
from typing import Any

DEFAULT_WINDOW_S = 3_600

_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # digests of it are stored

# Digits, with separators between them. No-break spaces and apostrophes group digits in French and Swiss writing. Each
# run is tried once.
_NUMBER = re.compile(r"(?<!\d)\d++(?:[.,'’\u00a0\u202f]\d++)+")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([.,'’\u00a0\u202f])\d{3})(?:\1\d{3})*\Z")


def window_s(asked: bool | None, type_window_s: int | None) -> int | None:
    """For how many seconds a notification is remembered, whether or not it asks about earlier ones itself; None: not at
    all.

    A type without a window has one of an hour, for later ones with `dedupe: true`. A window of 0 stops that for all
    others.
    """
    return None if type_window_s == 0 and not asked else type_window_s or DEFAULT_WINDOW_S


def is_left_out(asked: bool | None, type_window_s: int | None, *, is_mandatory: bool) -> bool:
    """Whether it is left out when it was said before.

    A submission that says nothing leaves it to its type; what is mandatory is repeated unless the submission asks
    otherwise.
    """
    return bool(type_window_s) and not is_mandatory if asked is None else asked


def content(
    scope: str,
    type: str,
    template: str,
    channels: Collection[str],
    send_at: str,
    data: Any,
    *,
    near: bool,
    addresses: Collection[str] = (),
) -> str:
    """The text by which two notifications are compared. It differs for different times and for different scopes (a
    producer's, a test key's).

    `channels`: those requested by name. A repeat on another channel is intended: the news by mail, then by SMS. `near`:
    case, spaces and the formatting of numbers make no difference. `addresses`: digests of those used in place of the
    person's own. A repeat to a corrected address is intended. Without any, the text is what it was before addresses
    were compared, so that marks of that time still count.
    """
    said = [scope, type, template, sorted(set(channels)), send_at, _plain(data) if near else data]
    if addresses:
        said.append(sorted(set(addresses)))
    return _sorted(said)


def _plain(value: Any) -> Any:
    """The value without what does not matter, at every level."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _without_zeros(*format(Decimal(str(value)), "f").partition(".")[::2])
    return value


def plain_text(text: str) -> str:
    """`" Now  1,000.00 EUR"` → `"now 1000 eur"`."""
    with_numbers = _NUMBER.sub(lambda found: _number(found.group()), text)
    return " ".join(unicodedata.normalize("NFKC", with_numbers).casefold().split())


def _number(text: str) -> str:
    """`1,000.00`, `1.000,00`, `1'000` → `1000`. What is no number (a date, a version, an address) comes back as it is.

    One separator before three digits groups (1,000), unless what stands before it is a zero or longer than three
    digits.
    """
    whole, separator, fraction = _split_decimals(text)
    grouped = _GROUPED.match(whole)
    if grouped is not None and grouped[1] != separator:
        whole = whole.replace(grouped[1], "")
    if not whole.isdecimal():
        return text
    return _without_zeros(whole, fraction)


def _without_zeros(whole: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _split_decimals(text: str) -> tuple[str, str, str]:
    """The part before the decimals, the separator and the decimals; the last two empty where there are none."""
    last = max(text.rfind("."), text.rfind(","))
    if last < 0 or text.count(text[last]) > 1 or _GROUPED.match(text):
        return text, "", ""
    return text[:last], text[last], text[last + 1 :]
