"""Inserts many rows of one table, for the tables that every notification fills; the ORM and Core do it everywhere else.

SQLAlchemy looks at each value of each row by itself. Here a column is bound at once, and PostgreSQL gets all rows as
one JSON document (docs/decisions.md has the figures). What is stored is the same, and a test compares both. COPY would
be as fast, but psycopg2 refuses it on green threads, and it knows no ON CONFLICT.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.ground.fast_json import encoded_text

Bind = Callable[[Any], Any]

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # not a backslash and "u0000"


@dataclass(frozen=True, slots=True)
class _Column:
    """`bind` None: values go as they are. `shared_by`: what of a value tells that it is that of another row, too, and
    so has been bound already; None: each row has its own.
    """

    name: str
    bind: Bind | None
    shared_by: Callable[[Any], Any] | None

    def bound(self, values: list[Any]) -> list[Any]:
        bind, shared_by = self.bind, self.shared_by
        if bind is None:
            return values
        if shared_by is None:
            return [None if value is None else bind(value) for value in values]
        known: dict[Any, Any] = {shared_by(None): None}
        keys = list(map(shared_by, values))
        for key, value in zip(keys, values, strict=True):
            if key not in known:
                known[key] = bind(value)
        return [known[key] for key in keys]


@dataclass(frozen=True, slots=True)
class _Insert:
    statement: str
    columns: tuple[_Column, ...]
    defaults: Mapping[str, Any]


def insert_rows(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inside the caller's transaction; one statement, none without rows.

    All rows have the same names. Left out may be columns with a default of the table's own (a plain value), and those
    that are NULL. Raises ValueError for NUL in a text, with PostgreSQL: the server's error would quote what stands
    before it.
    """
    if not rows:
        return
    connection = db.session.connection()
    insert = _insert(table, tuple(rows[0]), connection.dialect)
    values = [column.bound([row[column.name] for row in rows]) for column in insert.columns]
    values += [[default] * len(rows) for default in insert.defaults.values()]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(insert.statement, list(zip(*values, strict=True)))
        return
    names = [*(column.name for column in insert.columns), *insert.defaults]
    document = encoded_text([dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)])
    if "\\u0000" in document and _NUL.search(document):
        raise ValueError("a text must not contain NUL")
    connection.exec_driver_sql(insert.statement, {"rows": document})


@functools.lru_cache(maxsize=64)
def _insert(table: sa.Table, given: tuple[str, ...], dialect: sa.Dialect) -> _Insert:
    defaults = {
        column.name: column.default.arg
        for column in table.columns
        if column.name not in given and isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar
    }
    bind = _as_driver_takes_it if dialect.name == "sqlite" else _as_json
    columns = tuple(
        _Column(name, bind(table.c[name].type, dialect), _shared_by(_plain(table.c[name].type))) for name in given
    )
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in (*given, *defaults))
    into = f"INSERT INTO {quote(table.name)} ({names})"
    if dialect.name == "sqlite":
        return _Insert(f"{into} VALUES ({', '.join('?' * (len(given) + len(defaults)))})", columns, defaults)
    types = ", ".join(
        f"{quote(name)} {table.c[name].type.dialect_impl(dialect).compile(dialect)}" for name in (*given, *defaults)
    )
    return _Insert(f"{into} SELECT {names} FROM json_to_recordset(%(rows)s) AS given ({types})", columns, defaults)


def _shared_by(type_: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Times are compared. Documents and what is encrypted are the same where they are one object: what is said to a
    whole audience is written, and encrypted, once.
    """
    if isinstance(type_, sa.DateTime):
        return _itself
    return id if isinstance(type_, sa.JSON | sa.LargeBinary) else None


def _itself(value: Any) -> Any:
    return value


def _plain(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return type_.impl_instance if isinstance(type_, sa.TypeDecorator) else type_


def _as_driver_takes_it(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Bind | None:
    return type_.dialect_impl(dialect).bind_processor(dialect)


def _as_json(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Bind | None:
    """As JSON has it, from which PostgreSQL reads the column's type: times, UUIDs and documents are written as such."""
    if isinstance(type_, sa.LargeBinary):
        return lambda value: rf"\x{value.hex()}"
    if not isinstance(type_, sa.TypeDecorator):
        return None
    decorate = type_.process_bind_param
    if not isinstance(type_.impl_instance, sa.LargeBinary):
        return lambda value: decorate(value, dialect)
    return lambda value: rf"\x{decorate(value, dialect).hex()}"
