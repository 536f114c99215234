"""Which worker has claimed a delivery, so that what a dead one held is taken up at once."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("delivery", sa.Column("holder", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("delivery", "holder")
