"""Indexes of tables that may be large and are in use: made and dropped by migrations while others go on writing.

PostgreSQL does that outside of a transaction (`CREATE INDEX CONCURRENTLY`), so what the migration has done before is
committed first. A run that is killed leaves an index that nobody uses, perhaps; the next run makes it anew. Not for
partitioned tables, of which PostgreSQL refuses it. SQLite has no other way than to make its writers wait.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def add(name: str, table: str, columns: Sequence[str | sa.TextClause], **options: Any) -> None:
    """`options`: as `op.create_index` takes them. The last step of a migration, which would be repeated with it."""
    if op.get_context().dialect.name == "sqlite":
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop(name: str, table: str) -> None:
    if op.get_context().dialect.name == "sqlite":
        op.drop_index(name, table)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
