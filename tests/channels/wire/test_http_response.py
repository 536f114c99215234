"""The head of an answer: read as http.client reads it, whatever a server writes."""

import http.client
import socket
from typing import Any

import pytest

from notifier.channels.wire.http_response import TimedResponse

BODY = b"4\r\nbody\r\n0\r\n\r\n"

HEADS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length:4\r\nX: a\r\nX: b\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/0.9 200 OK\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nFolded: one\r\n two\r\n\tthree\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX:  \t spaces in front and behind \t \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \xe4 in Latin-1\r\nY: \x85 and \x00 and \x0c and \r in the middle\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno name and no value\r\nContent-Length: 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 4\nX: lines end as in Unix\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100 + b"\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 99 + b"\r\n",
    b"HTTP/1.1 nonsense\r\n\r\n",
    b"",
)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: repr(head[:60]))
def test_it_is_read_as_by_the_standard_library(head: bytes) -> None:
    assert _read(head, TimedResponse, total_s=5) == _read(head, http.client.HTTPResponse)


def _read(head: bytes, kind: Any, **options: Any) -> Any:
    """What is made of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        theirs.sendall(head + BODY)
        theirs.shutdown(socket.SHUT_WR)
        response = kind(ours, method="POST", **options)
        try:
            response.begin()
        except http.client.HTTPException:
            return "no answer"
        facts = [getattr(response, name) for name in ("status", "reason", "version", "length", "will_close")]
        return facts, bool(response.chunked), response.headers.items(), _body(response)


def _body(response: Any) -> bytes | str:
    try:
        return bytes(response.read())
    except http.client.HTTPException as error:
        return type(error).__name__
