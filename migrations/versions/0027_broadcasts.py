"""Broadcasts, and the counts of their deliveries. The table that 0001 made for them was never filled."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
OPEN, PART = sa.text("finished_at IS NULL"), sa.text("broadcast_id IS NOT NULL")


def upgrade() -> None:
    op.drop_table("broadcast")
    op.create_table(
        "broadcast",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("producer_id", sa.Uuid()),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("category", sa.String(32), nullable=False),
        sa.Column("audience", JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("paused_reason", sa.String(200)),
        sa.Column("cursor", sa.String(129)),
        sa.Column("per_second", sa.Integer()),
        sa.Column("turn_at", TIME),
        sa.Column("stop_at_failures", sa.Float()),
        sa.Column("ended_before", sa.Integer(), nullable=False),
        sa.Column("failed_before", sa.Integer(), nullable=False),
        sa.Column("send_at", TIME),
        sa.Column("local_time", sa.String(32)),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("retrying", TIME),
        sa.Column("retried_to", sa.Uuid()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("expanded_at", TIME),
        sa.Column("finished_at", TIME),
        sa.ForeignKeyConstraint(["id"], ["submission.id"], name=op.f("fk_broadcast_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["producer_id"], ["producer.id"], name=op.f("fk_broadcast_producer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcast")),
    )
    op.create_index("ix_broadcast_producer_id", "broadcast", ["producer_id"])
    op.create_index("ix_broadcast_open", "broadcast", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "broadcast_tally",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcast_tally")),
    )
    op.create_index("ix_broadcast_tally_place", "broadcast_tally", ["broadcast_id", "channel", "status", "reason"])
    op.add_column("delivery", sa.Column("broadcast_id", sa.Uuid()))
    op.add_column("delivery", sa.Column("moved_from", sa.String(16)))
    of_part = ["broadcast_id", "status", "id"]
    op.create_index("ix_delivery_broadcast", "delivery", of_part, sqlite_where=PART, postgresql_where=PART)


def downgrade() -> None:
    op.drop_index("ix_delivery_broadcast", "delivery")
    op.drop_column("delivery", "moved_from")
    op.drop_column("delivery", "broadcast_id")
    op.drop_table("broadcast_tally")
    op.drop_table("broadcast")
    op.create_table(
        "broadcast",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("producer_id", sa.Uuid()),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("audience", JSON, nullable=False),
        sa.Column("data", sa.LargeBinary()),
        sa.Column("cursor", sa.String(129)),
        sa.Column("counts", JSON, nullable=False),
        sa.Column("send_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["producer_id"], ["producer.id"], name=op.f("fk_broadcast_producer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_broadcast")),
    )
    op.create_index("ix_broadcast_producer_id", "broadcast", ["producer_id"])
