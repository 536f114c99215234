"""Strangers who take all there is: connections, memory, time. One web process stands it, and serves everybody else
meanwhile.
"""

import json
import re
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import eventually
from tests.test_wsgi import Web, start

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"),
    pytest.mark.usefixtures("app"),
]
Tell = Callable[[str], None]
DESCRIPTORS = 512
MIB = 1024 * 1024
HEALTH = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def web(environment: dict[str, str], port: int) -> Iterator[Web]:
    running = start({**environment, "CONNECTIONS_PER_ADDRESS": "0"}, port)
    running.read_until("web.started")
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_served(web: Web, producer_key: str) -> bool:
    """Whether it accepts notifications."""
    body = json.dumps(
        {
            "type": "order_shipped",
            "recipients": [{"id": "alice", "email": "alice@example.test"}],
            "data": {"order_id": "A1"},
        }
    )
    start = (
        f"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {producer_key}\r\n"
        "Connection: close\r\n"
    )
    try:
        return web.says(f"{start}Content-Length: {len(body)}\r\n\r\n{body}".encode()).startswith(b"HTTP/1.1 202")
    except OSError:
        return False


def fate(connection: socket.socket) -> str:
    """held: the server waits for a request; refused: it has said or closed."""
    connection.setblocking(False)
    try:
        return "refused" if connection.recv(20) in (b"", b"HTTP/1.1 503 Service") else "held"
    except BlockingIOError:
        return "held"
    except ConnectionError:
        return "refused"


def test_connections_without_end_are_refused_and_service_returns_by_itself(
    environment: dict[str, str], port: int, producer_key: str, tell: Tell
) -> None:
    limited = (
        "-c",
        f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS})); "
        "sys.argv = ['wsgi.py']; runpy.run_path('wsgi.py', run_name='__main__')",
    )
    web = start({**environment, "CONNECTIONS_PER_ADDRESS": "0"}, port, *limited)
    line = web.read_until("web.started")
    most = int(re.search(r"connections=(\d+)", line)[1])  # type: ignore[index]
    flood = [web.connect() for _ in range(2 * DESCRIPTORS)]
    eventually(lambda: Counter(map(fate, flood))["refused"] == len(flood) - most)
    assert not is_served(web, producer_key)
    held = [connection for connection in flood if fate(connection) == "held"]
    held[0].setblocking(True)
    held[0].sendall(HEALTH)
    assert held[0].recv(12) == b"HTTP/1.1 200"
    began_at = time.monotonic()
    for connection in flood:
        connection.close()
    eventually(lambda: is_served(web, producer_key))
    tell(
        f"{DESCRIPTORS} descriptors, {len(flood)} connections: {most} held, the others refused; back "
        f"{time.monotonic() - began_at:.2f} s after they went"
    )
    web.stop()


def test_no_descriptors_at_all_are_survived(web: Web, producer_key: str, tell: Tell) -> None:
    pid = web.process.pid
    assert is_served(web, producer_key)
    open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    waiting = [web.connect() for _ in range(20)]
    web.read_until("web.cannot_accept")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: is_served(web, producer_key))
    for connection in waiting:
        connection.sendall(HEALTH)
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()
    tell("no descriptor left for a while: nobody who had knocked was lost")
    web.stop()


def memory_of(web: Web) -> int:
    """Bytes."""
    [line] = [
        line for line in Path(f"/proc/{web.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


START = b"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\n"
ENDLESS = {
    "a request line": b"GET /",
    "a header": START + b"X: ",
    "a chunk size nobody reads": START + b"Transfer-Encoding: chunked\r\n\r\n5;",
    "a trailer nobody reads": START + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    "a chunk size that is read": START + b"Authorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n5;",
    "a body nobody reads": START + b"Content-Length: 100000000\r\n\r\n",
    "a WebSocket's message": b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x01\x81\0\0\0\0a",
}


@pytest.mark.parametrize("sent", ENDLESS.values(), ids=ENDLESS)
def test_lines_without_end_take_no_memory(
    web: Web, producer_key: str, tell: Tell, request: pytest.FixtureRequest, sent: bytes
) -> None:
    assert is_served(web, producer_key)
    before = memory_of(web)
    taken: list[int] = []

    def flood() -> None:
        more = b"\0\x81\0\0\0\0a" * 10_000 if sent.endswith(b"\0a") else b"a" * 70_000
        with web.connect() as connection:
            count = 0
            try:
                connection.sendall(sent.replace(b"%s", producer_key.encode()))
                while count < 40 * MIB:
                    count += connection.send(more)
            except OSError:
                pass
            taken.append(count)

    threads = [threading.Thread(target=flood) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = memory_of(web) - before
    tell(f"{request.node.name}: 20 at once, {sum(taken) / MIB:.0f} MiB sent, the process grew by {grown / MIB:.0f} MiB")
    assert all(count < 40 * MIB for count in taken)
    assert grown < 40 * MIB
    assert is_served(web, producer_key)


def test_heads_that_come_byte_by_byte_are_cut_and_others_served_meanwhile(
    web: Web, producer_key: str, tell: Tell
) -> None:
    slow = [web.connect() for _ in range(100)]
    began_at = time.monotonic()
    cut_after: list[float] = []
    served = 0
    for connection in slow:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
    while slow:
        for connection in list(slow):
            try:
                connection.setblocking(True)
                connection.sendall(b"a")
                connection.setblocking(False)
                is_cut = connection.recv(12) in (b"", b"HTTP/1.1 408")
            except BlockingIOError:
                is_cut = False
            except ConnectionError:
                is_cut = True
            if is_cut:
                cut_after.append(time.monotonic() - began_at)
                connection.close()
                slow.remove(connection)
        assert is_served(web, producer_key)
        served += 1
        time.sleep(0.2)
    assert min(cut_after) > 9
    tell(
        f"100 heads byte by byte: cut after {min(cut_after):.1f} to {max(cut_after):.1f} s, {served} of {served} "
        "others served meanwhile"
    )
    web.stop()
