"""Digest keys after the first, and which of them a run gives to everything."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "digest_key",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_digest_key")),
    )
    op.add_column("reencryption", sa.Column("digest_key", sa.Integer(), nullable=False, server_default="1"))


def downgrade() -> None:
    made = sa.select(sa.func.count()).select_from(sa.table("digest_key"))
    if op.get_bind().scalar(made):
        raise RuntimeError("what is digested with a later digest key could not be found without it: restore a backup")
    op.drop_column("reencryption", "digest_key")
    op.drop_table("digest_key")
