"""What strangers may send, and how many of them there may be: over real sockets, without a server behind."""

import errno
import io
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from notifier.programs import guard, heads, incoming
from notifier.programs.guard import Connections, Listener
from notifier.programs.heads import Head, Refused
from notifier.programs.incoming import Body, Incoming

START = b"POST /x HTTP/1.1\r\nHost: shop.example\r\n"


class Wire:
    """Two ends of a connection: `send` on one, `incoming` reads the other."""

    def __init__(self, **times: float) -> None:
        self.client, self.server = socket.socketpair()
        self.incoming = Incoming(self.server, **times)
        self.heads_begun = 0

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """From a thread, since nobody may be reading."""

        def run() -> None:
            try:
                self.client.sendall(data)
                if ends:
                    self.client.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused midway

        threading.Thread(target=run, daemon=True).start()

    def head(self) -> Head | None:
        return self.incoming.head(self._note)

    def _note(self) -> None:
        self.heads_begun += 1

    def refusal(self) -> Refused:
        with pytest.raises(Refused) as caught:
            self.head()
        return caught.value

    def body(self, length: int | None) -> bytes:
        return io.BufferedReader(Body(self.incoming, length)).read()

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/a?b=c", 0, True)),
        (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/", 0, True)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", ("GET", "/", 0, False)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, close\r\n\r\n", ("GET", "/", 0, False)),
        (b"GET / HTTP/1.0\r\n\r\n", ("GET", "/", 0, False)),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ("GET", "/", 0, True)),
        (b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", ("OPTIONS", "*", 0, True)),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX-Name: Zo\xeb\r\n\r\n", ("GET", "/caf\xc3\xa9", 0, True)),
        (b"GET http://x/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/a?b=c", 0, True)),
        (b"GET HTTPS://x:8000 HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/", 0, True)),
        (b"GET http://x?b=http://y/ HTTP/1.1\r\nHost: x\r\n\r\n", ("GET", "/?b=http://y/", 0, True)),
        (START + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", ("POST", "/x", 0, True)),
        (START + b"Content-Length: 12\r\n\r\n", ("POST", "/x", 12, True)),
        (START + b"content-length:12 \t\r\n\r\n", ("POST", "/x", 12, True)),
        (START + b"Transfer-Encoding: Chunked\r\n\r\n", ("POST", "/x", None, True)),
        (START + b"Cookie: a=1\r\nCookie: b=2\r\n\r\n", ("POST", "/x", 0, True)),
        (START + b"".join(b"X-%d: y\r\n" % n for n in range(99)) + b"\r\n", ("POST", "/x", 0, True)),
    ],
)
def test_a_proper_head_is_read(wire: Wire, sent: bytes, expected: tuple[Any, ...]) -> None:
    wire.send(sent)
    head = wire.head()
    assert head
    assert (head.method, head.target, head.length, head.keeps_open) == expected
    assert wire.heads_begun == 1


def test_the_host_of_an_absolute_target_stands_before_the_header(wire: Wire) -> None:
    wire.send(b"GET http://shop.example:8000/x HTTP/1.1\r\nHOST: other.example\r\nX: y\r\n\r\n")
    head = wire.head()
    assert head
    assert head.fields == [("X", "y"), ("Host", "shop.example:8000")]


