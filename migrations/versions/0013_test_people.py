"""Room for the mark in front of the ids of test keys' people.

PostgreSQL changes the length of a column without rewriting the table; SQLite keeps to none. The way back takes away the
people of test keys first, whose ids would not fit: nothing live refers to them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

COLUMNS = [("user", "id"), ("broadcast", "cursor"), *((table, "user_id") for table in ("notification", "capture"))]
REFERRING = ["account", "address", "channel_score", "collapse_head", "consent_event", "content_mark", "digest"]
REFERRING += ["inbox_state", "inbox_item", "preference", "invitation", "sign_in_link"]


def _set_length(length: int) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column in [*COLUMNS, *((table, "user_id") for table in REFERRING)]:
            op.alter_column(table, column, type_=sa.String(length=length))


def upgrade() -> None:
    _set_length(129)


def downgrade() -> None:
    for statement in (
        "DELETE FROM notification WHERE user_id LIKE '~%'",
        "DELETE FROM capture WHERE user_id LIKE '~%'",
        "DELETE FROM \"user\" WHERE id LIKE '~%'",
    ):
        op.execute(statement)
    _set_length(128)
