"""Child processes: started, watched and stopped, and ended with their parent.

Used by `programs.up` and `programs.worker`. On Linux the kernel ends a child whose parent has ended (PR_SET_PDEATHSIG);
elsewhere a `Watch` does.
"""

import contextlib
import ctypes
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from notifier.programs.listening import BACKLOG

POLL_S = 0.1
_SETTLED_S = 10.0  # one that ends by itself sooner than this is started again more and more slowly
_FIRST_RESTART_S, _SLOWEST_RESTART_S = 0.25, 5.0
_PR_SET_PDEATHSIG = 1


class Child:
    """One supervised program.

    `listener`: a socket it inherits, bound to a port by number. It outlives the program, so that connections made
    during a restart wait. Nobody waits for a program that keeps ending.
    """

    def __init__(self, name: str, command: Sequence[str], listener: socket.socket | None = None) -> None:
        self.name = name
        self.command = command
        self.listener = listener
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.restart_at = 0.0
        self.restart_delay_s = 0.0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, stdout: int | None = None) -> "subprocess.Popen[bytes]":
        """In a session of its own: a Ctrl-C at the terminal does not reach it. Raises OSError."""
        self.started_at = time.monotonic()
        if self.listener:
            self.listener.listen(BACKLOG)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            pass_fds=[self.listener.fileno()] if self.listener else [],
            start_new_session=True,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        return self.process

    def start_again(self) -> str | None:
        """When it is time to. → what to tell: that it cannot be done at present, memory or processes having run out
        say.
        """
        if time.monotonic() < self.restart_at:
            return None
        try:
            self.start()
        except OSError as error:
            self._wait_longer()
            return f"{self.name} cannot be started ({error.strerror}); tried again in {self.restart_delay_s:g} s"
        return None

    def note_end(self) -> str:
        """Decides when to start again; returns what to tell. A kill from outside says nothing about the program, so it
        is back at once.
        """
        assert self.process is not None
        code = self.process.returncode
        self.process = None
        ended_by_itself = code >= 0 and time.monotonic() - self.started_at < _SETTLED_S
        if ended_by_itself:
            self._wait_longer()
        else:
            self.restart_delay_s, self.restart_at = 0.0, time.monotonic()
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        again = (
            f"it keeps ending, so it is started again in {self.restart_delay_s:g} s"
            if self._keeps_ending
            else "it is started again"
        )
        return f"{self.name} ended ({how}); {again}"

    @property
    def _keeps_ending(self) -> bool:
        return self.restart_delay_s > _FIRST_RESTART_S

    def _wait_longer(self) -> None:
        self.restart_delay_s = min(max(_FIRST_RESTART_S, self.restart_delay_s * 2), _SLOWEST_RESTART_S)
        self.restart_at = time.monotonic() + self.restart_delay_s
        if self.listener and self._keeps_ending:
            with contextlib.suppress(OSError):  # only Linux can; elsewhere connections wait
                self.listener.shutdown(socket.SHUT_RD)  # resets who waits and refuses others, until it listens again

    def stop(self, deadline: float) -> None:
        """Asks it to end, and kills it and whatever it started at `deadline` (monotonic seconds)."""
        if self.listener:
            self.listener.close()  # first: once the program has closed its own, connections are refused
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Watch:
    """Ends the children when this process is gone, where the kernel cannot be asked to: a fork that waits for our pipe
    to close.
    """

    def __init__(self) -> None:
        reading, self._pipe = os.pipe()
        self._told: list[int] = []
        if os.fork() == 0:
            os.setsid()
            os.close(self._pipe)
            _end_when_closed(reading)
            os._exit(0)
        os.close(reading)

    def look_after(self, pids: list[int]) -> None:
        if pids != self._told:
            os.write(self._pipe, f"{' '.join(map(str, pids))}\n".encode())
            self._told = pids


def _end_when_closed(reading: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pids: list[int] = []
    with open(reading) as lines:
        for line in lines:
            pids = [int(word) for word in line.split()]
    for number, wait_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 0.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and any(map(_exists, pids)):
            time.sleep(POLL_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """Called by a child before it becomes its program: on Linux the kernel ends it when its parent has ended."""
    return functools.partial(_ask_for_death_signal, _libc(), parent) if sys.platform == "linux" else None


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _ask_for_death_signal(libc: ctypes.CDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # gone already, before the kernel knew of our wish
        os._exit(1)
