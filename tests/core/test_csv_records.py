"""CSV files in pieces: what is read, and what is refused as a whole."""

import codecs
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.csv_records import LONGEST_RECORD, records
from notifier.core.errors import Rejected

READ: dict[str, tuple[bytes, list[tuple[int, list[str]]]]] = {
    "lines": (b"id,name\nu1,A\nu2,B\n", [(1, ["id", "name"]), (2, ["u1", "A"]), (3, ["u2", "B"])]),
    "no end of the last line": (b"id\nu1", [(1, ["id"]), (2, ["u1"])]),
    "a BOM": (codecs.BOM_UTF8 + b"id\nu1\n", [(1, ["id"]), (2, ["u1"])]),
    "Windows' ends of lines": (b"id,name\r\nu1,A\r\n", [(1, ["id", "name"]), (2, ["u1", "A"])]),
    "quotes": (b'id,name\nu1,"A ""B"", C"\n', [(1, ["id", "name"]), (2, ["u1", 'A "B", C'])]),
    "line breaks in a field": (
        b'id,name\nu1,"A\n\nB"\nu2,C\n',
        [(1, ["id", "name"]), (2, ["u1", "A\n\nB"]), (5, ["u2", "C"])],
    ),
    "empty lines": (b"id\n\n\nu1\n\n", [(1, ["id"]), (4, ["u1"])]),
    "other letters": ("id\nü😀\n".encode(), [(1, ["id"]), (2, ["ü😀"])]),
    "nothing": (b"", []),
    "a BOM alone": (codecs.BOM_UTF8, []),
}
REFUSED: dict[str, tuple[bytes, str, int | None]] = {
    "Latin-1": ("id,name\nu1,A\nu2,Jörg\n".encode("latin-1"), "not_utf8", 3),
    "a letter cut in two": (b"id\n\xc3", "not_utf8", 2),
    "UTF-16": ("id\n".encode("utf-16"), "not_csv", None),
    "a ZIP": (b"PK\x03\x04\x14\x00", "not_csv", None),
    "gzip": (b"\x1f\x8b\x08\x00", "not_csv", None),
    "a quote that is not closed": (b'id\nu1\n"u2\nu3\n', "malformed_csv", 3),
    "text behind a quote": (b'id\n"u1"x\n', "malformed_csv", 2),
    "old ends of lines": (b"id\ru1\r", "malformed_csv", 1),
    "a long field": (b'id\n"' + b"x\n" * 100_000 + b'"\n', "too_long", 2),
    "a long line": (b"id\n" + b"x" * (LONGEST_RECORD + 1), "too_long", 2),
    "a long row of short fields": (b"id\n" + b'"\n",' * LONGEST_RECORD, "too_long", None),
}


def in_pieces(file: bytes, size: int) -> list[bytes]:
    return [file[start : start + size] for start in range(0, len(file), size)]


@pytest.mark.parametrize("size", [3, 1_000_000])
@pytest.mark.parametrize(("file", "found"), READ.values(), ids=READ)
def test_a_file_is_read_however_it_comes(file: bytes, found: list[tuple[int, list[str]]], size: int) -> None:
    assert list(records(in_pieces(file, size))) == found


@pytest.mark.parametrize(("file", "code", "line"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(file: bytes, code: str, line: int | None) -> None:
    with pytest.raises(Rejected) as refused:
        list(records(in_pieces(file, 64 * 1024)))
    [fault] = refused.value.faults
    assert fault.code == code
    assert line is None or fault.line == line


@given(st.lists(st.lists(st.text('ab,"\n\r ü😀', max_size=4), min_size=2, max_size=3), max_size=5), st.integers(1, 9))
def test_what_a_program_writes_is_read_again(rows: list[list[str]], size: int) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    assert [fields for _, fields in records(in_pieces(written.getvalue().encode(), size))] == rows
