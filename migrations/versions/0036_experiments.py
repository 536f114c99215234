"""Experiments with templates: variants, whom they have reached, and which variant a notification has."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
CURRENT = sa.text("status <> 'stopped'")


def upgrade() -> None:
    op.create_table(
        "experiment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("goal", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("kept", sa.String(32)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("stopped_at", TIME),
        sa.Column("counted_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment")),
    )
    current = {"sqlite_where": CURRENT, "postgresql_where": CURRENT}
    op.create_index("uq_experiment_current", "experiment", ["key"], unique=True, **current)
    op.create_index("ix_experiment_key", "experiment", ["key"])
    op.create_table(
        "experiment_variant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("clicked", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiment.id"],
            name=op.f("fk_experiment_variant_experiment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_experiment_variant_template_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_variant")),
        sa.UniqueConstraint("experiment_id", "name", name=op.f("uq_experiment_variant_experiment_id_name")),
    )
    op.create_table(
        "experiment_person",
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(129), nullable=False),
        sa.Column("has_opened", sa.Boolean(), nullable=False),
        sa.Column("has_clicked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiment.id"],
            name=op.f("fk_experiment_person_experiment_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["user.id"], name=op.f("fk_experiment_person_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("experiment_id", "user_id", name=op.f("pk_experiment_person")),
    )
    op.create_index("ix_experiment_person_user_id", "experiment_person", ["user_id"])
    op.create_table(
        "broadcast_variant",
        sa.Column("broadcast_id", sa.Uuid(), nullable=False),
        sa.Column("variant_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["broadcast_id"], ["broadcast.id"], name=op.f("fk_broadcast_variant_broadcast_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["variant_id"],
            ["experiment_variant.id"],
            name=op.f("fk_broadcast_variant_variant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("broadcast_id", "variant_id", "channel", "event", name=op.f("pk_broadcast_variant")),
    )
    op.add_column("notification", sa.Column("variant_id", sa.Uuid()))


def downgrade() -> None:
    op.drop_column("notification", "variant_id")
    op.drop_table("broadcast_variant")
    op.drop_table("experiment_person")
    op.drop_table("experiment_variant")
    op.drop_table("experiment")
