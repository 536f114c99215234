"""What a person has snoozed is a list of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SNOOZED = sa.text("snoozed_until IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_inbox_item_snoozed",
        "inbox_item",
        ["user_id", "created_at", "id"],
        sqlite_where=SNOOZED,
        postgresql_where=SNOOZED,
    )


def downgrade() -> None:
    op.drop_index("ix_inbox_item_snoozed", table_name="inbox_item")
