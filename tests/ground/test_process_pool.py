"""What people wrote runs in child processes: a few, for a while, with nothing of ours in their hands."""

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from notifier.core.errors import Fault, Rejected
from notifier.ground.config import ROOT
from notifier.ground.process_pool import AUTHORS, ProcessPool, run
from notifier.words.language import TemplateFault, code_of
from tests.running import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    pool = ProcessPool(1)
    yield pool
    pool.close()


def test_a_call_gives_what_its_function_gives_from_another_process(pool: ProcessPool) -> None:
    assert pool.run(math.hypot, 3, 4) == 5
    first, second = pool.run(os.getpid), pool.run(os.getpid)
    assert first == second != os.getpid()


def test_a_call_raises_what_its_function_raises(pool: ProcessPool) -> None:
    with pytest.raises(TemplateFault) as caught:
        pool.run(code_of, "one\ntwo {{ }}", is_html=False, is_rtl=False)
    assert (caught.value.line, pool.run(math.sqrt, 4)) == (2, 2)


def test_a_refusal_arrives_whole() -> None:
    refused = Rejected(
        "too_complex", "it is too complex", (Fault("/data", "too_complex", "shorten it"),), retry_after=5
    )
    arrived = pickle.loads(pickle.dumps(refused))
    assert (arrived.code, arrived.detail, arrived.faults, arrived.retry_after) == (
        refused.code,
        refused.detail,
        refused.faults,
        5,
    )


def test_a_child_knows_no_secret(pool: ProcessPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "s" * 40)
    assert pool.run(os.getenv, "SECRET_KEY") is None


@pytest.mark.parametrize(("function", "given"), [(time.sleep, 60), (os._exit, 1)], ids=["without end", "killed"])
def test_a_call_that_does_not_end_well_is_told_and_the_next_one_works(function: object, given: int) -> None:
    pool = ProcessPool(1, longest_call_s=0.5)
    with pytest.raises(Rejected) as refused:
        pool.run(function, given)  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 5)
    pool.close()
    assert ProcessPool(1).run(math.sqrt, 4) == 2


def test_no_more_run_than_there_is_room_for_and_who_waits_too_long_is_told(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    pool = ProcessPool(1, longest_call_s=60, longest_wait_s=0.2)
    busy = threading.Thread(target=pool.run, args=(Path.read_text, gate))
    busy.start()
    opened = os.open(gate, os.O_WRONLY)  # returns when the child reads there
    with pytest.raises(Rejected, match="too much is being checked"):
        pool.run(math.sqrt, 4)
    os.close(opened)
    busy.join()
    assert pool.run(math.sqrt, 9) == 3
    pool.close()


def test_children_end_with_the_process_that_has_them() -> None:
    program = (
        "import os, time; from notifier.ground.process_pool import ProcessPool; print(ProcessPool(1).run(os.getpid), "
        "flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{child}").exists())


def test_without_an_app_a_call_is_made_where_it_stands() -> None:
    assert run(AUTHORS, os.getpid) == os.getpid()
