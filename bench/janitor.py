"""Cleans up behind a bench that was killed: what it started ends, its folders go.

`python -m bench.janitor` learns of them on its input, a line each, and acts when that closes: `started PID`,
`ended PID`, `folder PATH`.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable

from bench.processes import with_descendants

_WAIT_S = 20.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    running: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        what, _, value = line.rstrip("\n").partition(" ")
        match what:
            case "started":
                running.add(int(value))
            case "ended":
                running.discard(int(value))
            case "folder":
                folders.append(value)
    _kill(with_descendants(running))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _kill(pids: Iterable[int]) -> None:
    left = set(pids)
    deadline = time.monotonic() + _WAIT_S
    while left and time.monotonic() < deadline:
        for pid in list(left):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                left.discard(pid)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
