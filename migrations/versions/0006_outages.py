"""Outages: a delivery says what it waits for, so that it can stay in the database until that is over."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HELD = sa.text("status = 'waiting' AND held_for IS NOT NULL")


def upgrade() -> None:
    op.add_column("delivery", sa.Column("held_for", sa.Text(), nullable=True))
    op.create_index(
        "ix_delivery_held",
        "delivery",
        ["held_for", "priority", "due_at"],
        unique=False,
        sqlite_where=HELD,
        postgresql_where=HELD,
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_held", table_name="delivery")
    op.drop_column("delivery", "held_for")
