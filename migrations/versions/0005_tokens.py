"""What tokens end with: a generation for each person, and a version that rises when all of theirs are ended.

Columns are added and dropped in place (see 0002). People who are there already are of generation 0, as are the links in
the messages they have.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("user", sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("user", sa.Column("token_version", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("user", "token_version")
    op.drop_column("user", "generation")
