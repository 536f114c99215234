"""When an address that had bounced was given again. The column is added and dropped in place (see 0002)."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("address", sa.Column("revived_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("address", "revived_at")
