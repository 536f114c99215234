"""Two Redis servers of which one is the master, and three Sentinels that see to it."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import redis

from notifier.programs.up import redis_server
from tests.running import eventually, free_port

SERVICE = "mymaster"
_DOWN_AFTER_MS = 1_000
# Sentinels look at replicas every ten seconds otherwise
_QUICK = ("INFO-PERIOD", "500", "PUBLISH-PERIOD", "300", "ELECTION-TIMEOUT", "2000")


class WatchedRedis:
    """`url`: for REDIS_URL. `also`: further options of all five, such as TLS."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.servers = (free_port(), free_port())
        self.sentinels = tuple(free_port() for _ in range(3))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._start_server(self.servers[0])
        self._start_server(self.servers[1], "--replicaof", "127.0.0.1", str(self.servers[0]))
        for port in self.sentinels:
            folder = place / f"sentinel-{port}"
            folder.mkdir()
            (folder / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.servers[0]} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 5000\n"
            )
            self._start(port, str(folder / "sentinel.conf"), "--sentinel")
        for port in self.sentinels:
            eventually(lambda port=port: self._takes(port, "SENTINEL", "DEBUG", *_QUICK))
        self.until_watched()

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/0?service={SERVICE}"

    @property
    def master(self) -> int:
        """Its port, as most Sentinels have it."""
        found = [self._ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE) for port in self.sentinels]
        ports = [int(one[1]) for one in found]
        return max(set(ports), key=ports.count)

    def kill_master(self) -> int:
        """kill -9; → its port."""
        port = self.master
        self.kill(port)
        return port

    def kill(self, port: int) -> None:
        self._processes[port].kill()
        self._processes[port].wait()

    def hang_master(self) -> int:
        """Connections are taken and nothing is answered, until `wake`; → its port."""
        port = self.master
        self._processes[port].send_signal(signal.SIGSTOP)
        return port

    def wake(self, port: int) -> None:
        self._processes[port].send_signal(signal.SIGCONT)

    def restart(self, port: int) -> None:
        """The Sentinels make it a replica of the master that there is."""
        self._start_server(port)
        self.until_watched()

    def heal(self) -> None:
        """Both servers are there and answer."""
        for port in self.servers:
            if self._processes[port].poll() is not None:
                self._start_server(port)
            self.wake(port)

    def fail_over(self) -> int:
        """The master becomes the replica, on order; → the port of the former."""
        port = self.master
        eventually(lambda: self._takes(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE))
        eventually(lambda: self.master != port and self._is_replica(port))
        self.until_watched()
        return port

    def until_watched(self) -> None:
        """Until all know each other, and a replica that could take over."""
        eventually(lambda: all(map(self._is_complete, self.sentinels)), within_s=60)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _is_complete(self, sentinel: int) -> bool:
        try:
            seen = self._ask(sentinel, "SENTINEL", "MASTER", SERVICE)
            replicas = self._ask(sentinel, "SENTINEL", "REPLICAS", SERVICE)
        except redis.RedisError:
            return False
        of_master = seen if isinstance(seen, dict) else dict(zip(seen[::2], seen[1::2], strict=True))
        return int(of_master["num-other-sentinels"]) == 2 and [
            (one["flags"], one["master-link-status"]) for one in replicas
        ] == [("slave", "ok")]

    def _is_replica(self, port: int) -> bool:
        return self._ask(port, "ROLE")[0] == "slave"

    def _takes(self, port: int, *command: str) -> bool:
        try:
            self._ask(port, *command)
        except redis.RedisError:  # INPROG, NOGOODSLAVE: not yet
            return False
        return True

    def _ask(self, port: int, *command: str) -> Any:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=5) as client:
            return client.execute_command(*command)

    def _start_server(self, port: int, *options: str) -> None:
        folder = self.place / f"server-{port}"
        folder.mkdir(exist_ok=True)
        common = ("--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--maxmemory-policy", "noeviction")
        quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self._start(port, "--port", str(port), *common, *quick, *options)

    def _start(self, port: int, *arguments: str) -> None:
        self._processes[port] = subprocess.Popen([str(redis_server()), *arguments], stdout=subprocess.DEVNULL)
