"""Files of events: NDJSON, and the name that a file gets only once it is whole. Called by `programs.export`."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from notifier.queries.shown_events import line


class Writer(Protocol):
    """Writes pages of shown events to a binary stream, which it does not close."""

    def write(self, events: Sequence[Mapping[str, Any]]) -> None: ...

    def end(self) -> None:
        """Writes what stands at the end of such a file."""


class Ndjson:
    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._out.write("".join(map(line, events)).encode())

    def end(self) -> None:
        pass


@contextlib.contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when all of it is on the disk, and replaces one of that name, whose rights it
    gets; else it is its owner's alone, since it names people. After an error nothing is left of it. Raises OSError.
    """
    path = path.resolve()  # what a link leads to is replaced, not the link
    if path.exists() and not path.is_file():
        raise OSError(0, "it is not a regular file")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as out:
        try:
            yield out
            out.flush()
            if path.exists():
                os.fchmod(out.fileno(), stat.S_IMODE(path.stat().st_mode))
            os.fsync(out.fileno())
            os.replace(out.name, path)
        except BaseException:
            os.unlink(out.name)
            raise
