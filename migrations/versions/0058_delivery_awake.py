import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None

AWAKE = sa.text("wake_at IS NOT NULL")


def upgrade() -> None:
    _replace("ix_delivery_wake_at", "ix_delivery_awake", ["status", "wake_at"])


def downgrade() -> None:
    _replace("ix_delivery_awake", "ix_delivery_wake_at", ["wake_at"])


def _replace(old: str, new: str, columns: list[str]) -> None:
    op.create_index(new, "delivery", columns, sqlite_where=AWAKE, postgresql_where=AWAKE)
    op.drop_index(old, "delivery")
