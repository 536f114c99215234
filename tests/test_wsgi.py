"""The web process from outside: it finishes what it holds, and says what is in its way."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from apiflask import APIFlask
from websocket import ABNF, WebSocket, WebSocketException, WebSocketTimeoutException, create_connection

from notifier.ground import vital
from notifier.ground.config import ROOT
from notifier.programs import listening
from tests.running import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"),
    pytest.mark.usefixtures("app"),
]


@dataclass
class Web:
    process: "subprocess.Popen[str]"
    port: int

    def read_until(self, event: str) -> str:
        assert self.process.stderr
        for line in self.process.stderr:
            if event in line:
                return line
        pytest.fail(f"it ended before {event}")

    def says(self, sent: bytes) -> bytes:
        """The whole of what it answers before it closes the connection."""
        with self.connect() as connection:
            connection.sendall(sent)
            answer = b""
            while piece := connection.recv(10_000):
                answer += piece
        return answer

    def stop(self) -> list[str]:
        """→ the lines it has logged since they were read last."""
        self.process.send_signal(signal.SIGTERM)
        lines = self.rest()
        assert self.process.returncode == 0
        return lines

    def rest(self) -> list[str]:
        """→ the lines until it has ended."""
        assert self.process.stderr
        lines = list(self.process.stderr)
        self.process.wait(60)
        return lines

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def start(environment: dict[str, str], port: int, *command: str, keeps: Sequence[int] = ()) -> Web:
    env = {"PATH": os.environ["PATH"], **environment, "PORT": str(port)}
    command = command or ("-m", "notifier", "web")
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=keeps,
    )
    return Web(process, port)


def events(lines: Iterable[str]) -> list[str]:
    return [word for line in lines for word in line.split() if word.startswith("web.")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@contextlib.contextmanager
def started(environment: dict[str, str], port: int) -> Iterator[Web]:
    running = start(environment, port)
    running.read_until("web.started")
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.fixture
def web(environment: dict[str, str], port: int) -> Iterator[Web]:
    """One of the test's own, which it may end or read the lines of."""
    with started(environment, port) as running:
        yield running


@pytest.fixture(scope="module")
def shared_web(migrated_app: APIFlask, environment: dict[str, str]) -> Iterator[Web]:
    """One for all tests that leave it running: a start takes seconds."""
    with started(environment, free_port()) as running:
        yield running


