"""Who chose what, from where and with which words; certificates of erasures, and the audit trail without the erased."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql")
KEPT = "audit_entry_is_kept"
SAME = ("id", "at", "actor", "action", "origin", "before")

# Of a line, the name of an erased person may be replaced once by that of the erasure, and no more
SQLITE = [
    f"DROP TRIGGER {KEPT}_UPDATE",
    f"CREATE TRIGGER {KEPT}_UPDATE BEFORE UPDATE ON audit_entry WHEN NOT (NEW.subject LIKE 'era!_%' ESCAPE '!' AND "
    "OLD.subject NOT LIKE 'era!_%' ESCAPE '!' AND (NEW.after IS NULL OR NEW.after IS OLD.after) AND "
    + " AND ".join(f"NEW.{name} IS OLD.{name}" for name in SAME)
    + ") BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END",
    "CREATE TRIGGER consent_event_is_kept BEFORE UPDATE ON consent_event BEGIN SELECT RAISE(ABORT, 'the consent "
    "history is append-only'); END",
]
SQLITE_BACK = [
    "DROP TRIGGER consent_event_is_kept",
    f"DROP TRIGGER {KEPT}_UPDATE",
    f"CREATE TRIGGER {KEPT}_UPDATE BEFORE UPDATE ON audit_entry BEGIN SELECT RAISE(ABORT, 'the audit trail is "
    "append-only'); END",
]
POSTGRESQL = [
    f"DROP TRIGGER {KEPT} ON audit_entry",
    f"CREATE TRIGGER {KEPT} BEFORE DELETE OR TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION {KEPT}()",
    f"CREATE TRIGGER {KEPT}_update BEFORE UPDATE ON audit_entry FOR EACH ROW WHEN (NOT (NEW.subject LIKE 'era!_%' "
    "ESCAPE '!' AND OLD.subject NOT LIKE 'era!_%' ESCAPE '!' AND (NEW.after IS NULL OR NEW.after IS NOT DISTINCT FROM "
    "OLD.after) AND "
    + " AND ".join(f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in SAME)
    + f")) EXECUTE FUNCTION {KEPT}()",
    "CREATE FUNCTION consent_event_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the consent "
    "history is append-only'; END $$",
    "CREATE TRIGGER consent_event_is_kept BEFORE UPDATE ON consent_event FOR EACH ROW EXECUTE FUNCTION "
    "consent_event_is_kept()",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER consent_event_is_kept ON consent_event",
    "DROP FUNCTION consent_event_is_kept",
    f"DROP TRIGGER {KEPT}_update ON audit_entry",
    f"DROP TRIGGER {KEPT} ON audit_entry",
    f"CREATE TRIGGER {KEPT} BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry FOR EACH STATEMENT EXECUTE FUNCTION "
    f"{KEPT}()",
]


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.add_column("consent_event", sa.Column("actor", sa.String(200), nullable=True))
    op.add_column("consent_event", sa.Column("origin", sa.String(64), nullable=True))
    op.add_column("consent_event", sa.Column("text_version", sa.String(64), nullable=True))
    op.create_table(
        "consent_text",
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_consent_text")),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.LargeBinary(32), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("erased", JSON, nullable=False),
        sa.Column("kept", JSON, nullable=False),
        sa.Column("ledger", sa.LargeBinary(32), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index("ix_erasure_person", "erasure", ["person"])
    op.create_index("ix_audit_entry_subject", "audit_entry", ["subject"], postgresql_ops={"subject": 'COLLATE "C"'})
    for statement in POSTGRESQL if is_postgresql else SQLITE:
        op.execute(statement)


def downgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in POSTGRESQL_BACK if is_postgresql else SQLITE_BACK:
        op.execute(statement)
    op.drop_index("ix_audit_entry_subject", table_name="audit_entry")
    op.drop_table("erasure")
    op.drop_table("consent_text")
    for name in ("text_version", "origin", "actor"):
        op.drop_column("consent_event", name)
