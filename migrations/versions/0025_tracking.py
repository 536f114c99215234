"""Types may track opens and clicks; a delivery knows where its links lead."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event_type", sa.Column("tracks_opens", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("event_type", sa.Column("tracks_clicks", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("delivery", sa.Column("links", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("delivery", "links")
    op.drop_column("event_type", "tracks_clicks")
    op.drop_column("event_type", "tracks_opens")
