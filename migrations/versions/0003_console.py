"""The admin console: counted events, work on many dead letters, paused channels, causes of failures.

Columns are added and dropped in place (see 0002).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DEAD = sa.text("status IN ('failed', 'unknown') AND reason IS NULL")
DEAD_BEFORE = sa.text("status IN ('failed', 'unknown')")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

# What is dead already is grouped by its last attempt, too.
LAST = "FROM attempt WHERE attempt.delivery_id = delivery.id ORDER BY number DESC LIMIT 1"
BACKFILL = f"""
UPDATE delivery SET outcome = (SELECT attempt.outcome {LAST}), code = (SELECT attempt.code {LAST}), failed_at = coalesce((SELECT attempt.at {LAST}), created_at)
WHERE status IN ('failed', 'unknown')
"""


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
    op.add_column("delivery", sa.Column("outcome", sa.String(length=32), nullable=True))
    op.add_column("delivery", sa.Column("code", sa.String(length=64), nullable=True))
    op.add_column("delivery", sa.Column("failed_at", TIME, nullable=True))
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


def downgrade() -> None:
    op.drop_index("ix_delivery_failed", table_name="delivery")
    op.create_index("ix_delivery_failed", "delivery", ["id"], unique=False, sqlite_where=DEAD_BEFORE, postgresql_where=DEAD_BEFORE)
    op.drop_index("ix_delivery_cause", table_name="delivery")
    op.drop_table("tally")
    op.drop_table("paused_channel")
    op.drop_table("bulk_action")
