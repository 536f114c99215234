"""Of a phone: its platform and the app, which say who can send to it."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("address", sa.Column("platform", sa.String(16), nullable=True))
    op.add_column("address", sa.Column("app", sa.String(255), nullable=True))


def downgrade() -> None:
    op.drop_column("address", "app")
    op.drop_column("address", "platform")
