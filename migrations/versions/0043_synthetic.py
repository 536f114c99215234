"""What the synthetic person is told, and whether it arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "synthetic_turn",
        sa.Column("key", sa.String(80), nullable=False),
        sa.Column("type", sa.String(64), nullable=True),
        sa.Column("priority", sa.String(16), nullable=True),
        sa.Column("account", sa.String(64), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("triggered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("so_far", sa.JSON(), nullable=False),
        sa.Column("bad", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_synthetic_turn")),
    )
    op.create_index("ix_synthetic_turn_due_at", "synthetic_turn", ["due_at"])


def downgrade() -> None:
    op.drop_table("synthetic_turn")
