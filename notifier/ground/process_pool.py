"""Runs user-written programs (templates, schemas) in child processes, one call at a time in each, so that nobody waits
for them.

Called through `run` for work that may take long. The web process has two pools, since its green threads share one real
thread: AUTHORS for people who write templates and schemas, and MESSAGES for submissions, which therefore never wait for
authors. In other processes and in tests, the function is called directly. A child knows no settings or secrets: it gets
a function's name and plain values, and returns plain values.
"""

import contextlib
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import structlog
from flask import Flask, current_app, has_app_context

from notifier.core.errors import Rejected
from notifier.ground.config import PACKAGE
from notifier.ground.variables import bare_environment

AUTHORS, MESSAGES = "authors", "messages"
_SIZES = {AUTHORS: 1, MESSAGES: 2}  # processes
# For a process that is free; a whole batch of submissions waits with the one
_LONGEST_WAITS_S = {AUTHORS: 5.0, MESSAGES: 1.0}
_LONGEST_CALL_S = 10.0  # no call has that much work; an overloaded machine gets the rest
_MOST_MEMORY = 1024**3
_LENGTH = struct.Struct("!I")

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class ProcessPool:
    """Children are started as they are needed, and stay. They end with this process."""

    def __init__(
        self, size: int, *, longest_call_s: float = _LONGEST_CALL_S, longest_wait_s: float = _LONGEST_WAITS_S[AUTHORS]
    ) -> None:
        self._free = threading.BoundedSemaphore(size)
        self._longest_call_s, self._longest_wait_s = longest_call_s, longest_wait_s
        self._idle: list[_Child] = []

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns or raises what the function does. Raises Rejected('unavailable') if no process is free, or the call
        does not end.
        """
        if not self._free.acquire(timeout=self._longest_wait_s):
            raise Rejected("unavailable", "too much is being checked at the moment; try again", retry_after=5)
        try:
            child = self._idle.pop() if self._idle else _Child(self._longest_call_s)
            try:
                raised, result = child.call((function, args, kwargs))
            except (OSError, EOFError, pickle.PickleError) as error:
                child.end()
                log.warning(
                    "process_pool.call_failed",
                    function=getattr(function, "__qualname__", "?"),
                    error=type(error).__name__,
                )
                raise Rejected("unavailable", "this took too long, or broke; try again", retry_after=5) from None
            except BaseException:  # a green thread that is killed in the middle leaves half an answer behind
                child.end()
                raise
            self._idle.append(child)
        finally:
            self._free.release()
        if raised:
            raise result
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        while self._idle:
            self._idle.pop().end()


class _Child:
    def __init__(self, longest_call_s: float) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=PACKAGE.parent,
                env=bare_environment(),
                stdin=subprocess.DEVNULL,
            )
        self._line.settimeout(longest_call_s)

    def call(self, what: Any) -> tuple[bool, Any]:
        _write(self._line, what)
        answer: tuple[bool, Any] = _read(self._line)
        return answer

    def end(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()


def init_app(app: Flask, *, has_pools: bool) -> None:
    """Without pools calls are made where they stand."""
    names = _SIZES if has_pools else ()
    app.extensions["process_pools"] = {
        name: ProcessPool(_SIZES[name], longest_wait_s=_LONGEST_WAITS_S[name]) for name in names
    }


def run(pool: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs the function in that pool of the current app, or directly if there is none. It must be a pure function of a
    module, and its arguments and result must be picklable.

    Raises what the function raises, and Rejected('unavailable'), as `ProcessPool.run`.
    """
    pools: dict[str, ProcessPool] = current_app.extensions["process_pools"] if has_app_context() else {}
    return pools[pool].run(function, *args, **kwargs) if pool in pools else function(*args, **kwargs)


def _write(line: socket.socket, what: Any) -> None:
    body = pickle.dumps(what)
    line.sendall(_LENGTH.pack(len(body)) + body)


def _read(line: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    return pickle.loads(_exactly(line, length))


def _exactly(line: socket.socket, length: int) -> bytes:
    parts: list[bytes] = []
    while length:
        part = line.recv(min(length, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _serve(line: socket.socket) -> None:
    """The child: one call after the other, until the other end is gone."""
    while True:
        function, args, kwargs = _read(line)
        try:
            answer = (False, function(*args, **kwargs))
        except Exception as error:
            answer = (True, error)
        _write(line, answer)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the end of the line is what ends us
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    with contextlib.suppress(EOFError, OSError):
        line = socket.socket(fileno=int(sys.argv[1]))
        line.setblocking(True)  # the web process has made it one that waits for nothing
        _serve(line)
