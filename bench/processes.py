"""Programs that the bench starts, and what they cost: CPU time and peak memory, read from /proc."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Written to for the janitor (`bench.janitor`), which acts when this process has ended, however it did.
_janitor: "subprocess.Popen[str] | None" = None

ROOT = Path(__file__).resolve().parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")


def hire_janitor() -> None:
    """Before anything is started."""
    global _janitor
    _janitor = subprocess.Popen(
        [sys.executable, "-m", "bench.janitor"], cwd=ROOT, stdin=subprocess.PIPE, text=True, start_new_session=True
    )


def tell_janitor(what: str, value: object) -> None:
    """`started` or `ended` and a process id, or `folder` and a path."""
    if _janitor is not None:
        assert _janitor.stdin
        _janitor.stdin.write(f"{what} {value}\n")
        _janitor.stdin.flush()


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
        tell_janitor("started", self.process.pid)
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
        tell_janitor("ended", self.process.pid)


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
    return sum(_cpu_s(pid) for pid in with_descendants(pids))


def peak_mb(pid: int) -> float | None:
    """The most memory it has held so far; None where there is no /proc."""
    return _memory_mb(pid, "VmHWM:")


def held_mb(pid: int) -> float | None:
    """The memory that it holds now."""
    return _memory_mb(pid, "VmRSS:")


def _memory_mb(pid: int, name: str) -> float | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # utime, stime, and the same of children that were waited for


def with_descendants(pids: Iterable[int]) -> set[int]:
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
