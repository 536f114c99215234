"""Reads requests in front of the HTTP server: everything that clients send is limited in size and time, and so are
connections.

Used by wsgi.py only. Knows sockets, but not which server or threads are behind them. Requests are parsed strictly (RFC
9112) wherever two parsers could disagree (request smuggling): lines end with CRLF, none is folded, no space stands
before a colon, and a body has one length.
"""

import errno
import io
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from notifier.core.networks import neighbourhood

MOST_CONNECTIONS = 20_000  # open WebSockets count
KEPT_DESCRIPTORS = 256  # for the database's pool (SQLite: three each), Redis, what is listened on, logs
IDLE_S = 75.0  # until a request begins
HEAD_S = 10.0  # from its first byte until the end of its head
BODY_S = 60.0  # from there until the end of its body
SEND_S = 60.0  # for each piece of an answer; a silent WebSocket is noticed sooner, by the server's pings
# What is read past a refusal: a connection that is closed over unread bytes takes the answer with it.
LINGER_S, MOST_LINGERING = 1.0, 256 * 1024
MOST_LINE = 8_000  # bytes
MOST_HEAD = 32 * 1024
MOST_HEADERS = 100
MOST_BODY = 1024 * 1024  # read past, where nobody wanted it; what is wanted has the application's bound
MOST_CHUNK_LINE = 256
MOST_TRAILERS = 4 * 1024

_AT_ONCE = 64 * 1024
_NOTHING_LEFT_S = 0.1  # before accepting is tried again, when descriptors or memory have run out
_NOTHING_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_LISTENER_IS_GONE = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT}
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_ABSOLUTE = re.compile(r"https?://([^/?#@\\]+)(?:(/[^#]*)|(\?[^#]*))?", re.IGNORECASE)
_WEBSOCKET_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # RFC 6455, section 4.2.1: 16 bytes in base64
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FIRST_BYTES = frozenset(b"!#$%&'*+.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-\r")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_SINGLE = frozenset({"host", "content-length", "transfer-encoding", "sec-websocket-key"})

log = structlog.get_logger()


class Refused(Exception):
    """What was sent is no request that is answered. The reason is for its sender, and for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


NO_ROOM = Refused(503, "there are too many connections")
NOT_READY = Refused(503, "the service is starting, and waits for its database")


class BrokenBody(ValueError):
    """The body does not end as was announced, or not in time: whoever reads it answers 400."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. `length`: of the body in bytes; None: it comes in chunks.

    `line` is as it was sent; `target` is never absolute: its host stands in `fields` (RFC 9112, section 3.2.2).
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


