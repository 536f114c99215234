"""What SMS and calls cost each producer, and the limits that have stopped messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("producer", sa.Column("phone_countries", JSON, nullable=True))
    op.add_column("producer", sa.Column("daily_spend", sa.BigInteger(), nullable=True))
    op.create_table(
        "spend_day",
        sa.Column("producer_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("raised", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("producer_id", "day", name=op.f("pk_spend_day")),
    )
    op.create_index(op.f("ix_spend_day_day"), "spend_day", ["day"])
    op.create_table(
        "spend_entry",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("producer_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_spend_entry")),
    )
    op.create_index(op.f("ix_spend_entry_day"), "spend_entry", ["day"])
    op.create_table(
        "limit_stop",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("policy", sa.String(32), nullable=False),
        sa.Column("producer_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_stop")),
    )
    op.create_index("uq_limit_stop", "limit_stop", ["policy", "producer_id", "subject", "day"], unique=True)
    op.create_index(op.f("ix_limit_stop_producer_id"), "limit_stop", ["producer_id"])


def downgrade() -> None:
    for table in ("limit_stop", "spend_entry", "spend_day"):
        op.drop_table(table)
    op.drop_column("producer", "daily_spend")
    op.drop_column("producer", "phone_countries")
