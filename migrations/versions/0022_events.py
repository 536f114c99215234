"""The event stream, with what lets its readers follow it, and the idempotency keys that its events name."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Before a statement takes its first position, its transaction locks the last one that was given: readers stop there
# until it has ended (`queries.events`). A trigger, so that no writer can forget it.
IN_ORDER = "event_is_in_order"
LOCKS = 0x4E54 << 48
POSTGRESQL_KEEPS_ORDER = [
    f"CREATE FUNCTION {IN_ORDER}() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE given bigint; BEGIN "
    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO given FROM event_id_seq; "
    f"PERFORM pg_advisory_xact_lock_shared({LOCKS} + given); RETURN NULL; END $$",
    f"CREATE TRIGGER {IN_ORDER} BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION {IN_ORDER}()",
]


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", POSITION, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("producer_id", sa.Uuid()),
        sa.Column("submission_id", sa.Uuid()),
        sa.Column("notification_id", sa.Uuid()),
        sa.Column("delivery_id", sa.Uuid()),
        sa.Column("user_id", sa.String(129)),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(64)),
        sa.Column("category", sa.String(32)),
        sa.Column("channel", sa.String(32)),
        sa.Column("address_masked", sa.String(120)),
        sa.Column("provider", sa.String(64)),
        sa.Column("reason", sa.String(64)),
        sa.Column("code", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_producer_id", "event", ["producer_id", "id"])
    op.create_index("ix_event_user_id", "event", ["user_id"])
    stream = op.create_table(
        "event_stream",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("pruned", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_stream")),
    )
    op.bulk_insert(stream, [{"name": secrets.token_hex(8), "pruned": 0}])
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL_KEEPS_ORDER:
            op.execute(sa.text(statement))
    op.add_column("submission", sa.Column("idempotency_key", sa.String(255)))


def downgrade() -> None:
    op.drop_column("submission", "idempotency_key")
    op.drop_table("event_stream")
    op.drop_table("event")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.text(f"DROP FUNCTION {IN_ORDER}"))
