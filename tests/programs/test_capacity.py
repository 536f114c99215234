"""The calculator: it reckons with what the bench wrote last, and the documentation shows what it prints."""

import re
import shlex
import tomllib

import pytest

from bench.constants import OPERATIONS
from bench.measures import MEASURES
from docs import capacity_examples
from notifier.__main__ import main
from notifier.programs import capacity
from notifier.programs.arguments import read
from tests.running import ROOT

COMMAND = "$ python -m notifier capacity "
_SHOWN = re.findall(r"```text by=.*\n\$ (.+)\n((?:.*\n)+?)```", (ROOT / "docs" / "capacity.md").read_text())


def test_its_constants_are_those_of_the_bench_and_of_nobody_else() -> None:
    found = tomllib.loads(capacity.MEASURED.read_text())
    assert set(found) == {"machine", "cpu_us", "stored"}
    assert set(found["cpu_us"]) == set(OPERATIONS)
    assert set(OPERATIONS.values()) <= set(MEASURES)
    assert all(value > 0 for cost in found["cpu_us"].values() for value in (cost[0], cost[2]))
    assert all(value > 0 for value in found["stored"].values())


def test_writing_them_anew_changes_nothing_else() -> None:
    document = (ROOT / "docs" / "capacity.md").read_text()
    assert capacity_examples.answered(document) == document


@pytest.mark.parametrize(("command", "shown"), _SHOWN)
def test_the_documentation_shows_what_it_prints(command: str, shown: str) -> None:
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "notifier", "capacity"]
    assert "\n".join(capacity.told(read(words[3:]))) + "\n" == shown


def test_the_loads_of_the_seeds_are_worked_through() -> None:
    told = " ".join(command for command, _ in _SHOWN)
    assert [load for load in ("10M", "1M", "250M", "100k") if load not in told] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--per-day", "many"], "this must be a number above 0"),
        (["--per-day", "1M", "--per-hour", "1M"], "not allowed with"),
        (["--per-day", "1M", "--channels", "email"], "this must be a channel and its share"),
        ([], "is required"),
    ],
)
def test_bad_words_are_refused_in_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(["capacity", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_channel_that_nobody_knows_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capacity", "--per-day", "1M", "--channels", "pigeon=1"]) == 2
    assert "There is no channel pigeon." in capsys.readouterr().err
