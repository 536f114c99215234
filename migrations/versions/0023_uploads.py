"""Uploaded lists of people, and an index of people's attributes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "upload",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("producer_id", sa.Uuid()),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("may_change_people", sa.Boolean(), nullable=False),
        sa.Column("may_change_staff", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("bad_rows", sa.Integer(), nullable=False),
        sa.Column("bad", JSON, nullable=False),
        sa.Column("erased", sa.LargeBinary()),
        sa.Column("wake_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.ForeignKeyConstraint(["producer_id"], ["producer.id"], name=op.f("fk_upload_producer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
    )
    op.create_index("ix_upload_producer_id", "upload", ["producer_id"])
    waiting = sa.text("wake_at IS NOT NULL")
    op.create_index("ix_upload_wake_at", "upload", ["wake_at"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "upload_part",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rows", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_upload_part_upload_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_part")),
    )
    op.create_table(
        "upload_member",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(129), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["upload.id"], name=op.f("fk_upload_member_upload_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_upload_member_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("upload_id", "user_id", name=op.f("pk_upload_member")),
    )
    op.create_index("ix_upload_member_user_id", "upload_member", ["user_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(
            "ix_user_attributes",
            "user",
            ["attributes"],
            postgresql_using="gin",
            postgresql_ops={"attributes": "jsonb_path_ops"},
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_user_attributes", "user")
    op.drop_table("upload_member")
    op.drop_table("upload_part")
    op.drop_table("upload")