def answer_of(refused: Refused) -> bytes:
    """The whole of an answer that no application gives; it is a problem (RFC 9457), as the API's are."""
    phrase = HTTPStatus(refused.status).phrase
    body = json.dumps(
        {"type": "about:blank", "title": phrase, "status": refused.status, "detail": refused.reason}
    ).encode()
    lines = [
        f"HTTP/1.1 {refused.status} {phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 5")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Incoming:
    """What one connection sends: a head, its body, the next head."""

    def __init__(self, connection: socket.socket, *, head_s: float = HEAD_S, body_s: float = BODY_S) -> None:
        self._connection = connection
        self._head_s, self._body_s = head_s, body_s
        self._buffer = bytearray()
        self._until = 0.0

    def head(self, begun: Callable[[], None]) -> Head | None:
        """The next request's; None when there is none. Calls `begun` once its first byte is there. Raises Refused."""
        buffer = self._buffer
        self._until = time.monotonic() + IDLE_S
        if buffer:
            time.sleep(0)  # the others' turn: one connection may send thousands of requests at once
        try:
            if not buffer and not self._more():
                return None
        except TimeoutError:
            return None
        begun()
        self._until = time.monotonic() + self._head_s
        looked_at = 0
        while (end := buffer.find(b"\r\n\r\n", looked_at)) < 0:
            self._look_at_part(looked_at)
            looked_at = max(0, len(buffer) - 3)
            try:
                if not self._more():
                    raise Refused(400, "the connection ended within a head")
            except TimeoutError:
                raise Refused(408, f"the head took longer than {self._head_s:g} s") from None
        if end > MOST_HEAD:
            raise Refused(431, "the head is too long")
        raw = bytes(buffer[:end])
        del buffer[: end + 4]
        return parse_head(raw.removeprefix(b"\r\n"))  # RFC 9112, section 2.2: an empty line before it is passed over

    def _look_at_part(self, looked_at: int) -> None:
        """Refuses at once what cannot become a head any more."""
        buffer = self._buffer
        if buffer[0] not in _FIRST_BYTES:
            raise Refused(400, "this is no HTTP")
        if _BARE_LINE_FEED.search(buffer, looked_at):
            raise Refused(400, "a line ends without a carriage return")
        if len(buffer) > MOST_LINE and b"\r\n" not in buffer[: MOST_LINE + 2]:
            raise Refused(414, "the request line is too long")
        if len(buffer) > MOST_HEAD:
            raise Refused(431, "the head is too long")

    def expect_body(self) -> None:
        """Its time begins."""
        self._until = time.monotonic() + self._body_s

    def line(self, most: int) -> bytes:
        """Up to the next CRLF, which is not part of it. Raises BrokenBody, TimeoutError."""
        buffer = self._buffer
        while (end := buffer.find(b"\n")) < 0:
            if len(buffer) > most:
                raise BrokenBody("a line of a chunked body is too long")
            if not self._more():
                raise BrokenBody("the connection ended within a body")
        if end > most:
            raise BrokenBody("a line of a chunked body is too long")
        if buffer[end - 1 : end] != b"\r":
            raise BrokenBody("a line of a chunked body ends without a carriage return")
        found = bytes(buffer[: end - 1])
        del buffer[: end + 1]
        return found

    def some(self, most: int) -> bytes:
        """What is there, `most` bytes at most. Raises BrokenBody at the end of the connection, TimeoutError."""
        if not self._buffer and not self._more(min(most, _AT_ONCE)):
            raise BrokenBody("the connection ended within a body")
        found = bytes(self._buffer[:most])
        del self._buffer[:most]
        return found

    def drain(self) -> None:
        """Reads on for a moment past what was refused, and lets it fall."""
        self._until = time.monotonic() + LINGER_S
        left = MOST_LINGERING
        with suppress(OSError):
            while left > 0 and self._more():
                left -= len(self._buffer)
                self._buffer.clear()

    def _more(self, most: int = _AT_ONCE) -> bool:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        try:
            data = self._connection.recv(most)
        finally:
            self._connection.settimeout(SEND_S)
        self._buffer += data
        return bool(data)


class Body(io.RawIOBase):
    """The body of a request, to be read to its end and not beyond. `length` None: it comes in chunks.

    `fault`: why it could not be read on; whoever reads gets a BrokenBody then.
    """

    def __init__(self, incoming: Incoming, length: int | None) -> None:
        super().__init__()
        self._incoming = incoming
        self._is_chunked = length is None
        self._left = length or 0  # of this chunk, or of the whole
        self._is_in_chunk = False
        self.has_ended = length == 0
        self.fault: str | None = None
        incoming.expect_body()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if self.fault:
            raise BrokenBody(self.fault)
        try:
            if self._is_chunked and not self._left and not self.has_ended:
                self._next_chunk()
            if self.has_ended:
                return 0
            data = self._incoming.some(min(self._left, len(target)))
        except TimeoutError:
            self.fault = "the body took too long"
            raise BrokenBody(self.fault) from None
        except (OSError, BrokenBody) as error:
            self.fault = str(error)
            raise BrokenBody(self.fault) from None
        target[: len(data)] = data
        self._left -= len(data)
        self.has_ended = not self._left and not self._is_chunked
        return len(data)

    def _next_chunk(self) -> None:
        if self._is_in_chunk and self._incoming.line(MOST_CHUNK_LINE) != b"":
            raise BrokenBody("a chunk is longer than it says")
        line = self._incoming.line(MOST_CHUNK_LINE)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise BrokenBody("the size of a chunk is malformed")
        self._left, self._is_in_chunk = int(size[1], 16), True
        if not self._left:
            left = MOST_TRAILERS
            while trailer := self._incoming.line(left):
                left -= len(trailer) + 2
                if left <= 0:
                    raise BrokenBody("the trailers are too long")
            self.has_ended = True

    def discard(self) -> bool:
        """Reads past what nobody wanted. False: it does not end within bounds, and the connection can carry no other
        request.
        """
        left = MOST_BODY
        waste = memoryview(bytearray(_AT_ONCE))
        try:
            while left > 0 and not self.has_ended:
                left -= self.readinto(waste)
        except BrokenBody:
            return False
        return self.has_ended


