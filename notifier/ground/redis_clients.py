"""Makes every client of Redis: of queues, sockets, limits, caches and scripts.

With Sentinel a connection is opened to the server that the Sentinels call the master. A server that takes no writes any
more counts as lost, whatever the URL says: the name in it may lead to another server by now.
"""

import copy
import socket
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from notifier.ground.redis_urls import RedisTarget, parse_redis

SENTINEL_ANSWER_S = 0.5  # several may have to be asked while somebody waits

# Of a replica, of a master that has too few of them, and of one that became a replica while somebody waited there
_TAKES_NO_WRITES = ("READONLY", "NOREPLICAS", "MASTERDOWN", "UNBLOCKED")


class NoMaster(redis.ConnectionError):
    """This server takes no writes: another is the master by now, or will be."""


class _Pooled:
    """Of a connection."""

    _sock: Any  # None: closed
    _parser: Any

    def connect(self) -> None:
        """One that is open asks nothing: that is no sign that Redis is back (`outage.Once` counts what is asked)."""
        if self._sock is None:
            super().connect()  # type: ignore[misc]

    def can_read(self, timeout: float = 0) -> bool:
        """Whether something came unasked, or Redis has hung up: then the pool connects anew. What redis-py asks for it
        costs green threads a turn of their hub, half of a whole command; the socket beneath a green one never waits.
        """
        beneath = getattr(self._sock, "fd", None)
        if timeout or beneath is None:
            return bool(super().can_read(timeout))  # type: ignore[misc]
        try:
            beneath.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return bool(self._parser._reader.has_data())
        except OSError:
            pass
        return True


class _ToMaster(_Pooled):
    """A script says in its own words why it ended; before Redis 7 that is no ReadOnlyError."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except redis.ResponseError as error:
            if isinstance(error, redis.ReadOnlyError) or any(word in str(error) for word in _TAKES_NO_WRITES):
                self.disconnect()  # type: ignore[attr-defined]
                raise NoMaster("this Redis takes no writes") from None
            raise


class _Connection(_ToMaster, redis.Connection):
    pass


class _Tls(_ToMaster, redis.SSLConnection):
    pass


class _Unix(_ToMaster, redis.UnixDomainSocketConnection):
    pass


class _Watched(_ToMaster, SentinelManagedConnection):
    pass


class _WatchedTls(_ToMaster, SentinelManagedSSLConnection):
    pass


_KINDS = {redis.Connection: _Connection, redis.SSLConnection: _Tls, redis.UnixDomainSocketConnection: _Unix}
_WATCHED = {redis.Connection: _Watched, redis.SSLConnection: _WatchedTls}


class _Pool(SentinelConnectionPool, redis.BlockingConnectionPool):
    """Bounded, and to the master."""

    def owns_connection(self, connection: Any) -> bool:
        """A connection to a former master is closed, and its place is kept for the next."""
        if self.master_address != (connection.host, connection.port):
            connection.disconnect()
        return bool(connection.pid == self.pid)


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """Whoever answers is asked first the next time. redis-py swaps two of its list for that, and threads that do so
        at once would lose one.
        """
        mine = copy.copy(self)
        mine.sentinels = list(self.sentinels)
        try:
            found = super(_Sentinels, mine).discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError:  # which shows its own objects
            raise MasterNotFoundError(f"no Sentinel that answers knows a master {service_name!r}") from None
        self.sentinels = mine.sentinels
        return found


def connected(url: str, kind: type[Any] = redis.Redis, **options: Any) -> Any:
    """A client, of the class `kind`, with a bounded pool whose callers wait their turn (`max_connections`, and
    `timeout` in seconds). Nothing is connected yet. `options` are a connection's; those in the URL win. Raises
    ValueError as `parse_redis` does.
    """
    target = parse_redis(url)
    # Redis Enterprise's notes of maintenance: while they are listened for, redis-py takes what stands unread on a
    # connection for one, and goes on with a connection that is closed
    options |= {"maint_notifications_config": MaintNotificationsConfig(enabled=False)} | target.options
    pool: Any
    if target.sentinels:
        pool, given = _Pool, {"service_name": target.service, "sentinel_manager": _sentinels(target)}
    else:
        pool, given = redis.BlockingConnectionPool, {}
    of = _WATCHED if target.sentinels else _KINDS
    return kind.from_pool(pool(connection_class=of[target.kind], **given, **options))


def sentinels_of(url: str) -> list["redis.Redis"]:
    """A client for each Sentinel; none without."""
    target = parse_redis(url)
    return list(_sentinels(target).sentinels) if target.sentinels else []


def _sentinels(target: RedisTarget) -> _Sentinels:
    bounds = {"socket_connect_timeout": SENTINEL_ANSWER_S, "socket_timeout": SENTINEL_ANSWER_S}
    once = {"retry": Retry(NoBackoff(), 0)}
    return _Sentinels(target.sentinels, sentinel_kwargs={**target.of_sentinels, **bounds, **once})  # type: ignore[no-untyped-call]
