"""The list of a producer's webhook targets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("producer", sa.Column("webhook_targets", JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("producer", "webhook_targets")
