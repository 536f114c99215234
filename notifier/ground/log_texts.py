"""What the log may say of what others wrote: exceptions, and the lines of libraries.

An exception's own text is left out, since nobody knows what it quotes: an address, a password in a URL, a provider's
answer. What remains is its kind and where it came from, with the lines of code, in which the constant part of the text
can be read. Some kinds are known to speak of code alone, or to have been cleaned.
"""

import re
import traceback
from collections.abc import Iterator
from types import TracebackType

from sqlalchemy.exc import DBAPIError

from notifier.core.masking import MASK, masked_text

_MOST_CAUSES = 8
_OF_CODE = (ArithmeticError, AttributeError, ImportError, NameError, NotImplementedError, RecursionError, TypeError)
_MOST_TEXT = 1_000  # characters: of longer ones the expressions would take their time
_URL = re.compile(r"\b([a-z][a-z0-9+.-]{,20})://[^\s\"'<>)\]]*", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic) +\S+", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w~=+/-])(?=[\w~=+/-]*\d)[\w~=+/-]{20,}")


def trace_of(error: BaseException) -> str:
    """As the interpreter prints it, causes first, without the texts."""
    parts: list[str] = []
    for one, joint in reversed(list(_causes(error))):
        parts += [joint, _one(one)] if joint and parts else [_one(one)]
    return "\n".join(parts)


def _causes(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """It and what led to it, the latest first; with the words that stand between each and its cause."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _MOST_CAUSES:
        seen.add(id(current))
        cause = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        joint = "The above was the direct cause of:" if current.__cause__ else "While it was handled, this happened:"
        yield current, joint if cause else ""
        current = cause


def _one(error: BaseException) -> str:
    frames = f"Traceback (most recent call last):\n{_frames(error.__traceback__)}" if error.__traceback__ else ""
    return frames + said_by(error)


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    for frame in frames:
        if not frame.filename.endswith(".py"):
            frame._line = ""  # type: ignore[attr-defined]  # of a template: somebody's words
    return "".join(frames.format())


def said_by(error: BaseException) -> str:
    """Its kind, and its text if that is known to quote nothing."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    text = _text(error)
    return f"{name}: {text}" if text else name


def _text(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        return without_secrets(str(error.orig))  # `ground.database` has taken the values out
    if isinstance(error, OSError):
        return error.strerror or ""
    return without_secrets(str(error)) if isinstance(error, _OF_CODE) else ""


def without_secrets(text: str) -> str:
    """Of a library's line: no address, no URL beyond its scheme, nothing that looks like a token."""
    text = text[:_MOST_TEXT]
    text = _BEARER.sub(rf"\1 {MASK}", _URL.sub(rf"\1://{MASK}", text))
    return _TOKEN.sub(MASK, masked_text(text))
