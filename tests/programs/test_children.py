"""The supervisor's mechanics on small programs of our own: nothing outlives who started it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notifier.programs import listening
from notifier.programs.children import Child
from tests.running import free_port

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a child, tells its id, and waits to be killed. `{watched}` is how the child is told of that.
PARENT = """
import os, subprocess, sys, time
from notifier.programs import children
{setup}
child = children.Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
pid = child.start().pid
{after}
print(pid, flush=True)
time.sleep(60)
"""


def exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(question: Callable[[], bool], within_s: float = 60.0) -> bool:
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        if question():
            return True
        time.sleep(0.02)
    return False


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")


@needs_proc
@pytest.mark.parametrize(
    ("setup", "after"),
    [
        pytest.param("", "", id="the kernel ends it"),
        pytest.param(
            "watch = children.Watch(); sys.platform = 'elsewhere'",
            "watch.look_after([child.process.pid])",
            id="the watch ends it",
        ),
    ],
)
def test_a_child_ends_when_its_parent_is_killed(setup: str, after: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(setup=setup, after=after)], stdout=subprocess.PIPE)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    assert exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: not exists(pid))


def test_a_child_is_in_a_session_of_its_own() -> None:
    child = Child("sleeper", SLEEP)
    process = child.start()
    assert os.getsid(process.pid) != os.getsid(0)
    child.stop(time.monotonic() + 10)
    assert process.returncode == -signal.SIGTERM


def test_a_child_that_ignores_the_request_is_killed_at_the_deadline() -> None:
    child = Child(
        "stubborn",
        [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)",
        ],
    )
    process = child.start(stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    child.stop(time.monotonic())
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL


def ended(code: str) -> Child:
    child = Child("short", [sys.executable, "-c", code])
    child.start().wait()
    return child


def test_a_killed_child_is_started_again_at_once() -> None:
    child = ended("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert child.note_end() == "short ended (SIGKILL); it is started again"
    assert child.restart_delay_s == 0


def test_a_child_that_keeps_ending_is_started_more_and_more_slowly() -> None:
    child = Child("short", [sys.executable, "-c", "raise SystemExit(3)"])
    delays = []
    for _ in range(7):
        child.start().wait()
        told = child.note_end()
        delays.append(child.restart_delay_s)
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert told == "short ended (exit code 3); it keeps ending, so it is started again in 5 s"


def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    child = Child("program", [str(program)])
    assert child.start_again() == "program cannot be started (No such file or directory); tried again in 0.25 s"
    assert not child.is_running
    program.write_text("#!/bin/sh\nsleep 60\n")
    program.chmod(0o700)
    assert eventually(lambda: child.start_again() is None and child.is_running)
    child.stop(time.monotonic())


# Answers each connection with its own process id.
SERVE = """
import os, socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    connection.close()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with listening.bound("127.0.0.1", free_port()) as bound:
        yield bound


def child_with(listener: socket.socket, program: str) -> Child:
    return Child("server", [sys.executable, "-c", program, str(listener.fileno())], listener)


def call(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=60)


def test_who_calls_while_a_program_is_started_again_is_answered_by_the_next_one(listener: socket.socket) -> None:
    address = listener.getsockname()
    child = child_with(listener, SERVE)
    with pytest.raises(ConnectionRefusedError):
        call(address)
    first = child.start()
    first.kill()
    first.wait()
    with call(address) as waiting:
        child.note_end()
        child.start_again()
        assert child.process
        assert child.process.pid != first.pid
        assert waiting.recv(20) == str(child.process.pid).encode()
    child.stop(time.monotonic() + 5)
    with pytest.raises(ConnectionRefusedError):
        call(address)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a socket elsewhere cannot stop listening")
def test_nobody_waits_for_a_program_that_keeps_ending(listener: socket.socket) -> None:
    address = listener.getsockname()
    child = child_with(listener, "raise SystemExit(3)")
    child.start().wait()
    with call(address) as waiting:
        assert child.note_end() == "server ended (exit code 3); it is started again"
        call(address).close()
        assert eventually(lambda: child.start_again() is None and child.process is not None)
        assert child.process
        child.process.wait()
        assert "it keeps ending" in child.note_end()
        with pytest.raises(ConnectionResetError):
            waiting.recv(20)
    with pytest.raises(ConnectionRefusedError):
        call(address)
    child.command = child_with(listener, SERVE).command
    assert eventually(lambda: child.start_again() is None and child.process is not None)
    with call(address) as answered:
        assert child.process
        assert answered.recv(20) == str(child.process.pid).encode()
    child.stop(time.monotonic() + 5)


def test_a_port_that_another_has_taken_meanwhile_is_tried_again_later() -> None:
    with listening.bound("127.0.0.1", 0) as ours:
        with listening.bound(*ours.getsockname()) as others:
            others.listen()
            child = child_with(ours, SERVE)
            with pytest.raises(OSError, match="Address already in use"):
                child.start()
            assert child.start_again() == "server cannot be started (Address already in use); tried again in 0.25 s"
        assert eventually(lambda: child.start_again() is None and child.process is not None)
        child.stop(time.monotonic() + 5)
