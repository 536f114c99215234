import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifier.ground.config import ROOT

PATIENCE_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's, which every other run of pytest closes to the account that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="notifier-test-bench-") as place:
        yield Path(place)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc")
def test_a_bench_that_is_killed_leaves_nothing_behind(folder: Path) -> None:
    words = ["--quick", "--rows", "0", "--database", "postgresql", "--only", "release", "--rounds", "100"]
    bench = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bench.stdout
    assert "people" in bench.stdout.readline(), "all servers run"
    assert len(list(_started_in(folder))) > 4

    bench.kill()
    bench.wait()
    bench.stdout.close()

    deadline = time.monotonic() + PATIENCE_S
    while (left := [*_started_in(folder), *folder.glob("[!.]*")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _started_in(folder: Path) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if f"TMPDIR={folder}".encode() in environment.split(b"\0"):
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
