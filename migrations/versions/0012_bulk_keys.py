"""Idempotency keys of whole bulk calls: these belong to no single submission."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("idempotency_key") as table:
        table.alter_column("submission_id", existing_type=sa.Uuid(), nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM idempotency_key WHERE submission_id IS NULL")
    with op.batch_alter_table("idempotency_key") as table:
        table.alter_column("submission_id", existing_type=sa.Uuid(), nullable=False)
