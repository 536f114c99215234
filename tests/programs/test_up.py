"""`python -m notifier up`, as a person runs it: real processes, killed and stopped for real."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notifier.programs.up import CannotStart, only_one, refuse_shared
from tests.running import ROOT, Up, eventually, free_port
from tests.tracing import Collector, Received

ALL = {"redis", "web", "worker", "scheduler"}

pytestmark = pytest.mark.slow


def exists(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture(scope="module")
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "home"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def up(home: Path, port: int, collector: Collector) -> Iterator[Up]:
    telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    running = Up(home, port, **telemetry).until_ready()
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def shipped(order: str) -> dict[str, Any]:
    return {
        "type": "order_shipped",
        "recipients": [{"id": "alice", "email": "alice@example.test"}],
        "data": {"order_id": order},
    }


def statuses(up: Up, submission: str) -> dict[str, str]:
    found = up.call(f"/api/v1/submissions/{submission}")
    return {
        delivery["channel"]: delivery["status"]
        for notification in found["notifications"]
        for delivery in notification["deliveries"]
    }


def is_delivered(up: Up, submission: str) -> bool:
    return statuses(up, submission)["email"] == "delivered"


# The tests below are one story and run in this order.


def test_it_starts_redis_web_worker_and_scheduler(up: Up) -> None:
    assert set(up.children()) == ALL
    assert up.call("/readyz") == {"status": "ok", "database": "ok", "redis": "ok", "workers": 1, "schedulers": 1}


def test_the_first_start_tells_the_sign_in(up: Up) -> None:
    """At once, and at the end, below all that the start has said."""
    early, _, late = up.text().partition("Notifier is ready")
    assert [part.count("Sign in as admin@localhost.test, Password ") for part in (early, late)] == [1, 0]
    assert [part.count("Sign in as   admin@localhost.test") for part in (early, late)] == [0, 1]


def test_its_children_are_in_sessions_of_their_own(up: Up) -> None:
    assert os.getsid(up.process.pid) not in {os.getsid(pid) for pid in up.children().values()}


def test_what_it_writes_is_for_its_own_account_only(up: Up, home: Path) -> None:
    files = [home / "notifier.db", home / "secret_key", home / "encryption_keys", home / "redis.sock"]
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []


def test_a_notification_is_delivered(up: Up) -> None:
    sent = up.call("/api/v1/notifications", shipped("A1"))
    eventually(lambda: is_delivered(up, sent["id"]))


def test_all_processes_record_it_in_one_trace(up: Up, collector: Collector) -> None:
    """A scheduler applies what the sandbox says of it a second later."""
    sent = up.call(
        "/api/v1/notifications",
        {**shipped("A2"), "recipients": [{"id": "uma", "email": "undelivered@sandbox.test"}], "channels": ["email"]},
    )
    services = {"accept": "notifier-web", "send": "notifier-worker", "receipt": "notifier-scheduler"}

    def followed() -> dict[str, Received]:
        return {span.name: span for span in collector.spans if span.facts.get("submission") == sent["id"]}

    eventually(lambda: {name: span.service for name, span in followed().items()} == services)
    accept = followed()["accept"]
    assert {(span.trace, span.parent) for span in followed().values()} == {
        (accept.trace, accept.parent),
        (accept.trace, accept.id),
    }
    batches = [span for span in collector.spans if span.name == "deliver.batch"]
    assert [span.service for span in batches if accept.trace in span.links] == ["notifier-worker"]


def test_the_doctor_finds_no_fault_in_it(up: Up) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notifier", "doctor"],
        cwd=ROOT,
        env=up.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert [
        said
        for said in ("1 worker on ", "1 scheduler on ", "the clocks agree: ", "leads here")
        if said not in done.stdout
    ] == []


def test_a_second_one_on_the_same_state_is_refused(up: Up, home: Path, port: int) -> None:
    second = Up(home, port)
    assert second.process.wait(60) == 1
    assert f"Notifier is already running on {home} (process {up.process.pid})" in second.text()


def test_a_port_in_use_is_said_in_a_sentence(up: Up, tmp_path: Path, port: int) -> None:
    other = Up(tmp_path / "home", port)
    assert other.process.wait(60) == 1
    assert f"Port {port} of 127.0.0.1 is in use." in other.text()
    assert "Traceback" not in other.text()


@pytest.mark.parametrize("name", ["worker", "scheduler", "web", "redis"])
def test_a_killed_child_is_started_again(up: Up, name: str) -> None:
    before = up.children()
    os.kill(before[name], signal.SIGKILL)
    eventually(lambda: up.children().get(name, before[name]) != before[name])
    eventually(up.is_whole)
    after = up.children()
    assert {other: pid for other, pid in after.items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }
    assert f"{name} ended (SIGKILL); it is started again" in up.text()


def test_who_calls_while_web_is_started_again_waits_and_is_answered(up: Up) -> None:
    web = up.children()["web"]
    up.process.send_signal(signal.SIGSTOP)  # so that it is not started again before we have called
    try:
        os.kill(web, signal.SIGKILL)
        eventually(lambda: not exists(web))
        waiting = [socket.create_connection(("127.0.0.1", up.port), timeout=60) for _ in range(20)]
        for connection in waiting:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    finally:
        up.process.send_signal(signal.SIGCONT)
    assert {connection.recv(12) for connection in waiting} == {b"HTTP/1.1 200"}
    for connection in waiting:
        connection.close()
    eventually(up.is_whole)


def test_only_it_and_web_hold_the_port(up: Up) -> None:
    """Whoever else had inherited the socket would keep it open when both have ended."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    processes = {"up": up.process.pid, **up.children()}
    sockets = {
        name: {os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
        for name, pid in processes.items()
    }
    [listens] = [
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if f":{up.port:04X} 00000000:0000 0A" in line
    ]
    assert {name for name, files in sockets.items() if f"socket:[{listens}]" in files} == {"up", "web"}


def test_what_was_accepted_while_the_worker_was_dead_is_delivered(up: Up) -> None:
    os.kill(up.children()["worker"], signal.SIGKILL)
    sent = up.call("/api/v1/notifications", shipped("A2"))
    eventually(lambda: is_delivered(up, sent["id"]))


def test_new_connections_are_refused_once_it_stops_and_what_is_in_flight_is_answered(home: Path) -> None:
    stopping = Up(home.with_name("stopping"), free_port(), HOST="::1").until_ready()
    body = json.dumps(shipped("A1")).encode()
    head = (
        f"POST /api/v1/notifications HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        f"{stopping.key}\r\nContent-Type: application/json\r\n"
    )
    head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("::1", stopping.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the handler waits for the body
        stopping.process.send_signal(signal.SIGINT)
        eventually(lambda: "web.stopping" in stopping.text())
        eventually(lambda: not _is_serving(stopping.port, "::1"))
        connection.sendall(body)
        assert connection.recv(12) == b"HTTP/1.1 202"
    assert stopping.process.wait(60) == 0


def test_ctrl_c_stops_them_in_order_and_exits_0(up: Up) -> None:
    before = up.children()
    assert up.stop() == 0
    told = up.text()
    assert [pid for pid in before.values() if exists(pid)] == []
    ends = [
        told.index(word)
        for word in ("notifier  stopping", "web.stopped", "scheduler.stopped", "worker.stopped", "notifier  stopped")
    ]
    assert ends == sorted(ends)
    assert "Traceback" not in told[ends[0] :]


def test_a_second_start_finds_everything_again_and_a_kill_ends_everything(up: Up, home: Path, port: int) -> None:
    again = Up(home, port).until_ready()
    try:
        listed = again.call("/api/v1/notifications?user=alice")["data"]
        assert {item["data"]["order_id"] for item in listed} == {"A1", "A2"}
        assert "Password" not in again.text()
        children = again.children()
    finally:
        again.process.kill()
        again.process.wait()
    eventually(lambda: not any(exists(pid) for pid in children.values()))


def test_a_signal_while_starting_ends_it_too(home: Path, port: int) -> None:
    started = Up(home, port)
    eventually(lambda: "database" in started.text())
    children = started.children()
    assert started.stop(signal.SIGTERM) == 0
    assert [pid for pid in children.values() if exists(pid)] == []


def test_keys_that_do_not_fit_are_said_in_a_sentence(home: Path, port: int) -> None:
    key = "other:" + "A" * 43 + "="
    started = Up(home, port, ENCRYPTION_KEYS=key)
    assert started.process.wait(60) == 1
    assert "The keys do not fit the database" in started.text()
    assert "Traceback" not in started.text()


def test_it_goes_on_when_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "NOTIFIER_HOME": str(tmp_path / "home"),
        "PORT": str(port),
        "NOTIFIER_DEMO": "0",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "notifier", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        try:
            eventually(lambda: _is_serving(port))
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in told


def _is_serving(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def test_every_fault_of_the_settings_is_told_at_once(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "NOTIFIER_HOME": str(tmp_path),
        "PORT": "none",
        "SMTP_URL": "http://mail",
        "RETRY_DELAYS": "soon",
    }
    done = subprocess.run(
        [sys.executable, "-m", "notifier", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert [name for name in ("PORT", "SMTP_URL", "RETRY_DELAYS") if name not in done.stderr] == []


def test_a_state_directory_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home, why in ((tmp_path / "file", "File exists"), (tmp_path / "file" / "home", "Not a directory")):
        with pytest.raises(CannotStart, match=f"{home} cannot be written: {why}"), only_one(home):
            pass


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_socket_in_a_directory_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    with pytest.raises(CannotStart, match="Other users can write"):
        refuse_shared(tmp_path)


def test_a_socket_in_a_directory_of_our_own_is_fine(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    refuse_shared(tmp_path)
