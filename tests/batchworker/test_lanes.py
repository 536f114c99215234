"""The threads on which a worker's jobs run."""

import threading
from queue import SimpleQueue

import pytest
import structlog

from notifier.batchworker.lanes import Lanes

TOO_LARGE = 1 << 46  # a stack for which no machine has the memory: no thread can be started


def test_where_no_more_threads_can_be_had_those_that_there_are_do_the_work() -> None:
    done: SimpleQueue[str] = SimpleQueue()
    lanes: Lanes[str] = Lanes("lane", 8, lambda thing: None, done.put)
    lanes.submit("a")
    assert done.get(timeout=5) == "a"
    lanes.collected(1)
    before = threading.stack_size(TOO_LARGE)
    try:
        with structlog.testing.capture_logs() as lines:
            lanes.submit("bcde")
    finally:
        threading.stack_size(before)
    assert sorted(done.get(timeout=5) for _ in range(4)) == [*"bcde"]
    assert lines == [{"event": "worker.has_no_more_threads", "threads": 1, "wanted": 8, "log_level": "warning"}]
    lanes.stop()


def test_where_not_even_one_can_be_had_that_is_an_error() -> None:
    lanes: Lanes[str] = Lanes("lane", 8, lambda thing: None, lambda thing: None)
    before = threading.stack_size(TOO_LARGE)
    try:
        with pytest.raises(RuntimeError):
            lanes.submit("a")
    finally:
        threading.stack_size(before)
