"""Brands of mails, of the installation and of producers."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "brand",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(60), nullable=True),
        sa.Column("logo", sa.String(500), nullable=True),
        sa.Column("accent", sa.String(7), nullable=True),
        sa.Column("address", sa.String(300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brand")),
    )


def downgrade() -> None:
    op.drop_table("brand")
