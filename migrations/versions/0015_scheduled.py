"""What was submitted for a later time is found by the person, however long ago that was."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_LATER = sa.text("send_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_notification_send_at", "notification", ["user_id", "send_at"], sqlite_where=_LATER, postgresql_where=_LATER
    )


def downgrade() -> None:
    op.drop_index("ix_notification_send_at", table_name="notification")
