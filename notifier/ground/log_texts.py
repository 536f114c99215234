"""What the log may say of what others wrote: exceptions, and the lines of libraries.

An exception's own text is left out, since nobody knows what it quotes: an address, a password in a URL, a provider's
answer. What remains is its kind and where it came from, with the lines of code, in which the constant part of the text
can be read. Some kinds are known to speak of code alone, or to have been cleaned.
"""

import re
import traceback
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
    seen: set[int] = set()
    links: list[tuple[BaseException, str]] = []
    current: BaseException | None = error
    joint = ""
    while current is not None and id(current) not in seen and len(links) < _MOST_CAUSES:
        seen.add(id(current))
        links.append((current, joint))
        if current.__cause__ is not None:
            current, joint = current.__cause__, "The above was the direct cause of:"
        elif current.__context__ is not None and not current.__suppress_context__:
            current, joint = current.__context__, "During the handling of the above there was:"
        else:
            current = None
    for one, joint_below in reversed(links):
        parts.append(_one(one))
        if joint_below:
            parts.append(joint_below)
    return "\n".join(parts)


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
