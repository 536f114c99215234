"""Words may name a message template that the provider has approved."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("template_content", sa.Column("approved", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("template_content", "approved")
