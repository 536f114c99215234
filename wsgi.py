"""The web process: HTTP and Socket.IO on green threads. Executed as a program by `python -m notifier web`.

The only file that knows which server and which green threads these are: everything else is plain
blocking code. Patching comes before every other import. `notifier.programs.guard` and `incoming` bound and
read what strangers send; the server gets what they let pass.
"""

import gc
import os
import warnings

gc.disable()  # until all is imported: that stays, so looking for garbage in it is a tenth of a start

# Its own resolver breaks where dnspython is installed, and ours needs none
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")  # known, and why this is the only file that names it

import eventlet

eventlet.monkey_patch()

import argparse
import io
import resource
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPMessage
from typing import Any, ClassVar

import eventlet.greenpool
import eventlet.hubs
import eventlet.tpool
import eventlet.websocket
import eventlet.wsgi
import structlog
from eventlet.hubs import trampoline
from eventlet.support.greenlets import GreenletExit

from notifier.__main__ import explained
from notifier.app import create_app
from notifier.ground import logs, tracing, vital
from notifier.ground.config import NotReady, Settings
from notifier.ground.ids import new_hex
from notifier.programs import guard, heads, incoming, listening
from notifier.programs.arguments import read
from notifier.programs.starting import wait_for_app

DRAIN_S = 9.0  # in all: `up` kills this process after ten
# Behind proxies: for so long every answer says that its connection ends, before idle ones are closed. A proxy that
# sends a request on one at that very moment cannot know whether it was heard, and answers 502.
FAREWELL_S = 1.0
FEWEST_CONNECTIONS = 16

log = structlog.get_logger()


def serve() -> int:
    """Serves until SIGTERM or SIGINT, then accepts nothing more and finishes what is in flight."""
    gc.freeze()  # or the first look would be at all that was imported
    gc.enable()
    options = read(sys.argv[3:] or ["web"])  # behind `-m notifier`
    settings = Settings.from_env()
    logs.configure(as_json=settings.is_production, level=settings.log_level)
    _tell_of_what_the_hub_ignores()
    tracing.start(settings, "web")
    if tracing.is_on():
        socket.getaddrinfo = _looked_up
    stop = _signalled(signal.SIGTERM, signal.SIGINT)
    where = f"{settings.host}:{settings.port}" if options.fd is None else f"the file descriptor {options.fd}"
    with _told(where):
        listener = _listener(settings, options)
    app = wait_for_app(
        lambda: create_app(settings, async_mode="eventlet"),
        lambda: bool(select.select([stop], [], [], 0)[0]),
        meanwhile=lambda: guard.turn_away_waiting(listener, listening.BACKLOG),
    )
    if app is None:
        return 0
    connections = guard.Connections(
        guard.most_connections(_allow_many_files()), 0 if settings.trusted_proxies else settings.connections_per_address
    )
    if connections.most < FEWEST_CONNECTIONS:
        raise NotReady(
            f"This process may open too few files: {guard.KEPT_DESCRIPTORS + 2 * FEWEST_CONNECTIONS} are needed. "
            "Raise the limit (ulimit -n)."
        )
    with _told(where):
        listener.listen(listening.BACKLOG)
    Protocol.connections = connections
    Protocol.clients = guard.Connections(0, settings.connections_per_address)
    Protocol.proxies = settings.trusted_proxies
    pool = _Pool(connections.most)
    how: dict[str, Any] = {
        "keepalive": incoming.IDLE_S,
        "socket_timeout": incoming.SEND_S,
        "log_output": False,
        "debug": False,
        "environ": {"wsgi.errors": _Unwanted()},
    }
    server = eventlet.spawn(
        eventlet.wsgi.server, guard.Listener(listener, connections), app, custom_pool=pool, protocol=Protocol, **how
    )
    vital.arm()
    log.info("web.started", host=settings.host, port=settings.port, connections=connections.most)
    trampoline(stop, read=True)
    log.info("web.stopping")
    pool.may_be_left = True
    left_s = DRAIN_S
    if settings.trusted_proxies:
        Protocol.stops_soon = True
        eventlet.sleep(FAREWELL_S)
        left_s -= FAREWELL_S
    eventlet.kill(server)  # idle connections and WebSockets end now, requests in flight when answered
    listener.close()
    with eventlet.Timeout(left_s, False), suppress(GreenletExit, OSError):
        server.wait()
    tracing.stop()
    log.info("web.stopped")
    return vital.exit_code()


