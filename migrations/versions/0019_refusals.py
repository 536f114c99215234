"""What providers refuse is counted by code for their pages, and a suppression says who it came from."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_attempt_refusal": ("attempt", "at", "outcome NOT IN ('sent', 'delivered')"),
    "ix_receipt_refusal": ("receipt", "received_at", "status NOT IN ('sent', 'delivered', 'opened', 'clicked')"),
}


def upgrade() -> None:
    for name, (table, at, condition) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, table, ["provider", at], sqlite_where=where, postgresql_where=where)
    with op.batch_alter_table("suppression") as table:
        table.add_column(sa.Column("provider", sa.String(64)))


def downgrade() -> None:
    with op.batch_alter_table("suppression") as table:
        table.drop_column("provider")
    for name, (table_name, _, _) in _INDEXES.items():
        op.drop_index(name, table_name=table_name)
