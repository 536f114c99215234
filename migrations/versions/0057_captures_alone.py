"""Captures refer to their deliveries without a foreign key: with PostgreSQL each delivery that was deleted looked for
its captures in every partition. What deletes deliveries deletes their captures too, all in one statement.
"""

import time

from alembic import op
from sqlalchemy.exc import OperationalError

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

NAME = "fk_capture_delivery_id"
MOST_TRIES = 300  # five minutes
IN_THE_WAY = ("55P03", "40P01")  # SQLSTATE: lock_timeout's, and of a deadlock


def upgrade() -> None:
    lock()
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(NAME, "capture", type_="foreignkey")
        return
    with op.batch_alter_table("capture") as table:
        table.drop_constraint(NAME, type_="foreignkey")


def downgrade() -> None:
    lock()
    op.execute("DELETE FROM capture WHERE delivery_id NOT IN (SELECT id FROM delivery)")
    with op.batch_alter_table("capture") as table:
        table.create_foreign_key(NAME, "delivery", ["delivery_id"], ["id"], ondelete="CASCADE")


def lock() -> None:
    """Both tables, before anything is changed; nobody is made to wait for long behind it."""
    bind = op.get_bind()
    if bind.dialect.name != "postgresql":
        return
    op.execute("SET LOCAL lock_timeout = '200ms'")
    for _ in range(MOST_TRIES):
        try:
            with bind.begin_nested():
                op.execute("LOCK TABLE delivery, capture IN ACCESS EXCLUSIVE MODE")
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) not in IN_THE_WAY:
                raise
            time.sleep(1)
        else:
            op.execute("SET LOCAL lock_timeout TO DEFAULT")
            return
    raise RuntimeError("a long transaction, such as a backup, uses captures: let it end, and migrate again")
