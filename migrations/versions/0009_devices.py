"""A device belongs to one person: to the last one it was registered for, where there are several.
Columns as in 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DEVICE = sa.text("is_device")
FORMER_OWNERS = """
DELETE FROM address WHERE channel IN ('push', 'webpush') AND EXISTS (
  SELECT 1 FROM address AS later WHERE later.channel = address.channel AND later.digest = address.digest
  AND (COALESCE(later.verified_at, later.created_at), later.id)
    > (COALESCE(address.verified_at, address.created_at), address.id)
)
"""


def upgrade() -> None:
    op.add_column("address", sa.Column("is_device", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(FORMER_OWNERS)
    op.execute("UPDATE address SET is_device = true WHERE channel IN ('push', 'webpush')")
    op.create_index(
        "uq_address_device", "address", ["channel", "digest"], unique=True, sqlite_where=DEVICE, postgresql_where=DEVICE
    )


def downgrade() -> None:
    op.drop_index("uq_address_device", table_name="address")
    op.drop_column("address", "is_device")
