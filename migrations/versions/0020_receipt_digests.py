"""What is told of an address is found by it: SQLite never took the index that named the kinds."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _replace_index("digest IS NOT NULL")


def downgrade() -> None:
    _replace_index("status IN ('stopped', 'started')")


def _replace_index(condition: str) -> None:
    where = sa.text(condition)
    op.drop_index("ix_receipt_digest", table_name="receipt")
    op.create_index("ix_receipt_digest", "receipt", ["digest"], sqlite_where=where, postgresql_where=where)
