"""Limits connections in front of the HTTP server, in all and per network address, so that they leave room for each
other and for the process's other file descriptors.

Used by wsgi.py only. Knows sockets, but not which server or threads are behind them; `incoming` reads what is sent.
"""

import errno
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import structlog

from notifier.core.networks import neighbourhood
from notifier.programs.heads import NO_ROOM, NOT_READY, Refused, answer_of
from notifier.programs.incoming import AT_ONCE, LINGER_S

MOST_CONNECTIONS = 20_000  # open WebSockets count
KEPT_DESCRIPTORS = 256  # for the database's pool (SQLite: three each), Redis, what is listened on, logs

_NOTHING_LEFT_S = 0.1  # before accepting is tried again, when descriptors or memory have run out
_NOTHING_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_LISTENER_IS_GONE = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT}

log = structlog.get_logger()


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
        """The receiver of the connection tells `connections` of its end. Raises OSError when the socket is closed."""
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
                    connection.recv(AT_ONCE)  # unread bytes would make the close a reset, which loses the answer
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
    """The client's address, if there are that many trusted proxies in front, each of which adds the address of its
    caller.
    """
    addresses = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    return addresses[-proxies] if proxies and len(addresses) >= proxies else peer


def most_connections(descriptors: int) -> int:
    """For a process that may have so many open. A connection may need two: its own, and that of a file it is sent."""
    return max(0, min(MOST_CONNECTIONS, (descriptors - KEPT_DESCRIPTORS) // 2))
