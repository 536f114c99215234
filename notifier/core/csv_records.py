"""CSV files as they come in, piece by piece: UTF-8 with or without a BOM, commas, quotes as RFC 4180 has them.

Nothing is held but the record that is being read. A file that cannot be read to its end is refused as a whole.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator

from notifier.core.errors import Fault, Rejected

LONGEST_RECORD = 64 * 1024  # characters; each condition on attributes reads all that a person has
_STRANGERS = {
    b"PK\x03\x04": "this is a ZIP archive or a spreadsheet; send the CSV file itself",
    b"\x1f\x8b": "this is compressed; send the CSV file itself",
    codecs.BOM_UTF16_LE: "this is UTF-16; save the file as UTF-8",
    codecs.BOM_UTF16_BE: "this is UTF-16; save the file as UTF-8",
}


def records(pieces: Iterable[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins in, from 1. Empty lines are passed over. Raises Rejected."""
    lines = _Lines(pieces)
    reader = csv.reader(lines, strict=True)
    while True:
        begin = reader.line_num + 1
        lines.begin, lines.length = begin, 0
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:  # not for its limit of a field's length, which is above ours of a record's
            message = "quotes or line ends are not those of a CSV file"
            message = f"{message}; perhaps a quote that begins in line {begin} is not closed"
            raise refused("malformed_csv", message, begin) from None
        if fields:
            yield begin, fields


def refused(code: str, message: str, line: int | None = None) -> Rejected:
    """The file is refused. `line`: where it is wrong, from 1."""
    place = f"line {line:,}: " if line else ""
    return Rejected("validation_failed", f"the file is not valid: {place}{message}", (Fault("", code, message, line),))


class _Lines:
    """The lines of a file, each with its end. `length`: the characters of those that have been taken since
    the line `begin`.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._lines = self._read(pieces)
        self.begin = self.length = self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        self._note(len(line))
        return line

    def _note(self, length: int) -> None:
        self.length += length
        if self.length > LONGEST_RECORD:
            message = f"a row is too long: the maximum is {LONGEST_RECORD:,} characters"
            message = f"{message}; perhaps a quote is not closed, or lines do not end with a line feed"
            raise refused("too_long", message, self.begin)

    def _read(self, pieces: Iterable[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        rest, is_first = "", True
        for piece in pieces:
            if is_first:
                _check_beginning(piece)
                is_first = False
            text = rest + self._decoded(decoder, piece, is_last=False)
            *whole, rest = text.split("\n")
            for line in whole:
                yield f"{line}\n"
            if len(rest) > LONGEST_RECORD:
                self._note(len(rest))
        rest += self._decoded(decoder, b"", is_last=True)
        if rest:
            yield rest

    def _decoded(self, decoder: codecs.IncrementalDecoder, piece: bytes, *, is_last: bool) -> str:
        try:
            return decoder.decode(piece, is_last)
        except UnicodeDecodeError as error:
            line = self._number + 1 + bytes(error.object[: error.start]).count(b"\n")
            raise refused("not_utf8", "this is not UTF-8; save the file as UTF-8", line) from None


def _check_beginning(piece: bytes) -> None:
    for beginning, message in _STRANGERS.items():
        if piece.startswith(beginning):
            raise refused("not_csv", message)
