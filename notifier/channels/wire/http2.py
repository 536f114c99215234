"""The outbound client for servers that want HTTP/2 (RFC 9113): many requests at once on a few connections.

Sockets come from `wire.http`: the same hosts may be reached, and failures are the same errors. Nothing is sent again
but what a server says it has not begun with. Each account has a client of its own: a connection is signed in to one.
"""

import threading
import time
from collections.abc import Mapping
from copy import copy
from urllib.parse import urlsplit

from notifier.channels.wire.answers import Explain, Response, explain
from notifier.channels.wire.http import Http, check_headers
from notifier.channels.wire.http2_connection import Connection, Unprocessed
from notifier.core.errors import DeliveryError, Retryable

CONNECTIONS = 8
STREAMS_A_CONNECTION = 50  # above which another one is opened
WAIT_S = 10.0  # for room on one of them
TRIES = 5  # of a request that servers say they have not begun with
PING_AFTER_S = 60.0  # without a word from the server
REOPEN_AFTER_S = 5.0  # when one more could not be opened


class Http2:
    """Talks to one server, at an https URL. ValueError for a URL that is none.

    A request waits for a connection with room for `wait_s` at most, then for its answer as long as `http` allows.
    """

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        connections: int = CONNECTIONS,
        streams_a_connection: int = STREAMS_A_CONNECTION,
        ping_after_s: float = PING_AFTER_S,
        wait_s: float = WAIT_S,
    ) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or not host.strip(".") or set("@?#") & set(url):
            raise ValueError("it must be an https:// URL without a query")
        self._http = http
        self._host, self._port, self._authority = host, parts.port or 443, parts.netloc
        self._path = parts.path.rstrip("/")
        self._most, self._enough = connections, streams_a_connection
        self._ping_after_s = ping_after_s
        self._wait_s = wait_s
        self._room = threading.Condition()
        self._connections: list[Connection] = []
        self._is_opening = False
        self._failures = 0
        self._failure: DeliveryError | None = None
        self._failed_at = float("-inf")
        self._is_closed = False

    def post(self, path: str, body: bytes, headers: Mapping[str, str], *, explain: Explain = explain) -> Response:
        """A successful answer. Raises a DeliveryError: what `explain` makes of the answer, or of there being none.

        ValueError for a header that is not printable ASCII.
        """
        check_headers({"path": path, **headers})
        pseudo = {":method": "POST", ":scheme": "https", ":authority": self._authority, ":path": self._path + path}
        plain = {"user-agent": "Notifier", **{name.lower(): value for name, value in headers.items()}}
        response = self._exchange([*pseudo.items(), *plain.items()], body)
        error = explain(response)
        if error is not None:
            raise error
        return response

    def close(self) -> None:
        """Takes no more requests. Those under way get their answers, then their connections end."""
        with self._room:
            self._is_closed = True
            connections, self._connections = self._connections, []
            self._room.notify_all()
        for connection in connections:
            connection.retire()

    def _exchange(self, headers: list[tuple[str, str]], body: bytes) -> Response:
        ends_at = time.monotonic() + self._wait_s
        for _ in range(TRIES):
            connection = self._take(ends_at)
            try:
                return connection.exchange(headers, body)
            except Unprocessed:
                continue
            finally:
                with self._room:
                    connection.taken -= 1
                    self._room.notify()
        raise Retryable("the server closes its connections before it takes the message", code="refused_stream")

    def _take(self, ends_at: float) -> "Connection":
        """Room on the connection that has least to do; on a new one where all have enough."""
        failures = self._failures
        while (found := self._find(failures, ends_at)) is None:
            try:
                return self._open()
            except DeliveryError:
                if not any(one.is_usable for one in self._connections):
                    raise
        return found

    def _find(self, failures: int, ends_at: float) -> "Connection | None":
        """None: one has to be opened, and no other thread does it. `failures`: how many there were when the search
        began.
        """
        with self._room:
            while True:
                if self._is_closed:
                    raise Retryable("the account is no longer in use", code="closed")
                self._connections = [one for one in self._connections if one.is_usable]
                if self._failure is not None and self._failures != failures and not self._connections:
                    raise copy(self._failure)
                free = [one for one in self._connections if one.taken < one.most]
                least = min(free, key=lambda one: one.taken, default=None)
                may_open = not self._connections or (
                    len(self._connections) < self._most and time.monotonic() > self._failed_at + REOPEN_AFTER_S
                )
                if may_open and not self._is_opening and (least is None or least.taken >= self._enough):
                    self._is_opening = True
                    return None
                if least is not None:
                    least.taken += 1
                    return least
                if not self._room.wait(ends_at - time.monotonic()):
                    raise Retryable("all connections are busy", code="busy")

    def _open(self) -> "Connection":
        """One thread at a time; those that wait for it share its failure."""
        opened = None
        try:
            opened = Connection(self._http, self._host, self._port, self._ping_after_s, self._tell)
            opened.taken = 1
            return opened
        except DeliveryError as error:
            with self._room:
                self._failures, self._failure, self._failed_at = self._failures + 1, error, time.monotonic()
            raise
        finally:
            with self._room:
                self._is_opening = False
                if opened is not None:
                    self._connections.append(opened)
                self._room.notify_all()

    def _tell(self) -> None:
        """A connection has more room than before, or is lost."""
        with self._room:
            self._room.notify_all()
