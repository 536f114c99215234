"""How many SMS a text takes (3GPP TS 23.038): 160 characters of GSM-7, or 70 of UCS-2, and less each when split."""

from typing import NamedTuple

_GSM = frozenset("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà")
_GSM_EXTENSION = frozenset("^{}\\[~]|€\f")  # two places each


class Segments(NamedTuple):
    """`places` is the length as the network counts it."""

    count: int
    places: int
    encoding: str


def segments(text: str) -> Segments:
    if all(character in _GSM or character in _GSM_EXTENSION for character in text):
        places, encoding, whole, part = sum(2 if character in _GSM_EXTENSION else 1 for character in text), "GSM-7", 160, 153
    else:
        places, encoding, whole, part = len(text.encode("utf-16-le")) // 2, "UCS-2", 70, 67
    return Segments(1 if places <= whole else -(-places // part), places, encoding)
