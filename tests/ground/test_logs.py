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


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("ValueError('hunter2')", "ValueError"),
        ("KeyError('hunter2')", "KeyError"),
        ("OSError(13, 'Permission denied', '/home/hunter2')", "PermissionError: Permission denied"),
        ("TypeError('redis://:hunter2@h:1/0 ann@example.test')", "TypeError: redis://••• a•••@example.test"),
        ("urllib.error.URLError('hunter2')", "urllib.error.URLError"),
    ],
)
def test_what_an_exception_says_is_left_out_unless_it_speaks_of_code(raised: str, told: str) -> None:
    [line] = written(
        f"import urllib.error\ntry:\n    raise {raised}\nexcept Exception:\n    logs.log.exception('broke')"
    )
    assert line["exception"].splitlines()[-1] == told


def test_causes_are_named_and_a_circle_of_them_ends() -> None:
    program = """
def fails():
    try:
        raise KeyError("hunter2")
    except KeyError as error:
        other = ValueError("hunter2")
        error.__cause__ = other
        raise other from error
try:
    fails()
except ValueError:
    logs.log.exception("broke")
"""
    [line] = written(program)
    kinds = [text for text in line["exception"].splitlines() if text in ("KeyError", "ValueError")]
    assert kinds == ["KeyError", "ValueError"]
    assert "hunter2" not in line["exception"]


def test_what_nobody_can_be_told_of_is_one_line_too() -> None:
    program = """
import warnings
class Odd:
    def __del__(self): raise ValueError("hunter2")
Odd()
warnings.warn("https://user:hunter2@example.test/", stacklevel=1)
logging.getLogger("library").warning("%d", "hunter2")
"""
    lines = written(program)
    assert [line["event"].split(":")[0] for line in lines] == ["process.error_ignored", "<string>"]
    assert "hunter2" not in str(lines)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_what_matters_enough_is_written(level: str) -> None:
    program = f"logs.configure(as_json=True, level='{level}')\n" + "".join(
        f"logs.log.{one}('ours')\nlogging.getLogger('library').{one}('theirs')\n"
        for one in ("debug", "info", "warning", "error")
    )
    levels = ["debug", "info", "warning", "error"]
    told = [(line["level"], line["event"]) for line in written(program)]
    assert [one for one, event in told if event == "ours"] == levels[levels.index(level) :]
    assert [one for one, event in told if event == "theirs"] == levels[max(1, levels.index(level)) :]


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
