"""The admin console: counted events, work on many dead letters, paused channels, causes of failures,
invitations, an audit trail that nobody can change.

Columns are added and dropped in place (see 0002).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INVITED = sa.text("used_at IS NULL AND withdrawn_at IS NULL")
DEAD = sa.text("status IN ('failed', 'unknown') AND reason IS NULL")
DEAD_BEFORE = sa.text("status IN ('failed', 'unknown')")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

# What is dead already is grouped by its last attempt, too.
LAST = "FROM attempt WHERE attempt.delivery_id = delivery.id ORDER BY number DESC LIMIT 1"
BACKFILL = f"""
UPDATE delivery SET outcome = (SELECT attempt.outcome {LAST}), code = (SELECT attempt.code {LAST}),
    failed_at = coalesce((SELECT attempt.at {LAST}), created_at),
    failed_type = (SELECT notification.type FROM notification WHERE notification.id = delivery.notification_id)
WHERE status IN ('failed', 'unknown')
"""

# The audit trail can be added to, and no more.
KEPT = "audit_entry_is_kept"
SQLITE_KEEPS = [
    (
        f"CREATE TRIGGER {KEPT}_{word} BEFORE {word} ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit trail is "
        "append-only'); END"
    )
    for word in ("UPDATE", "DELETE")
]
POSTGRESQL_KEEPS = [
    (
        f"CREATE FUNCTION {KEPT}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit trail is "
        "append-only'; END $$"
    ),
    (
        f"CREATE TRIGGER {KEPT} BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE "
        f"FUNCTION {KEPT}()"
    ),
]
SQLITE_LETS_GO = [f"DROP TRIGGER {KEPT}_UPDATE", f"DROP TRIGGER {KEPT}_DELETE"]
POSTGRESQL_LETS_GO = [f"DROP TRIGGER {KEPT} ON audit_entry", f"DROP FUNCTION {KEPT}"]


def upgrade() -> None:
    op.create_table(
        "bulk_action",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("filter", JSON, nullable=False),
        sa.Column("provider", sa.String(length=64), nullable=True),
        sa.Column("per_second", sa.Integer(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=False),
        sa.Column("cursor", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("cancelled_at", TIME, nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("wake_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_action")),
    )
    op.create_index(
        "ix_bulk_action_open",
        "bulk_action",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.LargeBinary(), nullable=False),
        sa.Column("email_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME, nullable=True),
        sa.Column("withdrawn_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name=op.f("ck_invitation_role")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_invitation_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["account.id"], name=op.f("fk_invitation_invited_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitation_digest")),
    )
    op.create_index(op.f("ix_invitation_invited_by"), "invitation", ["invited_by"], unique=False)
    op.create_index(op.f("ix_invitation_user_id"), "invitation", ["user_id"], unique=False)
    op.create_index(
        "uq_invitation_open",
        "invitation",
        ["email_digest"],
        unique=True,
        sqlite_where=INVITED,
        postgresql_where=INVITED,
    )
    op.create_table(
        "paused_channel",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("paused_by", sa.String(length=200), nullable=False),
        sa.Column("paused_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_paused_channel")),
    )
    op.create_table(
        "tally",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tally")),
    )
    op.create_index("ix_tally_at", "tally", ["at", "channel", "event"], unique=False)
    op.add_column("account", sa.Column("signed_in_at", TIME, nullable=True))
    op.add_column("account", sa.Column("signed_out_at", TIME, nullable=True))
    op.add_column("api_key", sa.Column("networks", JSON, nullable=True))
    op.add_column("api_key", sa.Column("last_used_at", TIME, nullable=True))
    op.add_column("provider", sa.Column("changed_at", TIME, nullable=True))
    op.add_column("delivery", sa.Column("outcome", sa.String(length=32), nullable=True))
    op.add_column("delivery", sa.Column("code", sa.String(length=64), nullable=True))
    op.add_column("delivery", sa.Column("failed_at", TIME, nullable=True))
    op.add_column("delivery", sa.Column("failed_type", sa.String(length=64), nullable=True))
    op.create_index(
        "ix_delivery_cause",
        "delivery",
        ["channel", "provider", "outcome", "code", "failed_at"],
        unique=False,
        sqlite_where=DEAD,
        postgresql_where=DEAD,
    )
    op.drop_index("ix_delivery_failed", table_name="delivery")
    op.create_index("ix_delivery_failed", "delivery", ["id"], unique=False, sqlite_where=DEAD, postgresql_where=DEAD)
    op.execute(BACKFILL)
    for statement in SQLITE_KEEPS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_KEEPS:
        op.execute(statement)


def downgrade() -> None:
    for statement in SQLITE_LETS_GO if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_LETS_GO:
        op.execute(statement)
    op.drop_index("ix_delivery_failed", table_name="delivery")
    op.create_index(
        "ix_delivery_failed", "delivery", ["id"], unique=False, sqlite_where=DEAD_BEFORE, postgresql_where=DEAD_BEFORE
    )
    op.drop_index("ix_delivery_cause", table_name="delivery")
    op.drop_table("tally")
    op.drop_table("paused_channel")
    op.drop_table("invitation")
    op.drop_table("bulk_action")
    for column in ("failed_type", "failed_at", "code", "outcome"):
        op.drop_column("delivery", column)
    op.drop_column("provider", "changed_at")
    op.drop_column("api_key", "last_used_at")
    op.drop_column("api_key", "networks")
    op.drop_column("account", "signed_out_at")
    op.drop_column("account", "signed_in_at")
