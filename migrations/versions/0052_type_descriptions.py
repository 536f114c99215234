"""What people are told of an event type beside its switch, by language."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("event_type", sa.Column("descriptions", JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("event_type", "descriptions")
