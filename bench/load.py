"""Posts to the web process over keep-alive connections and prints how fast it was answered.

Raw sockets and a selector: at thousands of requests a second an HTTP client would take more of the
machine than what it measures.
"""

import argparse
import itertools
import json
import math
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.sample import DATA, KEY, TYPE


class _Client:
    """One connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._received = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.monotonic()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status, once the whole answer is there. One without a body (204) may have no length."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the web process closed the connection")
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(body) < length:
            return None
        self._received = b""
        return int(head[9:12])


def post(
    port: int,
    requests: Iterator[bytes],
    *,
    clients: int,
    seconds: float = math.inf,
    per_second: float | None = None,
    sent: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Until the requests or the `seconds` are over, as fast as it is answered, or `per_second` at even distances
    whatever the answers. `sent` is called before each request.
    """
    chooser = selectors.DefaultSelector()
    idle = [_Client(port) for _ in range(clients)]
    for client in idle:
        chooser.register(client.socket, selectors.EVENT_READ, client)
    latencies: list[float] = []
    refused: dict[int, int] = {}
    begun, cpu = time.monotonic(), time.process_time()
    end = begun + seconds
    started, busy = 0, 0
    while busy or time.monotonic() < end:
        now = time.monotonic()
        while idle and now < end and (per_second is None or started < (now - begun) * per_second):
            wanted = next(requests, None)
            if wanted is None:
                end = now
                break
            sent()
            idle.pop().send(wanted)
            started, busy = started + 1, busy + 1
        for key, _ in chooser.select(0.001 if per_second else 1):
            client = key.data
            status = client.receive()
            if status is not None:
                latencies.append(time.monotonic() - client.sent_at)
                if status >= 300:
                    refused[status] = refused.get(status, 0) + 1
                idle.append(client)
                busy -= 1
    took = time.monotonic() - begun
    return {
        "requests": len(latencies),
        "seconds": took,
        "cpu_s": time.process_time() - cpu,
        "refused": refused,
        **percentiles(latencies),
    }


def percentiles(latencies_s: Sequence[float]) -> dict[str, float]:
    ranked = sorted(latencies_s) or [0.0]
    return {
        name: round(ranked[min(len(ranked) - 1, int(len(ranked) * share))] * 1000, 2)
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))
    }


def request(path: str, body: Any) -> bytes:
    encoded = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: "
        f"application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded


def singles(
    prefix: str, users: int, channels: Sequence[str], priority: str | None = None, start: int = 0
) -> Iterator[bytes]:
    """One person each, somebody else every time. `start`: of the first, where others have been sent before."""
    for number in itertools.count(start):
        body = {"type": TYPE, "recipients": [f"{prefix}{number % users}"], "data": data(number), "channels": channels}
        yield request("/api/v1/notifications", {**body, "priority": priority, "dedupe": False} if priority else body)


def bulks(prefix: str, users: int, channels: Sequence[str], size: int, start: int = 0) -> Iterator[bytes]:
    """`size` notifications in one call. `start`: the number of the first, where others have been sent before."""
    for first in itertools.count(start, size):
        items = [
            {
                "type": TYPE,
                "recipients": [f"{prefix}{(first + n) % users}"],
                "data": data(first + n),
                "channels": channels,
            }
            for n in range(size)
        ]
        yield request("/api/v1/notifications/bulk", {"notifications": items})


def many(prefix: str, users: int, channels: Sequence[str], size: int) -> Iterator[bytes]:
    """`size` recipients in one notification."""
    for first in itertools.count(step=size):
        recipients = [f"{prefix}{(first + n) % users}" for n in range(size)]
        yield request(
            "/api/v1/notifications", {"type": TYPE, "recipients": recipients, "data": data(first), "channels": channels}
        )


def data(number: int) -> dict[str, str]:
    """Another order each time: what was said to somebody within the hour is left out."""
    return {**DATA, "order_id": f"A{number}"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("singles", "bulks", "many"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--channels", required=True)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--requests", type=int, help="end after so many")
    parser.add_argument("--size", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="the number of the first")
    parser.add_argument("--per-second", type=float)
    parser.add_argument("--priority")
    given = parser.parse_args()
    channels = given.channels.split(",")
    if given.kind == "singles":
        requests = singles(given.prefix, given.users, channels, given.priority, given.start)
    elif given.kind == "bulks":
        requests = bulks(given.prefix, given.users, channels, given.size, given.start)
    else:
        requests = many(given.prefix, given.users, channels, given.size)
    limited = itertools.islice(requests, given.requests)
    took = post(given.port, limited, clients=given.clients, seconds=given.seconds, per_second=given.per_second)
    print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
