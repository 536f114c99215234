"""Status webhooks: subscriptions to the event stream, their retries and their attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("producer_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.Uuid()),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("sees_people", sa.Boolean(), nullable=False),
        sa.Column("sees_all", sa.Boolean(), nullable=False),
        sa.Column("url", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_secret", sa.LargeBinary()),
        sa.Column("previous_until", TIME),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("types", JSON),
        sa.Column("description", sa.String(200)),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("replay_position", sa.BigInteger()),
        sa.Column("replay_end", sa.BigInteger()),
        sa.Column("replay_since", TIME),
        sa.Column("replay_until", TIME),
        sa.Column("ping", sa.String(64)),
        sa.Column("failing_since", TIME),
        sa.Column("is_slow", sa.Boolean(), nullable=False),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_reason", sa.String(16)),
        sa.Column("told_at", TIME),
        sa.Column("wake_at", TIME, nullable=False),
        sa.Column("leased_until", TIME),
        sa.Column("holder", sa.BigInteger()),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
        sa.ForeignKeyConstraint(
            ["producer_id"], ["producer.id"], name=op.f("fk_subscription_producer_id_producer"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["key_id"], ["api_key.id"], name=op.f("fk_subscription_key_id_api_key"), ondelete="SET NULL"
        ),
    )
    op.create_index("ix_subscription_producer_id", "subscription", ["producer_id"])
    op.create_index("ix_subscription_key_id", "subscription", ["key_id"])
    op.create_index("ix_subscription_wake_at", "subscription", ["wake_at"])
    op.create_table(
        "subscription_retry",
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("webhook_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", "event_id", name=op.f("pk_subscription_retry")),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_subscription_retry_subscription_id_subscription"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_subscription_retry_due_at", "subscription_retry", ["subscription_id", "due_at"])
    op.create_table(
        "subscription_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.String(64)),
        sa.Column("kind", sa.String(32)),
        sa.Column("number", sa.Integer()),
        sa.Column("at", TIME, nullable=False),
        sa.Column("duration_ms", sa.Integer()),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("message", sa.String(200)),
        sa.Column("next_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription_attempt")),
    )
    op.create_index("ix_subscription_attempt_subscription_id", "subscription_attempt", ["subscription_id", "id"])


def downgrade() -> None:
    op.drop_table("subscription_attempt")
    op.drop_table("subscription_retry")
    op.drop_table("subscription")
