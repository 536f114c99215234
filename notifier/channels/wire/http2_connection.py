"""One connection of the HTTP/2 client. Called by `wire.http2` alone.

h2 knows the protocol, and does no input or output. Senders are plain threads: each writes under the connection's lock
and waits for its answer, which the connection's own thread reads.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError, TooManyStreamsError
from h2.settings import SettingCodes, Settings
from urllib3 import HTTPHeaderDict

from notifier.channels.wire.answers import Response
from notifier.channels.wire.http import Http, no_answer, opening
from notifier.core.errors import Misconfigured, Retryable

# hpack writes headers into its log, Authorization too.
logging.getLogger("hpack").setLevel(logging.WARNING)

_CHUNK = 65_536
_GOAWAY = 7  # type of the frame, RFC 9113, 6.8


class Unprocessed(Exception):
    """The server has not begun with the request, and never will."""


class _Stream:
    """A request under way. `rest`: what of its body waits for the server's window."""

    def __init__(self, body: bytes) -> None:
        self.rest = body
        self.is_sent = False
        self.code: int | None = None
        self.headers = HTTPHeaderDict()
        self.body = b""
        self.begun_at = time.monotonic()
        self.is_over = threading.Event()
        self.error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.error = error
        self.is_over.set()

    def lose(self, code: str = "no_answer") -> None:
        """Without an answer. A request that is not whole cannot have been taken."""
        unsent = Retryable("the connection was lost before the message was sent", code="connection_lost")
        self.end(no_answer(code) if self.is_sent else unsent)

    def answer(self) -> Response:
        """The status is the answer, however much of the body has come."""
        if self.code is not None:
            return Response(self.code, self.headers, self.body)
        raise self.error or no_answer()


