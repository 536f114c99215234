"""The language of an inbox item's words, so that it is laid out in its own direction; and name, description and free
metadata of a template.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbox_item", sa.Column("language", sa.String(35)))
    op.create_table(
        "template_about",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_template_about")),
    )


def downgrade() -> None:
    op.drop_table("template_about")
    op.drop_column("inbox_item", "language")
