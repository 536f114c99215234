"""Shortening texts for people: by one rule wherever a channel or a field has no room for more.

Pure. Lengths are in characters of Python, code points.
"""

import unicodedata

_JOINER = "\u200d"
_MOST_PARTS = 32  # of one character that people see; more is no writing


def cut(text: str, longest: int | None, ellipsis: str = "…") -> str:
    """At most `longest` characters, the last of them an ellipsis where something was left out."""
    if longest is None or len(text) <= longest:
        return text
    kept = text[: whole(text, max(longest - len(ellipsis), 0))]
    space = kept.rfind(" ")
    if space > longest * 0.8:  # rather a whole word less than half a word, but never a whole line less
        kept = kept[:space]
    return (kept.rstrip() + ellipsis)[:longest]


def cut_to_units(text: str, longest: int) -> str:
    """`cut`, where the receiver counts units of UTF-16: of most emoji each character has two."""
    most = longest
    while (over := units(cut(text, most)) - longest) > 0:
        most -= (over + 1) // 2
    return cut(text, most)


def units(text: str) -> int:
    """Of UTF-16."""
    return len(text.encode("utf-16-le", "replace")) // 2


def whole(text: str, end: int) -> int:
    """The last place up to `end` where no character that people see is cut in two: not before an accent, not within an
    emoji of several code points, not within a flag.
    """
    place = end
    while 0 < place < len(text) and end - place < _MOST_PARTS and _is_within(text, place):
        place -= 1
    return end if 0 < place < len(text) and _is_within(text, place) else place


def _is_within(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if before == _JOINER or after == _JOINER or _continues(after):
        return True
    if _is_of_a_flag(before) and _is_of_a_flag(after):
        begin = place
        while begin > 0 and _is_of_a_flag(text[begin - 1]):
            begin -= 1
        return (place - begin) % 2 == 1
    return False


def _continues(character: str) -> bool:
    """An accent or a vowel sign, a variation, a skin tone, a tag of a flag."""
    if character < "\u0300":
        return False
    return (
        unicodedata.category(character)[0] == "M"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )


def _is_of_a_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
