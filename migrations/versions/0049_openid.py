"""Whom an OpenID provider means, and its token of a session."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "openid_identity",
        sa.Column("issuer", sa.String(500), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_openid_identity_account_id_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_openid_identity")),
    )
    op.create_index(op.f("ix_openid_identity_account_id"), "openid_identity", ["account_id"])
    op.add_column("account_session", sa.Column("id_token", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("account_session", "id_token")
    op.drop_table("openid_identity")
