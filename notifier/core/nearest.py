"""What somebody is likely to have meant: of names that are known, the one that is spelled most alike."""

import difflib
from collections.abc import Iterable
from itertools import islice

_LIKENESS = 0.75
_LONGEST = 64  # characters, of a word that is looked at
_MOST = 500  # names that a word is compared with
_DIFFERENCE = 3  # in length


def nearest(word: str, known: Iterable[str]) -> str | None:
    """None where none is alike. The work is bounded, whatever is asked: a thirtieth of a second at most."""
    if len(word) > _LONGEST:
        return None
    alike = (name for name in known if abs(len(name) - len(word)) <= _DIFFERENCE)
    found = difflib.get_close_matches(word.lower(), islice(alike, _MOST), n=1, cutoff=_LIKENESS)
    return found[0] if found else None
