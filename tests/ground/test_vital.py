"""A thread that a process cannot do without takes the process with it."""

import signal
import subprocess
import sys

import pytest

from notifier.ground import vital
from notifier.ground.config import ROOT

PROGRAM = """
import signal, sys, threading, time
from notifier.ground import logs
from notifier.ground import vital
logs.configure(as_json=False)
asked_to_stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.set())
vital.arm()
def work():
    {work}
threading.Thread(target=vital.kept("bell", work, lambda: {may_end}), daemon=True).start()
while not asked_to_stop.wait(0.01):
    if {gives_up}:
        break
sys.exit(vital.exit_code())
"""


def run(work: str, *, may_end: str = "False", gives_up: str = "False") -> "subprocess.CompletedProcess[str]":
    program = PROGRAM.format(work=work, may_end=may_end, gives_up=gives_up)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "work", ["return", "raise ValueError('what it was')", "raise SystemExit(0)"], ids=["returns", "raises", "exits"]
)
def test_a_lost_thread_ends_the_process_with_a_line_that_names_it(work: str) -> None:
    ended = run(work)
    assert ended.returncode == vital.EXIT_CODE
    assert ended.stderr.count("process.thread_lost") == 1
    assert "thread=bell" in ended.stderr
    assert ("ValueError" in ended.stderr) is ("ValueError" in work)
    assert "what it was" not in ended.stderr


def test_a_thread_that_may_end_takes_nothing_with_it() -> None:
    ended = run("return", may_end="True", gives_up="threading.active_count() == 1")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_a_stop_that_hangs_is_cut_off() -> None:
    program = PROGRAM.format(work="return", may_end="False", gives_up="False").replace(
        "sys.exit", "vital.STOP_WITHIN_S; time.sleep(3600); sys.exit"
    )
    program = program.replace("vital.arm()", "vital.STOP_WITHIN_S = 1; vital.arm()")
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGALRM


def test_a_crash_of_a_program_is_one_line_in_its_log() -> None:
    program = "from notifier.ground import logs\nlogs.configure(as_json=True)\nraise ValueError('what it was')"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert '"event": "process.broke"' in line
    assert "ValueError" in line
    assert "what it was" not in line
