"""Cells: who lives elsewhere, the other cells, what they are to be told, and what they have asked."""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "home",
        sa.Column("user_id", sa.String(129), primary_key=True),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("created_at", AT, nullable=False),
    )
    op.create_table(
        "neighbour",
        sa.Column("region", sa.String(32), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.String(200)),
        sa.Column("away_since", AT),
        sa.Column("due_at", AT),
        sa.Column("lease_until", AT),
    )
    op.create_table(
        "forward",
        sa.Column("region", sa.String(32), primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("call", sa.LargeBinary, nullable=False),
        sa.Column("refused", sa.String(64)),
        sa.Column("error", sa.Text),
        sa.Column("created_at", AT, nullable=False),
    )
    op.create_index("ix_forward_region", "forward", ["region", "refused", "id"])
    op.create_table(
        "cell_call",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("at", AT, nullable=False),
    )
    op.create_index("ix_cell_call_at", "cell_call", ["at"])


def downgrade() -> None:
    for table in ("cell_call", "forward", "neighbour", "home"):
        op.drop_table(table)
