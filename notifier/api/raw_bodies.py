"""Bodies that are a file itself, larger than those of JSON may be, and read as they come."""

from collections.abc import Iterator

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.core.errors import Rejected

_AT_ONCE = 64 * 1024


def refuse_encoded() -> None:
    """Raises Rejected if the body is compressed."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise Rejected("unsupported_media_type", f"send the file without Content-Encoding ({encoding[:40]!r})")


def pieces(most: int) -> Iterator[bytes]:
    """The body, piece by piece. `most`: bytes. Raises RequestEntityTooLarge."""
    request.max_content_length = most + 1  # this byte shows that there are more: see `auth`
    length = 0
    while piece := request.stream.read(_AT_ONCE):
        length += len(piece)
        if length > most:
            raise RequestEntityTooLarge
        yield piece
