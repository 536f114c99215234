"""Why deliveries wait: counted and listed by their reason."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_WAITING = sa.text("status = 'waiting'")


def upgrade() -> None:
    op.create_index(
        "ix_delivery_reason", "delivery", ["reason", "wake_at"], sqlite_where=_WAITING, postgresql_where=_WAITING
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_reason", table_name="delivery")
