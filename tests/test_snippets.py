"""Every code block of the documentation is run, against one installation, and prints what the page says."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import KEY, ROOT, Up, free_port
from tests.snippets import PAGES, Reader, blocks_of
from tests.test_docs import is_test

pytestmark = pytest.mark.slow

_READ = [page for page in PAGES if any(block.is_program for block in blocks_of(page))]
# A refusal does not pass for an answer (with -w, it may be what the page shows), and a busy machine for no refusal
_CURL = """#!/bin/sh
case "$*" in *-w*) ;; *) set -- --fail --retry 9 "$@" ;; esac
PATH=${PATH#*:} exec curl "$@"
"""
_JQ = rf"""#!{sys.executable}
import json, re, sys
*options, path = sys.argv[1:]
value = json.load(sys.stdin)
for name in filter(None, re.split(r"[.\[\]]", path)):
    value = value[int(name) if name.isdigit() else name]
print(value if options == ["-r"] else json.dumps(value, indent=2))
"""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_how_it_is_run(page: str) -> None:
    silent = [
        block.line
        for block in blocks_of(page)
        if block.asks is None
        or (block.asks == {} and not block.is_program)
        or ("by" in block.asks and not is_test(*block.asks["by"].split("::")))
    ]
    assert silent == []


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(
        tmp_path_factory.mktemp("snippets") / "home",
        free_port(),
        NOTIFIER_ADMIN_EMAIL="admin@example.test",
        NOTIFIER_ADMIN_PASSWORD="correct horse battery staple",
        OUTBOUND_ALLOW="127.0.0.0/8",
    )
    try:
        yield up.until_ready()
    finally:
        up.stop()


@pytest.fixture
def reader(installation: Up, tmp_path: Path) -> Reader:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"jq": _JQ, "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n', "curl": _CURL}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    path = f"{programs}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    (tmp_path / "page").mkdir()
    settings = {
        name: value for name, value in installation.environment.items() if name.startswith(("NOTIFIER_", "OUTBOUND"))
    }
    return Reader(
        tmp_path / "page",
        installation.port,
        {**settings, "PATH": path, "HOME": str(tmp_path), "KEY": KEY, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("page", _READ)
def test_a_reader_who_does_what_the_page_says_sees_what_it_shows(reader: Reader, page: str) -> None:
    reader.read(blocks_of(page))
