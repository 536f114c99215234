"""CI tries a few failed tests once more, and says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from notifier.ground.config import ROOT
from tests.second_try import MOST

_TESTS = """
import pathlib, pytest
TRIES = pathlib.Path(__file__).with_name("tries")

@pytest.mark.parametrize("number", range({count}))
def test_some(number):
    TRIES.touch()
    with TRIES.open("a") as file:
        file.write(f"{{number}}\\n")
    assert TRIES.read_text().split().count(str(number)) >= {holds_at}

def test_another():
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "holds_at", "jobs", "is_green"),
    [(1, 1, 0, True), (MOST, 2, 0, True), (1, 2, 2, True), (1, 3, 0, False), (MOST + 1, 2, 0, False)],
)
def test_what_fails_is_tried_once_more_alone(
    count: int, holds_at: int, jobs: int, is_green: bool, tmp_path: Path
) -> None:
    """`holds_at`: at which try these tests hold."""
    (tmp_path / "test_it.py").write_text(_TESTS.format(count=count, holds_at=holds_at))
    run = tried(tmp_path, *(["-p", "xdist", "-n", str(jobs)] if jobs else ()))
    assert (run.returncode == 0) is is_green, run.stdout
    named = [line for line in run.stdout.splitlines() if line.startswith("unsteady: ")]
    assert named == [f"unsteady: test_it.py::test_some[{one}]" for one in range(count) if is_green and holds_at == 2]


def test_nothing_is_tried_again_where_the_run_broke(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import nothing_of_this_name\n")
    run = tried(tmp_path)
    assert (run.returncode, "Once more" in run.stdout) == (2, False)


def tried(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p tests.second_try"}
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(place), *arguments]
    return subprocess.run(command, env=os.environ | ours, cwd=place, capture_output=True, text=True)