MALFORMED = {
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01", 400, "no HTTP"),
    "no version": (b"GET /\r\n\r\n", 400, "request line"),
    "another version": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400, "request line"),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "request line"),
    "a method of no token": (b"GE(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "request line"),
    "a control character in the path": (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "request line"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "more than one Host"),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n", 400, "carriage return"),
    "one bare line feed": (b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", 400, "malformed"),
    "a bare carriage return": (b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", 400, "malformed"),
    "a space before the colon": (START + b"Content-Length : 1\r\n\r\n", 400, "malformed"),
    "a folded line": (START + b"X: a\r\n b\r\n\r\n", 400, "malformed"),
    "no colon": (START + b"nonsense\r\n\r\n", 400, "malformed"),
    "no name": (START + b": x\r\n\r\n", 400, "malformed"),
    "NUL in a value": (START + b"X: a\x00b\r\n\r\n", 400, "malformed"),
    "two differing lengths": (
        START + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "more than one Content-Length",
    ),
    "two equal lengths": (
        START + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        400,
        "more than one Content-Length",
    ),
    "lengths in one field": (START + b"Content-Length: 1, 1\r\n\r\n", 400, "no number"),
    "a signed length": (START + b"Content-Length: +1\r\n\r\n", 400, "no number"),
    "a negative length": (START + b"Content-Length: -1\r\n\r\n", 400, "no number"),
    "a length as Python writes it": (START + b"Content-Length: 1_0\r\n\r\n", 400, "no number"),
    "a length of other digits": (START + b"Content-Length: \xb2\r\n\r\n", 400, "no number"),
    "an empty length": (START + b"Content-Length:\r\n\r\n", 400, "no number"),
    "a length of fifty digits": (START + b"Content-Length: " + b"1" * 50 + b"\r\n\r\n", 400, "no number"),
    "length and encoding": (
        START + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "exclude each other",
    ),
    "two encodings": (
        START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
        "more than one Transfer-Encoding",
    ),
    "encodings in one field": (
        START + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        400,
        "only Transfer-Encoding is chunked",
    ),
    "an unknown encoding": (START + b"Transfer-Encoding: xchunked\r\n\r\n", 400, "only Transfer-Encoding is chunked"),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "only Transfer-Encoding is chunked",
    ),
    "a short WebSocket key": (START + b"Sec-WebSocket-Key: x\r\n\r\n", 400, "Sec-WebSocket-Key"),
    "no WebSocket key": (START + b"Sec-WebSocket-Key:\r\n\r\n", 400, "Sec-WebSocket-Key"),
    "a WebSocket key of 15 bytes": (
        START + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n\r\n",
        400,
        "Sec-WebSocket-Key",
    ),
    "a WebSocket key with bits left over": (
        START + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n",
        400,
        "Sec-WebSocket-Key",
    ),
    "a long request line": (
        b"GET /" + b"a" * heads.MOST_LINE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        414,
        "request line is too long",
    ),
    "a request line without end": (b"GET /" + b"a" * 4_000_000, 414, "request line is too long"),
    "a long header field": (START + b"X: " + b"a" * heads.MOST_LINE + b"\r\n\r\n", 431, "field is too long"),
    "a header field without end": (START + b"X: " + b"a" * 4_000_000, 431, "head is too long"),
    "many header fields": (START + b"X: y\r\n" * 100 + b"\r\n", 431, "more than 100"),
    "a head without end": (START + b"X: y\r\n" * 400_000, 431, "head is too long"),
}


@pytest.mark.parametrize(("sent", "status", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_head_is_refused_at_once(wire: Wire, sent: bytes, status: int, reason: str) -> None:
    wire.send(sent)
    refused = wire.refusal()
    assert (refused.status, reason in refused.reason) == (status, True), refused.reason


def test_what_is_kept_of_a_head_without_end_is_bounded(wire: Wire) -> None:
    wire.send(START + b"X: " + b"a" * 4_000_000)
    wire.refusal()
    assert len(wire.incoming._buffer) <= incoming.MOST_HEAD + incoming.AT_ONCE


def test_a_head_may_come_byte_by_byte(wire: Wire) -> None:
    wire.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

    def trickle() -> None:
        for n in range(len(START) + 2):
            wire.client.sendall((START + b"\r\n")[n : n + 1])

    threading.Thread(target=trickle, daemon=True).start()
    head = wire.head()
    assert head
    assert head.target == "/x"


def test_a_head_has_a_time_however_often_a_byte_of_it_comes() -> None:
    wire = Wire(head_s=0.3)
    has_ended = threading.Event()

    def trickle() -> None:
        wire.client.sendall(START)
        while not has_ended.wait(0.02):
            wire.client.sendall(b"X: y\r\n")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    assert wire.refusal().status == 408
    has_ended.set()
    thread.join()
    wire.close()


@pytest.mark.parametrize("sent", [b"", b"\r\n", START], ids=["nothing", "an empty line", "half a head"])
def test_a_connection_that_ends_early_is_no_request(wire: Wire, sent: bytes) -> None:
    wire.send(sent, ends=True)
    if sent:
        assert wire.refusal().status == 400
    else:
        assert wire.head() is None


def test_requests_one_behind_the_other_are_read_each_for_itself(wire: Wire) -> None:
    wire.send(
        START
        + b"Content-Length: 3\r\n\r\nabc"
        + START
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
        + b"GET /y HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    first = wire.head()
    assert first
    assert wire.body(first.length) == b"abc"
    second = wire.head()
    assert second
    assert wire.body(second.length) == b"de"
    third = wire.head()
    assert third
    assert third.target == "/y"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n00a\r\n, world!\r\n\r\n0\r\n\r\n", b"hello, world!\r\n"),
        (b"A;name=value\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"1\r\na\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\n", b"a"),
    ],
)
def test_chunks_are_put_together(wire: Wire, sent: bytes, expected: bytes) -> None:
    wire.send(sent)
    assert wire.body(None) == expected


BROKEN_CHUNKS = {
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nhello\r\n0\r\n\r\n",
    "a size as Python writes it": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size of a hundred digits": b"0" * 100 + b"5\r\nhello\r\n0\r\n\r\n",
    "a bare line feed after the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare line feed after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "no line end after the chunk": b"5\r\nhello0\r\n\r\n",
    "a chunk longer than it says": b"5\r\nhello, world\r\n0\r\n\r\n",
    "a size without end": b"5;" + b"a" * 4_000_000,
    "a trailer without end": b"0\r\nX: " + b"a" * 4_000_000,
    "trailers without end": b"0\r\n" + b"X: y\r\n" * 400_000,
    "a bare line feed after a trailer": b"0\r\nX: y\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
@pytest.mark.parametrize("is_wanted", [True, False], ids=["read", "discarded"])
def test_broken_chunks_end_the_request(wire: Wire, sent: bytes, is_wanted: bool) -> None:
    wire.send(sent)
    body = Body(wire.incoming, None)
    if is_wanted:
        with pytest.raises(heads.BrokenBody):
            io.BufferedReader(body).read()
    else:
        assert not body.discard()
    assert body.fault
    assert len(wire.incoming._buffer) <= incoming.MOST_TRAILERS + incoming.AT_ONCE


def test_a_body_that_ends_early_is_broken(wire: Wire) -> None:
    wire.send(b"abc", ends=True)
    with pytest.raises(heads.BrokenBody):
        wire.body(4)


def test_a_body_has_a_time_however_often_a_byte_of_it_comes() -> None:
    wire = Wire(body_s=0.3)
    has_ended = threading.Event()

    def trickle() -> None:
        while not has_ended.wait(0.02):
            wire.client.sendall(b"a")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    with pytest.raises(heads.BrokenBody, match="too long"):
        wire.body(1_000_000)
    has_ended.set()
    thread.join()
    wire.close()


def test_a_large_body_has_more_time_as_long_as_it_keeps_coming(wire: Wire) -> None:
    wire.send(b"a" * 65_536)
    body = Body(wire.incoming, 65_536)
    until = wire.incoming._until
    body.readall()
    assert wire.incoming._until - until == pytest.approx(65_536 / incoming.SLOWEST)


@pytest.mark.parametrize(("length", "ends"), [(100_000, True), (incoming.MOST_BODY * 3, False)])
def test_what_nobody_wanted_is_read_past_up_to_a_bound(wire: Wire, length: int, ends: bool) -> None:
    wire.send(b"a" * length)
    assert Body(wire.incoming, length).discard() is ends


def test_a_refusal_is_a_whole_answer() -> None:
    assert heads.answer_of(Refused(400, "there is no Host")) == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 92\r\n"
        b"Connection: close\r\n\r\n"
        b'{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "there is no Host"}'
    )


def test_no_more_connections_are_admitted_than_there_is_room_for() -> None:
    connections = Connections(most=4, per_address=0)
    with capture_logs() as lines:
        assert [connections.admit(f"192.0.2.{n}") for n in range(6)] == [True] * 4 + [False] * 2
        connections.ended("192.0.2.1")
        assert connections.admit("192.0.2.9")
        assert not connections.admit("192.0.2.9")
    assert [(line["event"], line.get("refused")) for line in lines] == [
        ("web.connections_refused", None),
        ("web.connections_accepted_again", 2),
        ("web.connections_refused", None),
    ]


@pytest.mark.parametrize(
    ("addresses", "admitted"),
    [
        (["192.0.2.1"] * 4, [True, True, True, False]),
        (["192.0.2.1", "192.0.2.2"] * 3, [True] * 6),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"], [True, True, True, False]),
        (["2001:db8:0:1::1", "2001:db8:0:2::1"] * 3, [True] * 6),
        (["::ffff:192.0.2.1", "192.0.2.1"] * 2, [True, True, True, False]),
        (["who knows"] * 4, [True, True, True, False]),
    ],
    ids=["one", "two", "one /64", "two /64", "IPv4 in IPv6", "no address"],
)
def test_one_address_holds_so_many_connections_and_no_more(addresses: list[str], admitted: list[bool]) -> None:
    connections = Connections(most=100, per_address=3)
    with capture_logs() as lines:
        assert [connections.admit(address) for address in addresses] == admitted
    assert [line["event"] for line in lines] == ["web.address_refused"] * (False in admitted)
    connections.ended(addresses[0])
    assert connections.admit(addresses[0])


def test_one_address_never_gets_more_than_half() -> None:
    connections = Connections(most=6, per_address=1_000)
    assert [connections.admit("192.0.2.1") for _ in range(4)] == [True, True, True, False]
    assert connections.admit("192.0.2.2")


def test_without_bounds_everything_is_admitted() -> None:
    connections = Connections(most=0, per_address=0)
    assert all(connections.admit("192.0.2.1") for _ in range(3_000))


class Sockets:
    """A listening socket that answers `accept` with what it is given."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def accept(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return answer


def test_no_fault_of_a_connection_or_of_the_machine_ends_the_listener() -> None:
    client, server = socket.socketpair()
    faults = (
        errno.ECONNABORTED,
        errno.EMFILE,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EPROTO,
        errno.EPIPE,
        errno.ENETDOWN,
    )
    listener = Listener(Sockets(*faults, (server, ("192.0.2.1", 1))), Connections(2, 0))  # type: ignore[arg-type]
    with capture_logs() as lines:
        assert listener.accept() == (server, ("192.0.2.1", 1))
    assert [line["event"] for line in lines] == ["web.cannot_accept"]
    client.close()
    server.close()


def test_a_listening_socket_that_is_gone_ends_the_listener() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        Listener(Sockets(errno.EBADF), Connections(2, 0)).accept()  # type: ignore[arg-type]


def test_a_connection_too_many_is_answered_and_closed() -> None:
    (first, one), (second, two) = socket.socketpair(), socket.socketpair()
    connections = Connections(1, 0)
    connections.admit("192.0.2.1")
    listener = Listener(Sockets((one, ("192.0.2.1", 1)), errno.EBADF), connections)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="Bad file descriptor"):
        listener.accept()
    assert first.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert first.recv(1000) == b""
    connections.ended("192.0.2.1")
    assert Listener(Sockets((two, ("192.0.2.1", 1))), connections).accept()[0] is two  # type: ignore[arg-type]
    for end in (first, second, two):
        end.close()


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "expected"),
    [
        ("", 1, "10.0.0.1"),
        ("203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.0.0.2", 2, "203.0.113.7"),
        ("203.0.113.7", 2, "10.0.0.1"),
        ("203.0.113.7", 0, "10.0.0.1"),
    ],
)
def test_a_client_behind_proxies_is_whom_the_trusted_ones_name(forwarded_for: str, proxies: int, expected: str) -> None:
    assert guard.client_of("10.0.0.1", forwarded_for, proxies) == expected


@pytest.mark.parametrize(
    ("descriptors", "expected"), [(65_536, 20_000), (20_000, 9_872), (1_024, 384), (256, 0), (64, 0)]
)
def test_connections_leave_room_for_everything_else(descriptors: int, expected: int) -> None:
    assert guard.most_connections(descriptors) == expected
