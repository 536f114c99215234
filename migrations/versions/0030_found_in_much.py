"""Indexes for what is looked for among much: notifications of test keys, captures of a channel; and with PostgreSQL
people by the beginning of their id, and the addresses of a person.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_notification_tests",
        "notification",
        ["producer_id", "id"],
        sqlite_where=sa.text("is_test IS 1"),
        postgresql_where=sa.text("is_test IS true"),
    )
    op.create_index("ix_capture_channel", "capture", ["channel", "id"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_user_id_code_points", "user", ["id"], postgresql_ops={"id": 'COLLATE "C"'})
        op.create_index("ix_address_user_id", "address", ["user_id"])


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_address_user_id", "address")
        op.drop_index("ix_user_id_code_points", "user")
    op.drop_index("ix_capture_channel", "capture")
    op.drop_index("ix_notification_tests", "notification")
