"""SMS: GSM-7 if its alphabet suffices, else UCS-2; the segments that are billed; and the text as it is sent.

3GPP TS 23.038 and 23.040. The editor counts with the functions with which messages are made.
"""

import string
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from notifier.core.shortening import cut

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ "
    f"!\"#¤%&'()*+,-./{string.digits}:;<=>?¡{string.ascii_uppercase}ÄÖÑÜ§¿{string.ascii_lowercase}äöñüà"
)
_GSM_EXTENSION = frozenset("^{}\\[~]|€\f")  # an escape and a character: two places, and never apart
_ALL_GSM = _GSM | _GSM_EXTENSION

# What formats and shortening add to a text: an ellipsis, the apostrophe in 1’000, a minus sign.
_OF_OUR_OWN = str.maketrans({"…": "...", "\u2019": "'", "\u2212": "-"})
# Signs that editors of texts set by themselves, and that a plain one can stand for. Letters are left as they are.
_TYPOGRAPHIC = _OF_OUR_OWN | str.maketrans(
    {
        **dict.fromkeys("\u2018\u201a\u201b\u2032\u2039\u203a\u00b4\u0060", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2022", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f", " "),
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff", ""),
        "\u00d7": "x",
        "\u00b7": ".",
    }
)


@dataclass(frozen=True, slots=True)
class Segments:
    """`places` is the length as the network counts it: septets, or units of UTF-16."""

    count: int
    places: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Price:
    """Of one segment."""

    amount: Decimal
    currency: str

    @classmethod
    def parse(cls, text: str) -> "Price":
        """`0.075 EUR`. Raises ValueError."""
        amount, _, currency = text.strip().partition(" ")
        try:
            value = Decimal(amount)
        except InvalidOperation:
            value = Decimal(-1)
        if not (value.is_finite() and 0 <= value < 1_000 and len(amount) <= 12):
            raise ValueError("must be an amount and a currency, such as 0.075 EUR")
        if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
            raise ValueError("must end in a currency of three letters, such as 0.075 EUR")
        return cls(value, currency)

    def of(self, count: int) -> str:
        return f"{self.amount * count:f} {self.currency}"


def is_gsm(text: str) -> bool:
    return _GSM.issuperset(text) or _ALL_GSM.issuperset(text)


def beyond_gsm(text: str) -> tuple[str, ...]:
    """The characters that make an SMS one of UCS-2, each once, in their order."""
    return tuple(dict.fromkeys(character for character in text if character not in _ALL_GSM))


def sms_text(text: str, longest: int | None, *, is_plain: bool = False) -> str:
    """The text as it is sent, shortened to `longest` characters.

    Signs of our own become those of GSM-7, and with `is_plain` all typographic ones do, where all the rest is in it and
    no segment more is needed for that. What is in GSM-7 stays in it.
    """
    if is_gsm(text) and (longest is None or len(text) <= longest):
        return text
    plain = cut(text.translate(_TYPOGRAPHIC if is_plain else _OF_OUR_OWN), longest, "...")
    short = cut(text, longest)
    return plain if is_gsm(plain) and (is_gsm(text) or len(parts(plain)) <= len(parts(short))) else short


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
    if 2 * len(text) <= whole:
        return [text]  # nothing takes more than two places
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
