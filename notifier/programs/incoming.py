"""Reads requests from a connection: heads and bodies are limited in size, and in time from first byte to last.

Used by wsgi.py, through `guard`'s connections. Knows sockets, but not which server or threads are behind them.
"""

import io
import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from notifier.programs.heads import MOST_LINE, BrokenBody, Head, Refused, parse_head

IDLE_S = 75.0  # until a request begins
SEND_S = 60.0  # for each piece of an answer; a silent WebSocket is noticed sooner, by the server's pings
HEAD_S = 10.0  # from its first byte until the end of its head
BODY_S = 60.0  # from there until the end of its body; and longer for a large one, as long as it keeps coming
SLOWEST = 128 * 1024  # bytes a second: what came buys so much time for the rest
# What is read past a refusal: a connection that is closed over unread bytes takes the answer with it.
LINGER_S, MOST_LINGERING = 1.0, 256 * 1024
MOST_HEAD = 32 * 1024
MOST_BODY = 1024 * 1024  # read past, where nobody wanted it; what is wanted has the application's bound
MOST_CHUNK_LINE = 256
MOST_TRAILERS = 4 * 1024
AT_ONCE = 64 * 1024
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_FIRST_BYTES = frozenset(b"!#$%&'*+.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-\r")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*)?")


class Incoming:
    """The input of one connection: a head, its body, the next head."""

    def __init__(self, connection: socket.socket, *, head_s: float = HEAD_S, body_s: float = BODY_S) -> None:
        self._connection = connection
        self._head_s, self._body_s = head_s, body_s
        self._buffer = bytearray()
        self._until = 0.0

    def head(self, begun: Callable[[], None]) -> Head | None:
        """The head of the next request; None if there is none. Calls `begun` once its first byte is there. Raises
        Refused.
        """
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
        """Refuses at once a beginning that cannot become a valid head."""
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
        """Starts the time limit of a body."""
        self._until = time.monotonic() + self._body_s

    def prolong(self, received: int) -> None:
        """So many bytes of the body have come."""
        self._until += received / SLOWEST

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
        """The bytes that are there, at most `most`. Raises BrokenBody at the end of the connection, TimeoutError."""
        if not self._buffer and not self._more(min(most, AT_ONCE)):
            raise BrokenBody("the connection ended within a body")
        found = bytes(self._buffer[:most])
        del self._buffer[:most]
        return found

    def drain(self) -> None:
        """Reads and discards the rest of a refused request, for a moment."""
        self._until = time.monotonic() + LINGER_S
        left = MOST_LINGERING
        with suppress(OSError):
            while left > 0 and self._more():
                left -= len(self._buffer)
                self._buffer.clear()

    def _more(self, most: int = AT_ONCE) -> bool:
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

    `fault`: why reading failed; the reader then gets a BrokenBody.
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
        self._incoming.prolong(len(data))
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
        """Reads past the rest that no handler has read. False: the body does not end within bounds, and the connection
        can carry no other request.
        """
        left = MOST_BODY
        waste = memoryview(bytearray(AT_ONCE))
        try:
            while left > 0 and not self.has_ended:
                left -= self.readinto(waste)
        except BrokenBody:
            return False
        return self.has_ended
