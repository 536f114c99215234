"""Which tests run on both databases, and which of several processes runs which (`pytest -n 2`): a file's tests on one
database stay together, some tell a story.

With both databases of a file in turn, each process would migrate a new one for every file. So the SQLite of all files
comes before the first PostgreSQL, what needs neither fills up the end, and what takes longest is begun with.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_DATABASE = re.compile(r"[\[-](sqlite|postgresql)(?=[]-])")
_TURNS = {"sqlite": 1, "postgresql": 2, "": 3}
# Files, functions and rows that PostgreSQL sees nothing new in (`tests/statements.py`). `--everywhere` leaves none out.
_ON_SQLITE = frozenset(Path(__file__).with_name("on_sqlite.txt").read_text().splitlines())
_LONGEST = ("tests/programs/test_up.py", "tests/browser/test_pages.py")


def share_of(nodeid: str) -> tuple[str, str]:
    """→ (the file, the database or an empty word)."""
    path, _, rest = nodeid.partition("::")
    found = _DATABASE.search(rest)
    return path, found[1] if found else ""


def turn_of(nodeid: str) -> int:
    path, database = share_of(nodeid)
    return 0 if path in _LONGEST else _TURNS[database]


def left_out(nodeids: Iterable[str]) -> set[str]:
    """Of these tests, those that are asked of SQLite too and show nothing new on PostgreSQL. What the list names by
    mistake is asked once all the same, and so is what somebody asks for by its full name.
    """
    every = set(nodeids)
    return {nodeid for nodeid in every if _is_listed(nodeid) and _on_sqlite(nodeid) in every}


def _is_listed(nodeid: str) -> bool:
    path, database = share_of(nodeid)
    return database == "postgresql" and not _ON_SQLITE.isdisjoint((path, nodeid.partition("[")[0], nodeid))


def _on_sqlite(nodeid: str) -> str:
    path, _, rest = nodeid.partition("::")
    return f"{path}::{_DATABASE.sub(lambda found: found[0].replace(found[1], 'sqlite'), rest, count=1)}"


class ByFileAndDatabase(LoadScopeScheduling):
    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return " ".join(share_of(nodeid))
