"""The whole policy: repeats, replacements, digests, schedules, flags, learning; confirmed addresses and sign-in by
link.

Columns are added and dropped in place: SQLite's way of copying a table would take the rows that refer to it along.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "channel_prior",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channel_prior")),
    )
    op.create_table(
        "flag",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("percentage", sa.Integer(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_flag")),
    )
    op.create_table(
        "channel_score",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_channel_score_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "channel", name=op.f("pk_channel_score")),
    )
    op.create_table(
        "collapse_head",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=40), nullable=False),
        sa.Column("collapse_key", sa.String(length=255), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("previous_id", sa.Uuid(), nullable=True),
        sa.Column("item_id", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_collapse_head_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "scope", "collapse_key", name=op.f("pk_collapse_head")),
    )
    op.create_index(op.f("ix_collapse_head_updated_at"), "collapse_head", ["updated_at"], unique=False)
    op.create_table(
        "content_mark",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_content_mark_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "digest", name=op.f("pk_content_mark")),
    )
    op.create_index(op.f("ix_content_mark_expires_at"), "content_mark", ["expires_at"], unique=False)
    op.create_table(
        "digest",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("window_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_digest_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_digest")),
    )
    op.create_index(op.f("ix_digest_due_at"), "digest", ["due_at"], unique=False)
    op.create_index("uq_digest_window", "digest", ["user_id", "key", "is_test", "window_at"], unique=True)
    op.create_table(
        "address_code",
        sa.Column("address_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name=op.f("fk_address_code_address_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("address_id", name=op.f("pk_address_code")),
    )
    op.create_table(
        "revision",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_revision")),
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("producer_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("cron", sa.String(length=120), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("next_at", TIME, nullable=True),
        sa.Column("last_submission_id", sa.Uuid(), nullable=True),
        sa.Column("last_fault", sa.String(length=500), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_schedule_key_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["producer_id"], ["producer.id"], name=op.f("fk_schedule_producer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    op.create_index(op.f("ix_schedule_key_id"), "schedule", ["key_id"], unique=False)
    op.create_index(
        "ix_schedule_next_at",
        "schedule",
        ["next_at"],
        unique=False,
        sqlite_where=sa.text("next_at IS NOT NULL"),
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_schedule_producer_id"), "schedule", ["producer_id"], unique=False)
    op.create_table(
        "sign_in_link",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("email", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_sign_in_link_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_sign_in_link_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_link")),
    )
    op.create_index(op.f("ix_sign_in_link_account_id"), "sign_in_link", ["account_id"], unique=False)
    op.create_index(op.f("ix_sign_in_link_expires_at"), "sign_in_link", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sign_in_link_user_id"), "sign_in_link", ["user_id"], unique=False)
    op.create_table(
        "digest_entry",
        sa.Column("digest_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_digest_entry_delivery_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_digest_entry_digest_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest_id", "delivery_id", name=op.f("pk_digest_entry")),
    )
    op.create_index(op.f("ix_digest_entry_delivery_id"), "digest_entry", ["delivery_id"], unique=False)
    waiting = sa.text("status = 'waiting'")
    op.create_index(
        "ix_delivery_waiting",
        "delivery",
        ["channel", "priority", "wake_at"],
        unique=False,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.add_column("event_type", sa.Column("is_internal", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("event_type", sa.Column("routing", sa.String(length=16), nullable=True))
    op.add_column("event_type", sa.Column("escalate_after_s", sa.Integer(), nullable=True))
    op.add_column("event_type", sa.Column("dedupe_near", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("inbox_item", sa.Column("replaced_by", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_inbox_item_archived",
        "inbox_item",
        ["user_id", "created_at", "id"],
        sqlite_where=sa.text("archived_at IS NOT NULL"),
        postgresql_where=sa.text("archived_at IS NOT NULL"),
    )
    op.add_column("notification", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.add_column("notification", sa.Column("decision", JSON, nullable=True))
    op.add_column("producer", sa.Column("allowed_origins", JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("producer", "allowed_origins")
    op.drop_column("notification", "decision")
    op.drop_column("notification", "sequence")
    op.drop_index("ix_inbox_item_archived", "inbox_item")
    op.drop_column("inbox_item", "replaced_by")
    op.drop_column("event_type", "dedupe_near")
    op.drop_column("event_type", "escalate_after_s")
    op.drop_column("event_type", "routing")
    op.drop_column("event_type", "is_internal")
    op.drop_index("ix_delivery_waiting", "delivery")
    op.drop_table("digest_entry")
    op.drop_table("sign_in_link")
    op.drop_table("schedule")
    op.drop_table("revision")
    op.drop_table("address_code")
    op.drop_table("digest")
    op.drop_table("content_mark")
    op.drop_table("collapse_head")
    op.drop_table("channel_score")
    op.drop_table("flag")
    op.drop_table("channel_prior")
