"""Idempotency keys are found by their submission, as it is deleted."""

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_idempotency_key_submission_id", "idempotency_key", ["submission_id"])


def downgrade() -> None:
    op.drop_index("ix_idempotency_key_submission_id", "idempotency_key")
