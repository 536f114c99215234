"""Parquet, for warehouses: the columns are the fields of an event as the API shows it.

Imported only where Parquet is asked for: pyarrow is an extra (`requirements-parquet.txt`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

_ROW_GROUP = 50_000  # rows; some tens of MB in memory

_TEXT = pa.string()
_WORD = pa.dictionary(pa.int16(), pa.string())  # of few
SCHEMA = pa.schema(
    {
        "id": _TEXT,
        "type": _WORD,
        "timestamp": pa.timestamp("ms", tz="UTC"),
        "data": pa.struct(
            {
                "notification": _TEXT,
                "submission": _TEXT,
                "broadcast": _TEXT,
                "user": _TEXT,
                "test": pa.bool_(),
                "notification_type": _TEXT,
                "category": _TEXT,
                "channel": _TEXT,
                "delivery": pa.struct(
                    {"id": _TEXT, "channel": _TEXT, "address": _TEXT, "provider": _TEXT, "code": _TEXT}
                ),
                "reason": _TEXT,
                "key": _TEXT,
            }
        ),
        "cursor": _TEXT,
    }
)


class Parquet:
    """A `files.Writer`."""

    def __init__(self, out: IO[bytes]) -> None:
        self._writer = pq.ParquetWriter(out, SCHEMA, compression="zstd")
        self._waiting: list[pa.Table] = []

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        rows = [{**event, "timestamp": datetime.fromisoformat(event["timestamp"])} for event in events]
        self._waiting.append(pa.Table.from_pylist(rows, SCHEMA))
        if sum(table.num_rows for table in self._waiting) >= _ROW_GROUP:
            self._write_group()

    def end(self) -> None:
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).unify_dictionaries(), row_group_size=_ROW_GROUP)
            self._waiting.clear()
