"""Programs that the bench starts, and what they cost: CPU time and peak memory, read from /proc."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A Python module that runs beside us. What it logs goes to a file; what it prints is ours to read. `told`: JSON
    for its input.
    """

    def __init__(
        self, module: str, *arguments: object, environment: Mapping[str, str], log: Path, told: Any = None
    ) -> None:
        self.log = log
        words = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
        with log.open("a") as err:
            self.process = subprocess.Popen(
                words,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        if told is not None:
            assert self.process.stdin
            self.process.stdin.write(json.dumps(told) + "\n")
            self.process.stdin.flush()

    def read_json(self) -> Any:
        """The next line that it prints."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
        return json.loads(line)

    def answer(self) -> Any:
        """Its last word: waits for its end."""
        try:
            return self.read_json()
        finally:
            self.stop()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(program: Program) -> Iterator[Program]:
    try:
        yield program
    finally:
        program.stop()


def wait_until(is_true: Callable[[], Any], what: str, within_s: float = 60.0, pause_s: float = 0.05) -> Any:
    give_up_at = time.monotonic() + within_s
    while not (answer := is_true()):
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{what}: it did not come true within {within_s:g} s")
        time.sleep(pause_s)
    return answer


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds that processes have used with all their descendants that still live, and those that ended."""
    return sum(_cpu_s(pid) for pid in _with_descendants(pids))


def peak_mb(pid: int) -> float | None:
    """The most memory it has held so far; None where there is no /proc."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, and the same of children that were waited for


def _with_descendants(pids: Sequence[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*") if Path("/proc").is_dir() else ():
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found
