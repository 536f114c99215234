"""What stands in the log, as a process in production writes it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """
import logging
from notifier.ground import logs

logs.configure(as_json=True)
logs.bind(request_id="r1")
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    """In a process whose log has been configured."""
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM + program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )


def written(program: str) -> list[dict[str, Any]]:
    """→ the lines of that process's log."""
    return [json.loads(line) for line in run(program).stderr.splitlines()]


def test_our_lines_and_those_of_libraries_have_one_form() -> None:
    ours, theirs = written(
        "logs.log.warning('delivery.sent', delivery='dlv_1')\nlogging.getLogger('library').warning('gone')"
    )
    stamps = [line.pop("timestamp") for line in (ours, theirs)]
    assert all(stamp.endswith("Z") for stamp in stamps)
    assert ours == {"event": "delivery.sent", "delivery": "dlv_1", "request_id": "r1", "level": "warning"}
    assert theirs == {"event": "gone", "request_id": "r1", "level": "warning"}


def test_an_exception_is_written_with_its_trace_on_one_line() -> None:
    [line] = written("try:\n    1 / 0\nexcept ZeroDivisionError:\n    logs.log.exception('broke')")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
    assert line["level"] == "error"


def test_lines_below_the_level_are_left_out() -> None:
    assert written("logs.log.debug('detail')") == []


@pytest.mark.parametrize(
    "line", ["logs.log.info('odd', value={(1, 2): 3})", "logs.log.info('odd', value='\\udc80', other=object())"]
)
def test_a_line_that_is_hard_to_write_breaks_nothing(line: str) -> None:
    assert written(f"{line}\nlogs.log.info('after')")[-1]["event"] == "after"


def test_a_reader_that_has_gone_breaks_nothing() -> None:
    program = "import os\nreading, writing = os.pipe()\nos.close(reading)\nos.dup2(writing, 2)\n"
    gone_on = "logs.log.info('nobody reads this')\nprint('went on', flush=True)\nos._exit(0)"
    assert run(program + gone_on).stdout == "went on\n"


def test_lines_that_are_gathered_go_out_in_one_write_also_from_a_block_that_breaks() -> None:
    program = """
import io, sys
written = []
class Seen(io.StringIO):
    def write(self, text): written.append(text)
err, sys.stderr = sys.stderr, Seen()
try:
    with logs.at_once():
        logs.log.info('one')
        logs.log.info('two')
        1 / 0
except ZeroDivisionError:
    logs.log.info('three')
sys.stderr = err
logs.log.info('counted', lines=[text.count('event') for text in written])
"""
    assert [line["lines"] for line in written(program)] == [[2, 1]]


def test_what_goes_out_in_one_write_is_whole_lines_that_a_pipe_takes_at_once() -> None:
    """Else the lines of other processes, which share the pipe, come in between while it is full."""
    program = """
import os, select, sys
written = []
class Seen:
    def write(self, text): written.append(text)
    def flush(self): pass
err, sys.stderr = sys.stderr, Seen()
with logs.at_once():
    for number in range(40):
        logs.log.info('x' * 300)
    logs.log.info('y' * 5_000)
sys.stderr = err
logs.log.info('counted', writes=len(written), lines=sum(text.count('event') for text in written),
    are_whole=all(text.endswith('\\n') for text in written),
    are_short=all(len(text) <= select.PIPE_BUF or text.count('event') == 1 for text in written))
"""
    [line] = written(program)
    assert (line["lines"], line["are_whole"], line["are_short"]) == (41, True, True)
    assert line["writes"] < 10
