"""Whose an address is, and values that are given with one notification alone.

`confirmed_at` stays empty for what is there already: nothing tells for certain which addresses their owners confirmed,
and which a producer gave. Nobody is locked out: accounts sign in by their own e-mail, which is looked up in `account`.
`notification.given` is sealed. Columns are added and dropped in place (see 0002).
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("address", sa.Column("confirmed_at", TIME, nullable=True))
    op.add_column("notification", sa.Column("given", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("notification", "given")
    op.drop_column("address", "confirmed_at")
