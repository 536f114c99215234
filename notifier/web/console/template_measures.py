"""What the template editor measures of a message: the segments of an SMS and what they cost, and how much of a push
message a phone shows. With the sample data, and with the longest that the type's schema allows.
"""

import unicodedata
from dataclasses import dataclass

from notifier.channels.contract import Shape
from notifier.core.message import Content
from notifier.core.segments import Price, Segments, beyond_gsm, segments, sms_text
from notifier.core.shortening import whole


@dataclass(frozen=True, slots=True)
class Sms:
    """`forcing`: the characters that make it one of UCS-2, with their names. `saved`: how many segments fewer it would
    have with plain signs.
    """

    title: str
    segments: Segments
    forcing: tuple[str, ...]
    price: str | None
    saved: int


@dataclass(frozen=True, slots=True)
class Card:
    """A message on a platform's card: for each text what is shown of it, and what is not."""

    platform: str
    title: tuple[str, str]
    body: tuple[str, str]


def counted(title: str, content: Content, shape: Shape, price: Price | None) -> Sms:
    told = segments(content.body)
    plain = segments(sms_text(content.body, shape.longest_body, is_plain=True))
    forcing = tuple(f"{character} ({_name(character)})" for character in beyond_gsm(content.body))
    return Sms(title, told, forcing, price.of(told.count) if price else None, told.count - plain.count)


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}").lower()


def cards(content: Content, shape: Shape) -> list[Card]:
    return [
        Card(card.platform, _shown(content.title, card.title), _shown(content.body, card.body)) for card in shape.cards
    ]


def _shown(text: str, most: int) -> tuple[str, str]:
    end = whole(text, most) if len(text) > most else len(text)
    return text[:end], text[end:]