class Connections:
    """How many are open: all together, and for each network address (a whole /64 of IPv6). 0: no bound.

    One address never gets more than half of all.
    """

    def __init__(self, most: int, per_address: int) -> None:
        self.most, self.per_address = most, min(per_address, most // 2) if most else per_address
        self._all = 0
        self._open: Counter[str] = Counter()
        self._refused = 0  # in a row, since the last one that was admitted
        self._told: set[str] = set()  # addresses that hold too many

    def admit(self, address: str) -> bool:
        """Counts it, if there is room. Refusals are logged when they begin."""
        if self.most and self._all >= self.most:
            if not self._refused:
                log.warning("web.connections_refused", most=self.most)
            self._refused += 1
            return False
        place = neighbourhood(address)
        if self.per_address and self._open[place] >= self.per_address:
            if place not in self._told:
                log.warning("web.address_refused", address=place, most=self.per_address)
            self._told.add(place)
            return False
        if self._refused:
            log.info("web.connections_accepted_again", refused=self._refused)
            self._refused = 0
        self._all += 1
        self._open[place] += 1
        return True

    def ended(self, address: str) -> None:
        place = neighbourhood(address)
        self._all -= 1
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]
            self._told.discard(place)


class Listener:
    """A listening socket that hands on connections for which there is room, and refuses the others.

    Nothing but its own end ends `accept`.
    """

    def __init__(self, listening: socket.socket, connections: Connections) -> None:
        self._listening, self._connections = listening, connections
        self._has_failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> tuple[socket.socket, Any]:
        """Whoever gets the connection tells `connections` of its end. Raises OSError when the socket is no more."""
        while True:
            try:
                connection, address = self._listening.accept()
            except OSError as error:
                if error.errno in _LISTENER_IS_GONE:
                    raise
                self._cannot(error)
                continue
            self._has_failed = False
            if self._connections.admit(address[0]):
                return connection, address
            _turn_away(connection, NO_ROOM)

    def _cannot(self, error: OSError) -> None:
        """Mostly a connection ended before it was taken, and the next one is there;
        or nothing is left to take it with.
        """
        if error.errno in _NOTHING_LEFT:
            if not self._has_failed:
                log.error("web.cannot_accept", error=error.strerror)
            self._has_failed = True
            time.sleep(_NOTHING_LEFT_S)


def turn_away_waiting(listener: socket.socket, most: int) -> None:
    """Answers 503 to the connections, `most` at once, that wait at a socket before anybody can be served.

    Never blocks.
    """
    listener.setblocking(False)
    try:
        with suppress(OSError):  # nobody is left, or it does not listen yet
            for _ in range(most):
                connection, _address = listener.accept()
                with suppress(OSError):
                    connection.setblocking(False)
                    connection.recv(_AT_ONCE)  # unread bytes would make the close a reset, which loses the answer
                _turn_away(connection, NOT_READY)
    finally:
        listener.setblocking(True)


def _turn_away(connection: socket.socket, why: Refused) -> None:
    with suppress(OSError):
        connection.settimeout(LINGER_S)
        connection.send(answer_of(why))
    connection.close()
    time.sleep(0)  # the others' turn: those who are turned away may come without end


def client_of(peer: str, forwarded_for: str, proxies: int) -> str:
    """Who asks, where so many trusted proxies stand in front, each of which adds whom it was asked by."""
    addresses = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    return addresses[-proxies] if proxies and len(addresses) >= proxies else peer


def most_connections(descriptors: int) -> int:
    """For a process that may have so many open. A connection may need two: its own, and that of a file it is sent."""
    return max(0, min(MOST_CONNECTIONS, (descriptors - KEPT_DESCRIPTORS) // 2))
