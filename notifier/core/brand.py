"""The brand of mails: a name, a logo, a colour and an address, of the installation and of producers that differ.

Every colour a mail needs is derived from the brand's one, so that what is written with it or on it can be read
(WCAG 2.2, 1.4.3: a contrast of 4.5 for text).
"""

import functools
import re
from dataclasses import dataclass

LONGEST_NAME = 60
LONGEST_ADDRESS = 300
MOST_LINES = 6  # of an address
LONGEST_LOGO = 500
ENOUGH = 4.5

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_WHITE, _BLACK = "#ffffff", "#000000"
_LEAST_LIGHT = "#f2f4f7"  # what stands around the card of a mail; the card itself is white


@dataclass(frozen=True, slots=True)
class Brand:
    """All plain text. `logo`: an https URL; there is none without a name, which is shown where pictures are off.
    `accent`: a colour, `#rrggbb`, small letters. `address`: of several lines.
    """

    name: str | None = None
    logo: str | None = None
    accent: str | None = None
    address: str | None = None

    def over(self, base: "Brand") -> "Brand":
        """A producer's brand over the installation's. Name and logo go together: no name beside another's logo."""
        shown = self if self.name else base
        return Brand(shown.name, shown.logo, self.accent or base.accent, self.address or base.address)


NO_BRAND = Brand()


def is_colour(text: str) -> bool:
    return _COLOUR.fullmatch(text) is not None


def contrast(one: str, other: str) -> float:
    """From 1 to 21, as WCAG defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@functools.lru_cache(maxsize=1_000)  # every mail asks, and there are as many answers as brands
def text_on(colour: str) -> str:
    """White where it can be read on the colour, else black, which then can."""
    return _WHITE if contrast(colour, _WHITE) >= ENOUGH else _BLACK


@functools.lru_cache(maxsize=1_000)
def as_text(colour: str) -> str:
    """The colour, or the first darker shade of it that can be read on a light ground."""
    red, green, blue = _channels(colour)
    for share in range(100, -1, -2):
        shade = f"#{red * share // 100:02x}{green * share // 100:02x}{blue * share // 100:02x}"
        if contrast(shade, _LEAST_LIGHT) >= ENOUGH:
            return shade
    return _BLACK


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    shares = [value / 255 for value in _channels(colour)]
    red, green, blue = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
