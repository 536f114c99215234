"""What each test has PostgreSQL do: `pytest --statements FOLDER`; from that, `python -m tests.statements FOLDER` finds
which tests need SQLite only, and writes their list, `tests/on_sqlite.txt`: functions, or single rows of their tables.

A statement is told from others by its text, without the number of values and rows. Of each, these count, and whatever
some test does stays: that it is sent; that it finds or changes rows; each kind of value of each parameter; and each
error. Forked processes are heard too, those of other programs are not: what starts or names them is left alone, as
is what looks at locks, plans or races.
"""

import ast
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from notifier.ground.config import ROOT

LIST = Path(__file__).with_name("on_sqlite.txt")
# In the name of a file, or the source of a test: what the two databases differ in whatever the statement
_APART = re.compile(
    r"thread|concurren|deadlock|(?<![a-z])(races?|lock(s|ed|ing)?)(?![a-z])|postgres|sqlite|dialect|migrat|partition"
    r"|query_plan|explain|savepoint|search|popen|subprocess|run_command|\\0|\\x00|\\u[0d]",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"%\((\w+)\)s")
_VALUES = re.compile(r"\?(::[\w ]+(\[\])?)?(, \?(::[\w ]+(\[\])?)?)+")
_ROWS = re.compile(r"(\([^()]*\))(, \1)+")
_PRODUCT, _TESTS = f"{ROOT / 'notifier'}/", f"{ROOT / 'tests'}/"
_BIG = 1 << 31
_OVERHEAD_S = 0.02  # of any test


class Recorder:
    """Writes a line for each new thing that a test does, at once: a forked process may end in any way."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.test, self.known = folder, "", set[str]()
        self.shapes: dict[str, str] = {}
        sa.event.listen(Engine, "after_cursor_execute", self._sent)
        sa.event.listen(Engine, "handle_error", self._failed)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.test, self.known = item.nodeid, set()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Any:
        """Without what makes a database, whichever test comes first."""
        test = self.test
        if fixturedef.argname == "migrated_app":
            self.test = ""
        try:
            return (yield)
        finally:
            self.test = test

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write({"test": report.nodeid, "seconds": report.duration, "failed": report.failed})

    def _sent(self, connection: Any, cursor: Any, text: str, values: Any, _context: Any, many: bool) -> None:
        if connection.dialect.name == "postgresql" and _is_the_product_s(sys._getframe(1)):
            shape = self._shape(text, many)
            kinds = {kind for row in (values if many else [values]) for kind in _kinds(row)}
            self._note([shape, *(f"{shape} {kind}" for kind in kinds), *([f"{shape} rows"] * (cursor.rowcount > 0))])

    def _failed(self, context: sa.ExceptionContext) -> None:
        code = getattr(context.original_exception, "pgcode", None)
        if code:
            self._note([f"{self._shape(context.statement or '', False)} {code}"])

    def _shape(self, text: str, many: bool) -> str:
        if text not in self.shapes:
            bare = _VALUES.sub("?, …", _PARAMETER.sub("?", " ".join(text.split())))
            self.shapes[text] = _ROWS.sub(r"\1, …", bare)
        return f"{'many: ' if many else ''}{self.shapes[text]}"

    def _note(self, deeds: Sequence[str]) -> None:
        if self.test and (new := set(deeds) - self.known):
            self.known |= new
            self._write({"test": self.test, "deeds": sorted(new)})

    def _write(self, line: Mapping[str, Any]) -> None:
        name = os.environ.get("PYTEST_XDIST_WORKER", "main")
        with (self.folder / f"{name}-{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def _is_the_product_s(frame: FrameType | None) -> bool:
    """Whether a statement is sent by code of the product, and not by a test to prepare or to look."""
    while frame:
        if frame.f_code.co_filename.startswith((_PRODUCT, _TESTS)):
            return frame.f_code.co_filename.startswith(_PRODUCT)
        frame = frame.f_back
    return False


def _kinds(row: Any) -> Iterator[str]:
    """`name type`, for values that one database may take otherwise than the other."""
    if isinstance(row, Mapping):
        for name, value in row.items():
            kind = type(value).__name__
            if isinstance(value, int) and abs(value) >= _BIG:
                kind = "big"
            elif isinstance(value, str) and not value.isascii():
                kind = "beyond ASCII"
            yield f"{re.sub(r'_*[0-9]+', '', name)} {kind}"


def proposed(folder: Path) -> tuple[list[str], list[str]]:
    """→ the tests that are to stay on PostgreSQL, as cheap together as can be found, and those that may go: the names
    of functions of which no row stays, and the full names of rows of others.
    """
    deeds, seconds, failed = defaultdict[str, set[str]](set), defaultdict[str, float](float), set[str]()
    for file in folder.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if "postgresql" in (name := entry["test"]):
                deeds[name].update(entry.get("deeds", ()))
                seconds[name] += entry.get("seconds", 0)
                failed |= {name} if entry.get("failed") else set()
    for name in failed:  # nothing is known of the rest of them
        del deeds[name]
    apart = {function for function in map(function_of, deeds) if stands_apart(function)}
    staying = {name for name in deeds if function_of(name) in apart}
    covered = {deed for name in staying for deed in deeds[name]}
    left = {name: rest for name, found in deeds.items() if (rest := found - covered)}
    while left:
        best = max(sorted(left), key=lambda name: len(left[name]) / (seconds[name] + _OVERHEAD_S))
        staying.add(best)
        found = left.pop(best)
        left = {name: rest for name, old in left.items() if (rest := old - found)}
    kept = {function_of(name) for name in staying | failed}
    going = {name if function_of(name) in kept else function_of(name) for name in deeds.keys() - staying}
    return sorted(staying), sorted(going)


def function_of(name: str) -> str:
    return name.partition("[")[0]


def stands_apart(name: str) -> bool:
    """Whether a test function, by its source, is about what the databases do not have in common."""
    path, _, function = name.partition("::")
    if _APART.search(path):
        return True
    source = Path(path).read_text()
    nodes = ast.parse(source).body
    marks = [ast.unparse(node) for node in nodes if isinstance(node, ast.Assign)]
    if any(mark.startswith("pytestmark") and _APART.search(mark) for mark in marks):
        return True
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            return bool(_APART.search("\n".join(source.splitlines()[first - 1 : node.end_lineno])))
    return True


if __name__ == "__main__":
    stay, go = proposed(Path(sys.argv[1]))
    LIST.write_text("".join(f"{name}\n" for name in go))
    sys.stdout.write(f"{len(stay)} tests stay on PostgreSQL; functions and rows that do not: {len(go)} ({LIST})\n")