class Connection:
    """Raises a DeliveryError where it cannot be opened. `tell` is called when there is more room, or none any more.

    TLS is done in memory, since OpenSSL allows no reading while another thread writes. `taken` is the pool's own count.
    """

    def __init__(self, http: Http, host: str, port: int, ping_after_s: float, tell: Callable[[], None]) -> None:
        self.taken = 0
        self.most = 1  # streams at once, as the server has it
        self.is_usable = True  # for further requests
        self._longest_answer = http.longest_answer
        self._read_s = http.read_s
        self._ping_after_s = ping_after_s
        self._tell = tell
        self._lock = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unread = bytearray()
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0})
        self._has_settings = False
        self._heard_at = time.monotonic()
        self._is_pinged = False
        self._socket = http.dial(host, port)
        try:
            self._tls = http.tls_http2.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
            self._greet(time.monotonic() + http.connect_s)
            self._socket.settimeout(http.read_s)
            threading.Thread(target=self._run, name=f"http2 {host}", daemon=True).start()
        except BaseException:
            self._socket.close()
            raise

    def exchange(self, headers: list[tuple[str, str]], body: bytes) -> Response:
        """Raises Unprocessed, or a DeliveryError."""
        stream = _Stream(body)
        with self._lock:
            stream_id = self._begin(stream, headers)
        if not stream.is_over.wait(self._read_s):
            self._give_up(stream_id, stream)
        return stream.answer()

    def retire(self) -> None:
        """It gets no more requests, and ends with the last of those that it has."""
        with self._lock:
            self.is_usable = False
            self._end_if_done()
        self._tell()

    def _greet(self, ends_at: float) -> None:
        """The handshake, and the server's settings: until they have come, nobody knows how much it takes at once."""
        with opening():
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self._write()
                    self._incoming.write(self._receive(ends_at))
            if self._tls.selected_alpn_protocol() != "h2":
                raise Misconfigured("the server does not speak HTTP/2", code="no_http2")
            try:
                self._h2.initiate_connection()
                self._take_in(b"")
                while not self._has_settings:
                    self._take_in(self._receive(ends_at))
            except ProtocolError:
                raise ConnectionError from None

    def _receive(self, ends_at: float) -> bytes:
        self._socket.settimeout(max(ends_at - time.monotonic(), 0.001))
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionError
        return data

    def _begin(self, stream: _Stream, headers: list[tuple[str, str]]) -> int:
        try:
            if not self.is_usable:
                raise Unprocessed
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, headers)
        except TooManyStreamsError:
            raise Unprocessed from None
        except ProtocolError:  # it has just ended, or has had all the streams that there can be
            self.is_usable = False
            raise Unprocessed from None
        self._streams[stream_id] = stream
        self._send_rest(stream_id, stream)
        try:
            self._flush()
        except OSError:
            self._cut()  # and its thread tells all who wait
        return stream_id

    def _send_rest(self, stream_id: int, stream: _Stream) -> None:
        """As much of the body as the server's window allows."""
        while not stream.is_sent:
            size = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if size <= 0 and stream.rest:
                return
            part, stream.rest = stream.rest[:size], stream.rest[size:]
            stream.is_sent = not stream.rest
            self._h2.send_data(stream_id, part, end_stream=stream.is_sent)

    def _give_up(self, stream_id: int, stream: _Stream) -> None:
        with self._lock:
            if self._streams.pop(stream_id, None) is None:
                return  # it has ended this moment
            stream.lose("timeout")
            # If it has said nothing to others either, it may be gone without a word
            self.is_usable = self.is_usable and self._heard_at > stream.begun_at
            self._reset(stream_id)
            try:
                self._flush()
            except OSError:
                self._cut()
            self._end_if_done()
        self._tell()

    def _reset(self, stream_id: int) -> None:
        with suppress(ProtocolError):  # where it has ended meanwhile
            self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)

    # ---- its own thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Reads until the connection ends, however it ends: nobody is left waiting."""
        try:
            while data := self._next():
                with self._lock:
                    before = (self.most, self.is_usable)
                    self._take_in(data)
                    self._end_if_done()
                    has_changed = before != (self.most, self.is_usable)
                if has_changed:
                    self._tell()
        except (OSError, ProtocolError):
            pass
        finally:
            with self._lock:
                self.is_usable = False
                streams, self._streams = self._streams, {}
                for stream in streams.values():
                    stream.lose()
                self._socket.close()
            self._tell()

    def _next(self) -> bytes:
        """What has arrived; nothing when the connection has ended, or does not answer a ping."""
        while True:
            try:
                return self._socket.recv(_CHUNK)
            except TimeoutError:
                if self._is_pinged:
                    return b""
            if time.monotonic() - self._heard_at >= self._ping_after_s:
                with self._lock:
                    self._is_pinged = True
                    self._h2.ping(b"notifier")
                    self._flush()

    def _take_in(self, data: bytes) -> None:
        self._heard_at, self._is_pinged = time.monotonic(), False
        self._incoming.write(data)
        is_over = False
        try:
            while plain := self._tls.read(_CHUNK):
                self._unread += plain
            is_over = True
        except ssl.SSLWantReadError:
            pass
        for frame in self._frames():
            if frame[3] == _GOAWAY:
                self._go_away(int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF)
                continue
            for event in self._h2.receive_data(frame):
                self._happened(event)
        self._flush()
        if is_over:
            raise ConnectionError

    def _frames(self) -> Iterator[bytes]:
        """The frames that are whole. h2 gets them one by one, and never a GOAWAY: after that it would take no more
        answers, not even those that the server still owes.
        """
        while len(self._unread) >= 9:
            size = 9 + int.from_bytes(self._unread[:3], "big")
            if size > 9 + self._h2.max_inbound_frame_size:
                raise ConnectionError
            if len(self._unread) < size:
                return
            frame = bytes(self._unread[:size])
            del self._unread[:size]
            yield frame

    def _go_away(self, last_id: int) -> None:
        """The server finishes the streams up to the last one that it names, and begins with no other."""
        self.is_usable = False
        for stream_id in [one for one in self._streams if one > last_id]:
            self._streams.pop(stream_id).end(Unprocessed())

    def _happened(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged | WindowUpdated):
            if isinstance(event, RemoteSettingsChanged):
                self._has_settings = True
                self.most = self._h2.remote_settings.max_concurrent_streams
            for stream_id, stream in self._streams.items():
                self._send_rest(stream_id, stream)
            return
        if isinstance(event, DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not isinstance(event, ResponseReceived | DataReceived | StreamEnded | StreamReset):
            return
        found = self._streams.get(event.stream_id)
        if found is None:
            return
        if isinstance(event, ResponseReceived):
            for name, value in event.headers:
                found.headers.add(_text(name), _text(value))
            status = found.headers.pop(":status")
            if not status.isdecimal():
                raise ProtocolError
            found.code = int(status)
            return
        if isinstance(event, DataReceived):
            found.body = (found.body + event.data)[: self._longest_answer]
            if len(found.body) < self._longest_answer:
                return
        del self._streams[event.stream_id]
        if not isinstance(event, StreamReset):
            if not isinstance(event, StreamEnded) or not found.is_sent:
                self._reset(event.stream_id)
            found.end()
        elif event.error_code == ErrorCodes.REFUSED_STREAM:
            found.end(Retryable("the server refused the message unread", code="refused_stream"))
        else:
            found.lose("stream_reset")

    # ---- under the lock ---------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._tls.write(data)
        self._write()

    def _write(self) -> None:
        sealed = self._outgoing.read()
        if sealed:
            self._socket.sendall(sealed)

    def _end_if_done(self) -> None:
        if self.is_usable or self._streams:
            return
        with suppress(OSError, ProtocolError):
            self._h2.close_connection()
            self._flush()
        self._cut()

    def _cut(self) -> None:
        """Ends its thread, which does the rest."""
        self.is_usable = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("latin-1")