class _Pool(eventlet.GreenPool):  # type: ignore[misc]
    """The green threads of the connections.

    Whatever makes the server end, it waits for them first, for ever where one is a WebSocket: so its end shows here.
    """

    may_be_left = False

    def waitall(self) -> None:
        if not self.may_be_left:
            vital.lost("server", sys.exc_info()[1])
        super().waitall()


class _Log:
    """Where the server tells of an application that raised, which it has answered with a 500."""

    def info(self, text: str) -> None:
        # A client that is gone
        if text.startswith("Traceback") and not isinstance(sys.exc_info()[1], OSError | heads.BrokenBody):
            log.exception("web.request_broke")

    def debug(self, *_: Any) -> None:
        """Comings and goings."""

    error = debug


class _Unwanted(io.TextIOBase):
    """What libraries write for people at a terminal (WSGI's error stream): hang-ups of WebSockets, mostly."""

    def write(self, text: str) -> int:
        return len(text)


class Protocol(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One connection. Requests are read by `incoming`, and answered by eventlet's own code."""

    connections: ClassVar[guard.Connections]
    # By the address that trusted proxies name; requests in progress, WebSockets too
    clients: ClassVar[guard.Connections]
    proxies: ClassVar[int]
    stops_soon: ClassVar[bool] = False
    has_told_of_proxy: ClassVar[bool] = False
    rbufsize = 0  # the server's own reader is not used

    def __init__(self, conn_state: list[Any], server: Any) -> None:
        self.incoming = incoming.Incoming(conn_state[1])
        self.head: heads.Head | None = None
        self.body: _Input | None = None
        self.server_stops = False
        server.log = _LOG
        try:
            super().__init__(conn_state, server)
        except OSError:
            pass  # the client is gone, or reads nothing
        except Exception:
            log.exception("web.connection_broke", address=conn_state[0][0])
        finally:
            self.connections.ended(conn_state[0][0])

    def setup(self) -> None:
        super().setup()
        self.conn_state[1] = _Ending(self.connection)

    def _read_request_line(self) -> str:
        try:
            self.head = self.incoming.head(self._begun)
        except heads.Refused as refused:
            self.head = None
            self._refuse(refused)
        self.server_stops = self.stops_soon or self.conn_state[2] == eventlet.wsgi.STATE_CLOSE
        return self.head.line if self.head else ""

    def _begun(self) -> None:
        if self.conn_state[2] == eventlet.wsgi.STATE_IDLE:
            self.conn_state[2] = eventlet.wsgi.STATE_REQUEST  # what is being read is finished, when the server stops

    def parse_request(self) -> bool:
        """Instead of http.server's: all is read and judged already."""
        assert self.head
        head = self.head
        self.requestline, self.command, self.request_version = head.line, head.method, head.version
        # "//evil.example" would be a link to elsewhere.
        self.path = f"/{head.target.lstrip('/')}" if head.target.startswith("//") else head.target
        self.close_connection = self.server_stops or not head.keeps_open
        self.headers = HTTPMessage()
        for name, value in head.fields:
            self.headers.set_raw(name, value)
        return True

    def get_environ(self) -> dict[str, Any]:
        assert self.head
        environ: dict[str, Any] = super().get_environ()
        self.body = None
        if self.head.length != 0:
            self.body = _Input(self, self.head.length, says_continue=environ["eventlet.input"].wfile is not None)
            environ["wsgi.input"] = environ["eventlet.input"] = self.body
            environ["wsgi.input_terminated"] = True  # so that chunked ones are read too
        # Without one, a forgotten dialect would be spoken, whose messages have no bound.
        environ.setdefault("HTTP_SEC_WEBSOCKET_VERSION", "")
        return environ

    def handle_one_response(self) -> None:
        client = None
        if self.proxies:
            forwarded_for = ",".join(self.headers.get_all("X-Forwarded-For", []))  # a proxy may add a line of its own
            client = guard.client_of(self.client_address[0], forwarded_for, self.proxies)
        elif not self.has_told_of_proxy and ("X-Forwarded-For" in self.headers or "Forwarded" in self.headers):
            Protocol.has_told_of_proxy = True  # once: strangers can send it, too
            log.warning(
                "web.proxy_not_trusted",
                address=self.client_address[0],
                advice="if a reverse proxy of yours has this address, set TRUSTED_PROXIES",
            )
        if client is not None and not self.clients.admit(client):
            self.close_connection = True
            self._answer(heads.NO_ROOM)
            return
        try:
            super().handle_one_response()
        finally:
            if client is not None:
                self.clients.ended(client)
        if self.body and not self.body.has_ended:
            if self.body.fault:
                self._tell(heads.Refused(400, self.body.fault), self.environ.get(logs.REQUEST_ID) or new_hex())
            self.close_connection = True
            self._linger()

    def _refuse(self, refused: heads.Refused) -> None:
        request_id = new_hex()
        self._tell(refused, request_id)
        self._answer(refused, request_id)

    def _tell(self, refused: heads.Refused, request_id: str) -> None:
        log.warning(
            "web.request_refused",
            request_id=request_id,
            status=refused.status,
            reason=refused.reason,
            address=self.client_address[0],
        )

    def _answer(self, refused: heads.Refused, request_id: str | None = None) -> None:
        self.wfile.write(heads.answer_of(refused, request_id))
        self._linger()

    def _linger(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.incoming.drain()


class _Ending:
    """A connection as the stopping server shuts it down, where it is idle: nothing more is to come. A request that has
    come and that nobody has read yet is answered; with both ways shut it would be carried out, and nobody told.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def shutdown(self, _how: int) -> None:
        self._connection.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self._connection.close()


class _Input(eventlet.wsgi.Input):  # type: ignore[misc]
    """A body as the server and the application see it: read by `incoming`, once somebody asks for its first byte."""

    def __init__(self, protocol: Protocol, length: int | None, *, says_continue: bool) -> None:
        line = b"HTTP/1.1 100 Continue\r\n" if says_continue else None
        super().__init__(
            None,
            length,
            protocol.connection,
            wfile=protocol.wfile if says_continue else None,
            wfile_line=line,
            chunked_input=True,
        )
        self._protocol = protocol
        self._body = incoming.Body(protocol.incoming, length)
        self._buffered: io.BufferedReader[Any] = io.BufferedReader(self._body)

    def _begun(self) -> "io.BufferedReader[Any]":
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True
        return self._buffered

    def read(self, length: int | None = None) -> bytes:
        return self._begun().read(length)

    def readline(self, size: int | None = None) -> bytes:
        return self._begun().readline(size)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        return self._begun().readlines(-1 if hint is None else hint)

    @property
    def fault(self) -> str | None:
        return self._body.fault

    @property
    def has_ended(self) -> bool:
        return self._body.has_ended

    def discard(self, _buffer_size: int = 0) -> None:
        """Called by the server when it has answered, for what the application left unread."""
        if not self._body.discard():
            self._protocol.close_connection = True


class _Message(eventlet.websocket.RFC6455WebSocket.Message):  # type: ignore[misc]
    """A WebSocket's message. The library bounds each of its fragments, and not how many there are."""

    size = 0

    def push(self, data: bytes, final: bool = False) -> None:
        self.size += max(1, len(data))
        if self.size > self.max_frame_length:
            raise eventlet.websocket.FailedConnectionError(1009, "the message is too long")
        super().push(data, final)


def _unmasked(data: bytes, mask: Sequence[int], length: int | None = None, offset: int = 0) -> bytes:
    """What came of a WebSocket's frame. The library does this byte by byte, and everybody waits for as long."""
    key = bytes(mask[(offset + place) % 4] for place in range(4))
    repeated = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(repeated)).to_bytes(len(data))


_LOG = _Log()
eventlet.websocket.RFC6455WebSocket.Message = _Message
eventlet.websocket.RFC6455WebSocket._apply_mask = staticmethod(_unmasked)


def _tell_of_what_the_hub_ignores() -> None:
    """Instead of raw tracebacks."""
    hub = eventlet.hubs.get_hub()
    hub.squelch_generic_exception = lambda exc_info: log.error("web.callback_broke", exc_info=exc_info)
    hub.squelch_timer_exception = lambda _timer, exc_info: log.error("web.callback_broke", exc_info=exc_info)
    eventlet.greenpool.DEBUG = False  # what a connection breaks with, `Protocol` has told


_look_up = socket.getaddrinfo


def _looked_up(host: Any, *args: Any, **options: Any) -> Any:
    """On a real thread: where a name server is away, everybody would wait for the collector's name, again and again."""
    return eventlet.tpool.execute(_look_up, host, *args, **options)


def _signalled(*signals: signal.Signals) -> int:
    """A file descriptor that becomes readable at any of the signals: a handler alone would not wake the event loop."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    for number in signals:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def _listener(settings: Settings, options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return listening.inherited(options.fd)
    return listening.bound(settings.host, settings.port, reuse_port=options.reuse_port)


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotReady(f"Cannot listen on {where}: {error.strerror}.") from None


def _allow_many_files() -> int:
    """→ how many this process may open now."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    with suppress(OSError, ValueError):  # macOS has a lower bound of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


if __name__ == "__main__":
    sys.exit(explained(serve))
