"""The web process from outside: it finishes what it holds, and says what is in its way."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.processes, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"), pytest.mark.usefixtures("app")]


@dataclass
class Web:
    process: "subprocess.Popen[str]"
    port: int

    def read_until(self, event: str) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            if event in line:
                return
        pytest.fail(f"it ended before {event}")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def start(environment: dict[str, str], port: int) -> Web:
    env = {"PATH": os.environ["PATH"], **environment, "PORT": str(port)}
    return Web(subprocess.Popen([sys.executable, "-m", "notifier", "web"], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True), port)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def web(environment: dict[str, str], port: int) -> Iterator[Web]:
    running = start(environment, port)
    running.read_until("web.started")
    yield running
    running.process.kill()
    running.process.communicate()


def test_a_request_in_flight_is_finished_after_sigterm(web: Web, producer_key: str) -> None:
    body = json.dumps({"type": "order_shipped", "recipients": [{"id": "alice", "email": "alice@example.test"}], "data": {"order_id": "A1"}}).encode()
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


def test_an_idle_connection_holds_nothing_up(web: Web) -> None:
    with web.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
        web.process.send_signal(signal.SIGTERM)
        web.read_until("web.stopped")
    assert web.process.wait(30) == 0


def test_a_port_in_use_is_said_in_a_sentence(web: Web, environment: dict[str, str]) -> None:
    second = start(environment, web.port)
    _, errors = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{web.port}: Address already in use." in errors
    assert "Traceback" not in errors
