"""What the shapes of channels declare is kept by name in one column; so is the message template that a provider has
approved.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_CONTENT = sa.table(
    "template_content",
    sa.column("template_id", sa.Uuid()),
    sa.column("channel", sa.String()),
    sa.column("locale", sa.String()),
    sa.column("approved", sa.Text()),
    sa.column("extra", JSON),
)
_KEY = (_CONTENT.c.template_id, _CONTENT.c.channel, _CONTENT.c.locale)


def upgrade() -> None:
    op.add_column("template_content", sa.Column("extra", JSON, nullable=False, server_default="{}"))
    found = op.get_bind().execute(sa.select(*_KEY, _CONTENT.c.approved).where(_CONTENT.c.approved != "")).all()
    for *key, approved in found:
        _write(key, extra={"approved": approved})
    op.drop_column("template_content", "approved")


def downgrade() -> None:
    op.add_column("template_content", sa.Column("approved", sa.Text(), nullable=True))
    for *key, extra in op.get_bind().execute(sa.select(*_KEY, _CONTENT.c.extra)).all():
        if extra.get("approved"):
            _write(key, approved=extra["approved"])
    op.drop_column("template_content", "extra")


def _write(key: list[object], **values: object) -> None:
    where = [column == value for column, value in zip(_KEY, key, strict=True)]
    op.get_bind().execute(sa.update(_CONTENT).where(*where).values(**values))
