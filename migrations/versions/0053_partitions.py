"""PostgreSQL: what grows with every message and nothing refers to is in partitions by time, which are dropped whole.

The table as it was becomes the first partition, `…_before`: nothing is copied, but it is read once to prove that its
keys belong there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None

BY_TIME = {"capture": "id", "subscription_attempt": "id", "attempt": "delivery_id"}
POSITIONS = 1 << 30  # of events in a partition
# In four days; the scheduler makes the partitions from there on. Ids begin with the milliseconds since 1970.
FIRST = (
    "SELECT CAST(lpad(to_hex(CAST(extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC')) AS bigint) * 1000 "
    "+ 345600000), 12, '0') || repeat('0', 20) AS uuid)"
)
TRIGGER = "event_is_in_order"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    first = op.get_bind().execute(sa.text(FIRST)).scalar_one()
    # In the order in which what is sent is recorded
    run("LOCK TABLE attempt, event, capture, subscription_attempt IN ACCESS EXCLUSIVE MODE")
    for table, key in BY_TIME.items():
        part(table, key, f"'{first}'")
    given = op.get_bind().execute(sa.text("SELECT last_value FROM event_id_seq")).scalar_one()
    bound = (given // POSITIONS + 1) * POSITIONS
    run(f"DROP TRIGGER {TRIGGER} ON event")
    part("event", "id", str(bound))
    run("ALTER SEQUENCE event_id_seq OWNED BY event.id")
    run(f"CREATE TRIGGER {TRIGGER} BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION {TRIGGER}()")
    for lower in range(bound, bound + 3 * POSITIONS, POSITIONS):
        name = f"event_p{lower // POSITIONS:06}"
        run(f"CREATE TABLE {name} PARTITION OF event FOR VALUES FROM ({lower}) TO ({lower + POSITIONS})")


def downgrade() -> None:
    """Copies the rows back into one table each: some seconds for a million."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in (*BY_TIME, "event"):
        run(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        indexes, constraints = described(table)
        run(f"ALTER TABLE {table} RENAME TO {table}_parted")
        run(f"CREATE TABLE {table} (LIKE {table}_parted INCLUDING DEFAULTS)")
        run(f"INSERT INTO {table} SELECT * FROM {table}_parted")
        if table == "event":
            run("ALTER SEQUENCE event_id_seq OWNED BY event.id")
        run(f"DROP TABLE {table}_parted")
        restore(table, indexes, constraints)
    run(f"CREATE TRIGGER {TRIGGER} BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION {TRIGGER}()")


def part(table: str, key: str, bound: str) -> None:
    before = f"{table}_before"
    indexes, constraints = described(table)
    run(f"ALTER TABLE {table} RENAME TO {before}")
    for name in constraints:
        run(f"ALTER TABLE {before} RENAME CONSTRAINT {name} TO {name}_before")
    for name in indexes:
        run(f"ALTER INDEX {name} RENAME TO {name}_before")
    run(f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE ({key})")
    restore(table, indexes, constraints)
    run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({bound})")
    run(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")


def described(table: str) -> tuple[dict[str, str], dict[str, str]]:
    """→ its indexes that belong to no constraint, and its constraints, the primary key first: name → definition."""
    constraints = op.get_bind().execute(
        sa.text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) "
            "AND contype IN ('p', 'f') "
            "ORDER BY contype = 'p' DESC, conname"
        ),
        {"table": table},
    )
    named = {row.conname: row.pg_get_constraintdef for row in constraints}
    indexes = op.get_bind().execute(
        sa.text(
            "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid "
            "WHERE indrelid = CAST(:table AS regclass) ORDER BY relname"
        ),
        {"table": table},
    )
    return {row.relname: row.pg_get_indexdef for row in indexes if row.relname not in named}, named


def restore(table: str, indexes: dict[str, str], constraints: dict[str, str]) -> None:
    for name, definition in constraints.items():
        run(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for definition in indexes.values():
        run(definition.replace(" ON ONLY ", " ON "))


def run(statement: str) -> None:
    op.execute(sa.text(statement))
