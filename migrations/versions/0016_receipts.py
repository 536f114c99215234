"""What providers say later: matched to its delivery, kept while that is not known, and applied once."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
_INDEXES = {
    "ix_receipt_kept": ("reference", "applied_at IS NULL"),
    "ix_receipt_wake_at": ("wake_at", "wake_at IS NOT NULL"),
    "ix_receipt_digest": ("digest", "status IN ('stopped', 'started')"),
    "ix_receipt_of_nobody": ("received_at", "delivery_id IS NULL"),
}


def upgrade() -> None:
    with op.batch_alter_table("receipt") as table:
        table.add_column(sa.Column("channel", sa.String(32), nullable=False, server_default=""))
        table.add_column(sa.Column("reference", sa.Uuid()))
        table.add_column(sa.Column("code", sa.String(64)))
        table.add_column(sa.Column("by", sa.String(8), nullable=False, server_default="unknown"))
        table.add_column(sa.Column("digest", sa.LargeBinary(32)))
        table.add_column(sa.Column("received_at", TIME))
        table.add_column(sa.Column("applied_at", TIME))
        table.add_column(sa.Column("wake_at", TIME))
        table.alter_column("provider_message_id", existing_type=sa.String(255), nullable=True)
    # What there is has been applied, if by hand
    op.execute(sa.text("UPDATE receipt SET received_at = at, applied_at = at"))
    with op.batch_alter_table("receipt") as table:
        table.alter_column("received_at", existing_type=TIME, nullable=False)
        table.alter_column("channel", existing_type=sa.String(32), server_default=None)
        table.alter_column("by", existing_type=sa.String(8), server_default=None)
    for name, (column, condition) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "receipt", [column], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, table_name="receipt")
    op.execute(sa.text("UPDATE receipt SET provider_message_id = '' WHERE provider_message_id IS NULL"))
    with op.batch_alter_table("receipt") as table:
        table.alter_column("provider_message_id", existing_type=sa.String(255), nullable=False)
        for name in ("wake_at", "applied_at", "received_at", "digest", "by", "code", "reference", "channel"):
            table.drop_column(name)