def test_a_request_in_flight_is_finished_after_sigterm(web: Web, producer_key: str) -> None:
    body = json.dumps(
        {
            "type": "order_shipped",
            "recipients": [{"id": "alice", "email": "alice@example.test"}],
            "data": {"order_id": "A1"},
        }
    ).encode()
    head = (
        f"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {producer_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with web.connect() as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the handler waits for the body
        web.process.send_signal(signal.SIGTERM)
        web.read_until("web.stopping")
        connection.sendall(body)
        assert connection.recv(20).startswith(b"HTTP/1.1 202")
    assert web.process.wait(30) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_request_that_has_come_when_it_stops_is_answered(web: Web) -> None:
    """Also one that nobody has read yet: it would be carried out, and its client not told."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with web.connect() as connection:
        connection.sendall(request)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        with a_full_log(web):  # it cannot say that it stops, and does nothing else meanwhile
            web.process.send_signal(signal.SIGTERM)
            eventually(lambda: "pipe" in Path(f"/proc/{web.process.pid}/wchan").read_text())
            connection.sendall(request)
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
    assert web.process.wait(30) == 0


@contextlib.contextmanager
def a_full_log(web: Web) -> Iterator[None]:
    """Whatever it logs now waits, and so does the whole process; it is read at the end."""
    pipe = os.open(f"/proc/{web.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, b"." * 1023 + b"\n")
    os.close(pipe)
    yield
    web.read_until("web.stopping")


def test_an_idle_connection_holds_nothing_up(web: Web) -> None:
    with web.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
        web.process.send_signal(signal.SIGTERM)
        web.read_until("web.stopped")
    assert web.process.wait(30) == 0


def test_what_people_wrote_is_put_into_words_by_a_process_beside_it_that_ends_with_it(
    web: Web, producer_key: str
) -> None:
    body = json.dumps(
        {
            "type": "order_shipped",
            "recipients": [{"id": "alice", "email": "alice@example.test"}],
            "data": {"order_id": "A1"},
        }
    ).encode()
    head = (
        "POST /api/v1/notifications?dry_run=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        f"{producer_key}\r\n"
    )
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    for _ in range(3):  # it has to wait for its next call
        answer = web.says(head.encode() + body)
        assert b"rendered" in answer, answer[:500]
        time.sleep(0.3)
    children = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text().split()
    assert [b"notifier.ground.process_pool" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children] == [
        True
    ]
    web.process.send_signal(signal.SIGTERM)
    assert web.process.wait(30) == 0
    eventually(lambda: not Path(f"/proc/{children[0]}").exists())


def test_a_port_in_use_is_said_in_a_sentence(shared_web: Web, environment: dict[str, str]) -> None:
    second = start(environment, shared_web.port)
    _, errors = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{shared_web.port}: Address already in use." in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_answers_those_who_wait_at_a_socket_that_was_handed_to_it(environment: dict[str, str], host: str) -> None:
    with listening.bound(host, 0) as listener:
        listener.listen()
        port = int(listener.getsockname()[1])
        with socket.create_connection((host, port), timeout=60) as waiting:
            waiting.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
            web = start(
                environment, port, "-m", "notifier", "web", "--fd", str(listener.fileno()), keeps=[listener.fileno()]
            )
            assert waiting.recv(12) == b"HTTP/1.1 200"
    assert events(web.stop()) == ["web.started", "web.stopping", "web.stopped"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=60)


def test_nobody_waits_with_it_for_a_database(environment: dict[str, str], tmp_path: Path) -> None:
    with listening.bound("127.0.0.1", 0) as listener:
        listener.listen()
        address = listener.getsockname()
        without = {**environment, "DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}"}
        web = start(
            without, address[1], "-m", "notifier", "web", "--fd", str(listener.fileno()), keeps=[listener.fileno()]
        )
        for _ in range(2):
            with socket.create_connection(address, timeout=60) as waiting:
                waiting.sendall(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")
                answer = b""
                while piece := waiting.recv(10_000):
                    answer += piece
            assert (answer[:12], b"Retry-After: 5\r\n" in answer) == (b"HTTP/1.1 503", True)
    assert events(web.stop()) == []


def test_a_file_descriptor_that_is_no_socket_is_said_in_a_sentence(environment: dict[str, str], port: int) -> None:
    done = start(environment, port, "-m", "notifier", "web", "--fd", "0")
    _, errors = done.process.communicate(timeout=60)
    assert done.process.returncode == 1
    assert "Cannot listen on the file descriptor 0: Socket operation on non-socket." in errors
    assert "Traceback" not in errors


HEAD = b"Host: localhost\r\nConnection: close\r\n"


def is_served(web: Web, more: bytes = b"") -> bool:
    """A refusal may be lost: the connection is closed over a request that nobody has read."""
    try:
        return web.says(b"GET /healthz HTTP/1.1\r\n" + HEAD + more + b"\r\n").startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False


MALFORMED = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "a folded line": b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X: a\r\n b\r\n\r\n",
    "two lengths": b"POST /notify HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "length and encoding": b"POST /notify HTTP/1.1\r\n"
    + HEAD
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "half a head": None,
}
BROKEN_BODIES = {
    "a chunk size of Python's": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk that ends in a bare line feed": b"2\r\n{}\n0\r\n\r\n",
    "a chunk size without end": b"2;" + b"a" * 100_000,
}


def test_a_malformed_request_is_answered_and_leaves_one_line(web: Web, producer_key: str) -> None:
    answers = []
    for sent in MALFORMED.values():
        with web.connect() as connection:
            connection.sendall(sent or b"GET / HTTP/1.1\r\nHost")
            connection.shutdown(socket.SHUT_WR)
            answers.append(connection.recv(10_000))
    request_ids = re.findall(r"X-Request-Id: (\S+)", b"".join(answers).decode())
    answers = [answer[:12] for answer in answers]
    start = f"POST /api/v1/notifications HTTP/1.1\r\nAuthorization: Bearer {producer_key}\r\n".encode() + HEAD.replace(
        b"close", b"keep-alive"
    )
    answers += [web.says(start + b"Transfer-Encoding: chunked\r\n\r\n" + body)[:12] for body in BROKEN_BODIES.values()]
    assert answers == [b"HTTP/1.1 400"] * (len(MALFORMED) + len(BROKEN_BODIES))
    lines = [line for line in web.stop() if "web.stop" not in line]
    assert events(lines) == ["web.request_refused"] * len(lines) == ["web.request_refused"] * len(answers), lines
    assert len(request_ids) == len(MALFORMED)
    assert [request_id for request_id in request_ids if request_id not in "".join(lines)] == []


def test_a_body_that_nobody_reads_is_bounded_as_one_that_is_read(shared_web: Web) -> None:
    start = b"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\n"
    for body in (
        b"Content-Length: 9000000\r\n\r\n" + b"a" * 5_000_000,
        *(b"Transfer-Encoding: chunked\r\n\r\n" + body for body in BROKEN_BODIES.values()),
    ):
        answer = b""
        # What is on its way when it closes may be lost
        with shared_web.connect() as connection, contextlib.suppress(ConnectionError):
            connection.sendall(start + body)
            while piece := connection.recv(100_000):
                answer += piece
        assert answer[:12] in (b"", b"HTTP/1.1 401")
    assert shared_web.says(b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n").startswith(b"HTTP/1.1 200")


def test_a_chunked_body_is_read_and_the_next_request_after_it(shared_web: Web, producer_key: str) -> None:
    body = json.dumps(
        {
            "type": "order_shipped",
            "recipients": [{"id": "alice", "email": "alice@example.test"}],
            "data": {"order_id": "A1"},
        }
    ).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:7], body[7:])) + b"0\r\n\r\n"
    start = (
        f"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {producer_key}\r\n".encode()
    )
    answer = shared_web.says(
        start + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n"
    )
    assert answer.count(b"HTTP/1.1 202") == answer.count(b"HTTP/1.1 200") == 1


def say_without_end(wire: WebSocket) -> None:
    for _ in range(10_000):
        wire.send_frame(ABNF.create_frame("a" * 1_000, ABNF.OPCODE_CONT, fin=0))
    while True:
        wire.recv()


def test_a_websocket_says_what_it_has_to_say_in_bounds(shared_web: Web) -> None:
    url = f"ws://127.0.0.1:{shared_web.port}/socket.io/?EIO=4&transport=websocket"
    wire = create_connection(url, timeout=30)
    assert wire.recv().startswith("0{")
    wire.send("40/inbox," + json.dumps({"token": "a" * 40_000}))
    assert wire.recv().startswith("44/inbox,")  # refused, for want of a token
    wire.send_frame(ABNF.create_frame("4", ABNF.OPCODE_TEXT, fin=0))
    with pytest.raises((WebSocketException, OSError)) as ended:
        say_without_end(wire)
    assert not isinstance(ended.value, WebSocketTimeoutException)


def test_a_forgotten_dialect_of_websockets_is_not_spoken(shared_web: Web) -> None:
    start = (
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
        b"Upgrade\r\nOrigin: http://x\r\n"
    )
    with shared_web.connect() as connection:
        connection.sendall(start + b"Sec-WebSocket-Key1: 1 2\r\nSec-WebSocket-Key2: 3 4\r\n\r\n01234567")
        assert connection.recv(12) == b"HTTP/1.1 426"


def test_a_thousand_requests_at_once_hold_nobody_up(shared_web: Web) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with shared_web.connect() as greedy:
        greedy.sendall(request * 1_200)
        assert is_served(shared_web)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 1_200:
            answers += greedy.recv(100_000)


def test_one_address_holds_so_many_connections_and_no_more(environment: dict[str, str], port: int) -> None:
    web = start({**environment, "CONNECTIONS_PER_ADDRESS": "3"}, port)
    web.read_until("web.started")
    held = [web.connect() for _ in range(3)]
    assert web.says(b"").startswith(b"HTTP/1.1 503")
    held.pop().close()
    eventually(lambda: is_served(web))
    assert events(web.stop())[0] == "web.address_refused"


def test_a_proxy_that_is_not_trusted_is_told_of_once(environment: dict[str, str], port: int) -> None:
    web = start(environment, port)
    web.read_until("web.started")
    for _ in range(2):
        assert is_served(web, b"X-Forwarded-For: 203.0.113.9\r\n")
    assert events(web.stop()).count("web.proxy_not_trusted") == 1


def test_behind_a_proxy_the_clients_it_names_are_counted_and_not_itself(
    environment: dict[str, str], port: int, producer_key: str
) -> None:
    web = start({**environment, "CONNECTIONS_PER_ADDRESS": "1", "TRUSTED_PROXIES": "1"}, port)
    web.read_until("web.started")
    waits = (
        b"POST /api/v1/notifications HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nX-Forwarded-For: %s\r\n"
        + f"Authorization: Bearer {producer_key}\r\n".encode()
        + HEAD
        + b"\r\n"
    )
    held = []
    for client in (b"203.0.113.1", b"203.0.113.2", b"203.0.113.3"):
        held.append(web.connect())
        held[-1].sendall(waits % client)
        assert held[-1].recv(100).startswith(b"HTTP/1.1 100")
    assert web.says(waits % b"203.0.113.2").startswith(b"HTTP/1.1 503")
    pretended = waits.replace(b"X-Forwarded-For", b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For")
    assert web.says(pretended % b"203.0.113.2").startswith(b"HTTP/1.1 503")  # the proxy's own line counts
    held[1].sendall(b"{}")
    assert b"HTTP/1.1 422" in held[1].recv(10_000)
    held[1].close()
    eventually(lambda: is_served(web, b"X-Forwarded-For: 203.0.113.2\r\n"))
    for connection in held:
        connection.close()
    web.stop()


DEAF = """
import sys, wsgi
class Listener(wsgi.guard.Listener):
    def accept(self):
        taken = super().accept()
        if taken[1][1] == int(sys.argv[1]):
            self._listening.close()
        return taken
wsgi.guard.Listener = Listener
sys.exit(wsgi.serve())
"""


def test_nobody_waits_while_the_name_of_a_collector_is_looked_up() -> None:
    """The name server answers once somebody else had a turn, and not before."""
    program = """
import wsgi, eventlet, socket
real = eventlet.patcher.original("threading")
somebody_else = real.Event()
wsgi._look_up = lambda host, port: somebody_else.wait() and [(host, port)]
looking = eventlet.spawn(wsgi._looked_up, "collector", 4318)
eventlet.spawn_after(0.01, somebody_else.set)
print(looking.wait())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "[('collector', 4318)]\n"


def test_whatever_ends_the_listener_ends_the_process(environment: dict[str, str], port: int) -> None:
    with socket.socket() as last:
        last.bind(("127.0.0.1", 0))
        web = start(environment, port, "-c", DEAF, str(last.getsockname()[1]))
        web.read_until("web.started")
        with web.connect() as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert idle.recv(20).startswith(b"HTTP/1.1 200")
            last.connect(("127.0.0.1", port))
            web.read_until("process.thread_lost")
            lines = web.rest()
    assert web.process.returncode == vital.EXIT_CODE
    assert events(lines) == ["web.stopping", "web.stopped"]
