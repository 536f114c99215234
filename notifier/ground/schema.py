"""The migration that a database is at, and the error message if it is not the program's.

Called by the commands, by `programs.starting` and by `doctor`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from notifier.ground.config import ROOT, NotReady
from notifier.ground.engines import read_only, sqlite_file

_MIGRATIONS = ROOT / "migrations"
_WAIT = "Another program is at work on it, such as a migration or a backup: wait for its end, and try again."


class Standing(Enum):
    CURRENT, BEHIND, EMPTY, NEWER = "current", "behind", "empty", "newer"


class DatabaseAway(NotReady):
    """DATABASE_URL does not answer, or not in time."""

    def __init__(self, database_url: str, error: Exception) -> None:
        self.what = f"the database {shown(database_url)} cannot be reached: {reason(error)}"
        if "database is locked" in self.what:
            self.remedy = _WAIT
        elif sqlite_file(database_url) is not None:
            self.remedy = "Correct DATABASE_URL, or the rights to the file and its folder."
        else:
            self.remedy = "Start it, or correct DATABASE_URL."
        super().__init__(_sentence(self.what, self.remedy))


@dataclass(frozen=True, slots=True)
class Schema:
    """`stands_at`: the revision of the database (None: no migration has run). `wanted`: the program's. `name`: the
    database's, without its password.
    """

    name: str
    standing: Standing
    stands_at: str | None
    wanted: str

    @property
    def fault(self) -> tuple[str, str]:
        """A sentence: what is wrong, and what to do."""
        match self.standing:
            case Standing.EMPTY:
                what = f"the database {self.name} has not been set up yet"
                return (
                    what,
                    "Run: python -m notifier migrate. If another is meant, correct NOTIFIER_HOME or DATABASE_URL.",
                )
            case Standing.BEHIND:
                return (
                    f"the database is at migration {self.stands_at}, the program at {self.wanted}",
                    "Run: python -m notifier migrate",
                )
            case Standing.NEWER:
                what = (
                    f"the database is at migration {self.stands_at}, which this program does not know: a newer "
                    "release has migrated it"
                )
                return what, "Run that release, or go back to a backup made before it."
            case Standing.CURRENT:
                return "", ""


def look(database_url: str) -> Schema:
    """Creates and changes nothing. Raises DatabaseAway."""
    script = ScriptDirectory(str(_MIGRATIONS))
    wanted = str(script.get_current_head())
    path = sqlite_file(database_url)
    if path is not None and not path.exists():
        return Schema(shown(database_url), Standing.EMPTY, None, wanted)
    url, options = read_only(database_url)
    engine = create_engine(url, **options)
    try:
        found = _revision(engine)
    except DBAPIError as error:
        raise DatabaseAway(database_url, error) from None
    finally:
        engine.dispose()
    if found is None:
        return Schema(shown(database_url), Standing.EMPTY, None, wanted)
    known = {revision.revision for revision in script.walk_revisions()}
    standing = Standing.CURRENT if found == wanted else Standing.BEHIND if found in known else Standing.NEWER
    return Schema(shown(database_url), standing, found, wanted)


def require(database_url: str, *, may_be_older: bool = False) -> None:
    """Raises NotReady unless the program can work with the database;
    `may_be_older`: or could once it has migrated it.
    """
    schema = look(database_url)
    fine = {Standing.CURRENT, Standing.BEHIND, Standing.EMPTY} if may_be_older else {Standing.CURRENT}
    if schema.standing not in fine:
        raise NotReady(_sentence(*schema.fault))


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    return ", ".join(heads) or None


def compared(connection: Connection) -> Callable[..., bool]:
    """Of what is in the database and in the models, what Alembic is to compare: partitions are of the database alone,
    and some indexes of one kind of database.
    """
    partitions = sa.text("SELECT relname FROM pg_class WHERE relispartition")
    left_out = set(connection.scalars(partitions)) if connection.dialect.name == "postgresql" else set()

    def is_compared(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        condition = getattr(thing, "_ddl_if", None)
        is_of_this = condition is None or condition.dialect == connection.dialect.name
        return is_of_this and not (kind == "table" and name in left_out)

    return is_compared


def shown(database_url: str) -> str:
    """Without its password."""
    url = make_url(database_url)
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def reason(error: Exception) -> str:
    """The driver's own words: their first line, the others are hints."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _sentence(what: str, remedy: str) -> str:
    return f"{what[0].upper()}{what[1:]}. {remedy}"
