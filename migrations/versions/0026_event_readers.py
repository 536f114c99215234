"""How far those have come that are sent the event stream."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_reader",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.String(32)),
        sa.Column("holder", sa.BigInteger()),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("trouble", sa.String(64)),
        sa.Column("set_aside", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.String(40)),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_reader")),
    )


def downgrade() -> None:
    op.drop_table("event_reader")
