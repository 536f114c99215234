"""PostgreSQL: what grows with every message and nothing refers to is in partitions by time, which are dropped whole.

The table as it was becomes the first partition, `…_before`: nothing is copied, but it is read once to prove that its
keys belong there.

Nobody is made to wait for long: it takes all its locks before it changes anything, and lets go of them to try again
while one of them is not to be had. Some of what runs beside it takes the same ones in another order.
"""

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

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
PARTED = ("attempt", "event", "capture", "subscription_attempt")
MOST_TRIES = 300  # five minutes
IN_THE_WAY = ("55P03", "40P01")  # SQLSTATE: lock_timeout's, and of a deadlock
REFERRED = (
    "SELECT DISTINCT relname FROM pg_constraint JOIN pg_class ON pg_class.oid = confrelid WHERE contype = 'f' "
    "AND conrelid = ANY(CAST(:tables AS regclass[])) AND confrelid <> ALL(CAST(:tables AS regclass[])) ORDER BY relname"
)
GRANTED = (
    "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE CAST(CAST(grantee AS regrole) AS text) END AS role, "
    "is_grantable FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = CAST(:table AS regclass) "
    "AND grantee <> relowner"
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    lock()
    first = op.get_bind().execute(sa.text(FIRST)).scalar_one()
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
    lock()
    for table in PARTED:
        indexes, constraints = described(table)
        run(f"ALTER TABLE {table} RENAME TO {table}_parted")
        run(f"CREATE TABLE {table} (LIKE {table}_parted INCLUDING DEFAULTS)")
        grant_as(f"{table}_parted", table)
        run(f"INSERT INTO {table} SELECT * FROM {table}_parted")
        if table == "event":
            run("ALTER SEQUENCE event_id_seq OWNED BY event.id")
        run(f"DROP TABLE {table}_parted")
        restore(table, indexes, constraints)
    run(f"CREATE TRIGGER {TRIGGER} BEFORE INSERT ON event FOR EACH STATEMENT EXECUTE FUNCTION {TRIGGER}()")


def lock() -> None:
    """Those that the tables refer to, since a foreign key changes both, and then the tables. So whoever sends or
    records waits with nothing in hand; and if not, shorter than PostgreSQL takes to look for a deadlock and end one.
    """
    bind = op.get_bind()
    referred = bind.execute(sa.text(REFERRED), {"tables": list(PARTED)}).scalars()
    names = ", ".join(f'"{name}"' for name in (*referred, *PARTED))
    run("SET LOCAL lock_timeout = '200ms'")
    for _ in range(MOST_TRIES):
        try:
            with bind.begin_nested():
                run(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in IN_THE_WAY:
                raise
            time.sleep(1)
        else:
            run("SET LOCAL lock_timeout TO DEFAULT")
            return
    raise RuntimeError(f"a long transaction, such as a backup, uses one of {names}: let it end, and migrate again")


def grant_as(source: str, table: str) -> None:
    """To those who read or write beside us."""
    for row in op.get_bind().execute(sa.text(GRANTED), {"table": source}).all():
        option = " WITH GRANT OPTION" if row.is_grantable else ""
        run(f"GRANT {row.privilege_type} ON {table} TO {row.role}{option}")


def part(table: str, key: str, bound: str) -> None:
    before = f"{table}_before"
    indexes, constraints = described(table)
    run(f"ALTER TABLE {table} RENAME TO {before}")
    for name in constraints:
        run(f"ALTER TABLE {before} RENAME CONSTRAINT {name} TO {name}_before")
    for name in indexes:
        run(f"ALTER INDEX {name} RENAME TO {name}_before")
    run(f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE ({key})")
    grant_as(before, table)
    restore(table, indexes, constraints)
    run(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    # Of a clock that was far ahead
    strays = f"DELETE FROM {before} WHERE {key} >= {bound} RETURNING *"
    run(f"WITH stray AS ({strays}) INSERT INTO {table}_rest SELECT * FROM stray")
    run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({bound})")


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
