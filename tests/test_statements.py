"""`tests/statements.py`: no test leaves PostgreSQL with something that no other does there."""

import json
import re
from pathlib import Path

import pytest

from tests import sharing_out
from tests.statements import LIST, proposed, stands_apart

ROOT = Path(__file__).parents[1]
FILE = "tests/ledgers/test_tallies.py"
NAMES = [line.split("(")[0][4:] for line in Path(FILE).read_text().splitlines() if line.startswith("def test_")][:3]
_LISTED = next(line for line in LIST.read_text().splitlines() if "[postgresql-" in line)
CHEAP, DEAR, MIDDLE = (f"{FILE}::{name}" for name in NAMES)


def _on_postgresql(name: str) -> str:
    return name if "[" in name else f"{name}[postgresql]"


def _folder(place: Path, *entries: tuple[str, float, set[str]]) -> Path:
    lines = [
        {"test": _on_postgresql(name), "seconds": seconds, "deeds": list(deeds)} for name, seconds, deeds in entries
    ]
    (place / "gw0-1.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return place


@pytest.mark.parametrize(
    ("cheap", "middle", "dear", "staying"),
    [
        ({"a"}, {"a"}, {"a"}, [CHEAP]),
        ({"a"}, {"b"}, {"a", "b"}, [CHEAP, MIDDLE]),
        ({"a"}, {"a"}, {"a", "b"}, [CHEAP, DEAR]),
        (set(), {"a"}, {"a"}, [MIDDLE]),
        (set(), set(), set(), []),
    ],
)
def test_the_cheapest_that_do_everything_stay(
    tmp_path: Path, cheap: set[str], middle: set[str], dear: set[str], staying: list[str]
) -> None:
    folder = _folder(tmp_path, (CHEAP, 0.1, cheap), (MIDDLE, 1, middle), (DEAR, 10, dear))
    assert proposed(folder) == (
        sorted(map(_on_postgresql, staying)),
        sorted({CHEAP, MIDDLE, DEAR} - set(staying)),
    )


@pytest.mark.parametrize(
    ("first", "second", "other", "going"),
    [
        ({"a"}, {"a", "b"}, {"c"}, [f"{DEAR}[postgresql-first]"]),
        ({"a"}, {"b"}, {"c"}, []),
        ({"a"}, {"a"}, {"a"}, [DEAR]),
    ],
)
def test_a_row_of_a_table_stays_for_itself(
    tmp_path: Path, first: set[str], second: set[str], other: set[str], going: list[str]
) -> None:
    rows = [(f"{DEAR}[postgresql-first]", 1.0, first), (f"{DEAR}[postgresql-second]", 1.0, second)]
    assert proposed(_folder(tmp_path, *rows, (CHEAP, 0.1, other)))[1] == going


def test_what_has_failed_is_neither_counted_on_nor_sent_away(tmp_path: Path) -> None:
    folder = _folder(tmp_path, (CHEAP, 0.1, {"a"}), (DEAR, 10, {"a"}))
    with (folder / "gw1-2.jsonl").open("w") as file:
        file.write(json.dumps({"test": f"{CHEAP}[postgresql]", "seconds": 0.1, "failed": True}))
    assert proposed(folder) == ([_on_postgresql(DEAR)], [])


@pytest.mark.parametrize(
    ("source", "is_apart"),
    [
        ("def test_it():\n    assert counted() == 1\n", False),
        ("def test_it():\n    Thread(target=write).start()\n", True),
        ('@pytest.mark.skipif("SQLite has one writer at a time")\ndef test_it():\n    pass\n', True),
        ("def test_it():\n    pass\n\n\ndef test_other():\n    with lock():\n        pass\n", False),
        ("def test_it():\n    with locked() as row:\n        pass\n", True),
        ('pytestmark = only_on("postgresql")\n\n\ndef test_it():\n    pass\n', True),
    ],
)
def test_what_is_about_the_databases_themselves_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, is_apart: bool
) -> None:
    file = tmp_path / "test_something.py"
    file.write_text(source)
    monkeypatch.chdir(tmp_path)
    assert stands_apart(f"{file.name}::test_it") is is_apart


@pytest.mark.parametrize(
    ("collected", "left_out"),
    [
        ([_LISTED, _LISTED.replace("postgresql", "sqlite")], {_LISTED}),
        ([_LISTED], set()),  # or nobody would ask it
        ([f"{_LISTED[:-1]}-new]", f"{_LISTED[:-1]}-new]".replace("postgresql", "sqlite")], set()),
    ],
)
def test_a_test_is_left_out_where_its_twin_on_sqlite_runs(collected: list[str], left_out: set[str]) -> None:
    assert sharing_out.left_out(collected) == left_out


def test_the_list_names_files_and_tests_that_are_there() -> None:
    missing = []
    for entry in LIST.read_text().splitlines():
        file, _, name = entry.partition("[")[0].partition("::")
        source = (ROOT / file).read_text() if (ROOT / file).exists() else ""
        if not source or (name and not re.search(rf"^\s*(async )?def {name}\(", source, re.MULTILINE)):
            missing.append(entry)
    assert missing == []
