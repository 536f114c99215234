"""Runs `python -m …` in a process of its own which has everything imported already: imports are most of what a command
costs. (`wsgi.py` patches what it imports, so the web process is none of these.)
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TextIO

import notifier.programs.cli  # noqa: F401
import notifier.programs.worker  # noqa: F401
from notifier.__main__ import main

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])
_End = str | Connection  # the path of a file, or a pipe


def run_here(words: Sequence[str]) -> int:
    """`python -m notifier WORDS…` in this process, which keeps its umask: a database server that a later test starts
    would have files that nobody else may read.
    """
    mask = os.umask(0o077)
    try:
        return main(words)
    finally:
        os.umask(mask)


class Program:
    """`python -m MODULE WORDS…` as it runs, with no other environment than this: much of `subprocess.Popen`.

    What it prints is added to `log`. One that `talks` has `stdin` and `stdout`; the rest of what it prints is there.
    """

    stdin: TextIO
    stdout: TextIO

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        log: str | Path = os.devnull,
        *,
        module: str = "notifier",
        talks: bool = False,
    ) -> None:
        Path(log).open("ab").close()  # it may be read before anything is said
        with ExitStack() as started:
            into: list[_End] = [os.devnull, str(log), str(log)]
            if talks:
                read, say = map(started.enter_context, multiprocessing.Pipe(duplex=False))
                hear, write = map(started.enter_context, multiprocessing.Pipe(duplex=False))
                self.stdin, self.stdout = os.fdopen(os.dup(say.fileno()), "w"), os.fdopen(os.dup(hear.fileno()))
                into = [read, write, str(log)]
            self._process = _start(module, words, environment, into)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Negative: the signal that has ended it. None: it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a program", timeout or 0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def say(self, line: str) -> None:
        print(line, file=self.stdin, flush=True)

    def rest(self, timeout: float) -> list[str]:
        """Nothing more is said to it. → the lines until it has ended."""
        self.stdin.close()
        with self.stdout:
            lines = self.stdout.read().splitlines()
        self.wait(timeout)
        return lines


def run_command(words: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """With nothing to read, and with no other environment than this."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = _start("notifier", words, environment, [os.devnull, str(out), str(err)])
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(words, process.exitcode, out.read_text(), err.read_text())


def _start(
    module: str, words: Sequence[str], environment: Mapping[str, str], into: Sequence[_End]
) -> ForkServerProcess:
    process = _PROCESSES.Process(target=_run, args=(module, list(words), dict(environment), into))
    process.start()
    return process


def _run(module: str, words: list[str], environment: dict[str, str], into: Sequence[_End]) -> None:
    for number, end in enumerate(into):
        fd = os.open(end, os.O_RDWR | os.O_CREAT | os.O_APPEND) if isinstance(end, str) else end.fileno()
        os.dup2(fd, number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *words]  # `web` hands them on
    if module == "notifier":
        sys.exit(main(words))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
