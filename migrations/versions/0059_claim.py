"""Cells claim whom they are about to create: two that are asked to in the same moment created them twice."""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim",
        sa.Column("user_id", sa.String(129), primary_key=True),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("by", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_claim_at", "claim", ["at"])


def downgrade() -> None:
    op.drop_table("claim")
