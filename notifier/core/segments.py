"""SMS parts: GSM-7 if its alphabet suffices, else UCS-2, and the number of parts.

3GPP TS 23.038 and 23.040.
"""

import string
from dataclasses import dataclass

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ "
    f"!\"#¤%&'()*+,-./{string.digits}:;<=>?¡{string.ascii_uppercase}ÄÖÑÜ§¿{string.ascii_lowercase}äöñüà"
)
_GSM_EXTENSION = frozenset("^{}\\[~]|€\f")  # an escape and a character: two places, and never apart

# What formats and shortening add to a text: an ellipsis, the apostrophe in 1’000, a minus sign.
_OF_OUR_OWN = str.maketrans({"…": "...", "\u2019": "'", "\u2212": "-"})


@dataclass(frozen=True, slots=True)
class Segments:
    """`places` is the length as the network counts it: septets, or units of UTF-16."""

    count: int
    places: int
    encoding: str


def is_gsm(text: str) -> bool:
    return _GSM.issuperset(text) or (_GSM | _GSM_EXTENSION).issuperset(text)


def with_plain_signs(text: str) -> str:
    """Signs of our own in GSM-7: where all the rest is in it, one of them would make an SMS twice as long."""
    return text.translate(_OF_OUR_OWN)


def segments(text: str) -> Segments:
    """With the basic alphabet only: phones and providers that know national tables (Turkish, Portuguese …) may need
    fewer.
    """
    encoding, places = ("GSM-7", _septets) if is_gsm(text) else ("UCS-2", _units)
    return Segments(len(parts(text)), sum(map(places, text)), encoding)


def parts(text: str) -> list[str]:
    """The text as it is divided: 160 places or 70, and less each when there are several.

    What takes two places stays together.
    """
    size, whole, part = (_septets, 160, 153) if is_gsm(text) else (_units, 70, 67)
    sizes = [size(character) for character in text]
    if sum(sizes) <= whole:
        return [text]
    found, begin, used = [], 0, 0
    for index, places in enumerate(sizes):
        if used + places > part:
            found.append(text[begin:index])
            begin, used = index, 0
        used += places
    return [*found, text[begin:]]


def _septets(character: str) -> int:
    return 2 if character in _GSM_EXTENSION else 1


def _units(character: str) -> int:
    return 2 if character > "\uffff" else 1
