"""Parses the head of a request, strictly (RFC 9112) wherever two parsers could disagree (request smuggling).

Lines end with CRLF, none is folded, no space stands before a colon, and a body has one length. Used by `incoming`
and wsgi.py. Knows no sockets.
"""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

MOST_LINE = 8_000  # bytes
MOST_HEADERS = 100
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_ABSOLUTE = re.compile(r"https?://([^/?#@\\]+)(?:(/[^#]*)|(\?[^#]*))?", re.IGNORECASE)
_WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # RFC 6455, section 4.2.1: 16 bytes in base64
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_SINGLE = frozenset({"host", "content-length", "transfer-encoding", "sec-websocket-key"})


class Refused(Exception):
    """A request that is refused unread. The reason is for its sender, and for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


NO_ROOM = Refused(503, "there are too many connections")
NOT_READY = Refused(503, "the service is starting, and waits for its database")


class BrokenBody(ValueError):
    """The body does not end as announced, or not in time: the reader answers 400."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. `length`: of the body in bytes; None: the body comes in chunks.

    `line` is as it was sent; `target` is never absolute: its host is in `fields` (RFC 9112, section 3.2.2).
    """

    line: str
    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    length: int | None
    keeps_open: bool


def parse_head(raw: bytes) -> Head:
    """The lines of a head, without the empty one that ends it. Raises Refused."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    if len(first) > MOST_LINE:
        raise Refused(414, "the request line is too long")
    matched = _REQUEST_LINE.fullmatch(first)
    if matched is None:
        raise Refused(400, "this is no request line of HTTP/1.1")
    if len(lines) > MOST_HEADERS:
        raise Refused(431, f"there are more than {MOST_HEADERS} header fields")
    fields = []
    single: dict[str, str] = {}
    options: set[str] = set()  # of the connection
    for line in lines:
        if len(line) > MOST_LINE:
            raise Refused(431, "a header field is too long")
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Refused(400, "a header field is malformed")
        name, value = field[1], field[2].rstrip(" \t")
        fields.append((name, value))
        lowered = name.lower()
        if lowered in _SINGLE:
            if lowered in single:
                raise Refused(400, f"there is more than one {name}")
            single[lowered] = value
        elif lowered == "connection":
            options.update(option.strip() for option in value.lower().split(","))
    method, target, minor = matched.groups()
    if minor == "1" and "host" not in single:
        raise Refused(400, "there is no Host")
    if _WEBSOCKET_KEY.fullmatch(single.get("sec-websocket-key", "A" * 22 + "==")) is None:
        raise Refused(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        # The host of the target counts, whatever Host says, so that nobody behind us takes the other one.
        fields = [(name, value) for name, value in fields if name.lower() != "host"]
        fields.append(("Host", absolute[1]))
        target = absolute[2] or f"/{absolute[3] or ''}"
    keeps_open = "close" not in options if minor == "1" else "keep-alive" in options
    return Head(first, method, target, f"HTTP/1.{minor}", fields, _length(single, minor), keeps_open)


def _length(single: dict[str, str], minor: str) -> int | None:
    length, encoding = single.get("content-length"), single.get("transfer-encoding")
    if encoding is not None:
        if length is not None:
            raise Refused(400, "Content-Length and Transfer-Encoding exclude each other")
        if encoding.lower() != "chunked" or minor == "0":
            raise Refused(400, "the only Transfer-Encoding is chunked, in HTTP/1.1")
        return None
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise Refused(400, "Content-Length is no number")
    return int(length)


def answer_of(refused: Refused, request_id: str | None = None) -> bytes:
    """The whole of an answer that no application gives; it is a problem (RFC 9457), as the API's are."""
    phrase = HTTPStatus(refused.status).phrase
    problem = {"type": "about:blank", "title": phrase, "status": refused.status, "detail": refused.reason}
    body = json.dumps(problem if request_id is None else {**problem, "request_id": request_id}).encode()
    lines = [
        f"HTTP/1.1 {refused.status} {phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if request_id is not None:
        lines.append(f"X-Request-Id: {request_id}")
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 5")
    return "\r\n".join([*lines, "", ""]).encode() + body
