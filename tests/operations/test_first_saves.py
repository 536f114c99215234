"""Two make the same at once: what the slower one does is done as if it had come after the other."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier import catalogue
from notifier.access import keys
from notifier.catalogue import about, templates, types
from notifier.core.wording import About, Words
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, EventType, Producer, Template, TemplateAbout
from notifier.models.producer import SCOPES
from notifier.operations import installation
from tests.stored import rows

KEY = "first_saved"


@pytest.fixture(autouse=True)
def _as_if_new(app: APIFlask) -> Iterator[None]:
    """Types and templates outlive a test; these do not."""
    yield
    with transaction() as session:
        for table in (EventType, Template, TemplateAbout):
            session.execute(sa.delete(table).where(table.key == KEY))


@contextmanager
def meanwhile(app: APIFlask, work: Callable[[], Any]) -> Iterator[None]:
    """Once, between what is read and what is written, somebody else does that."""

    def other() -> None:
        with app.app_context():
            work()
            db.session.remove()

    waiting = [threading.Thread(target=other)]

    def let_in(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if waiting and statement.startswith(("INSERT", "UPDATE")):
            thread = waiting.pop()
            thread.start()
            thread.join()

    sa.event.listen(db.engine, "before_cursor_execute", let_in)
    try:
        yield
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", let_in)
    assert not waiting


def put(title: str) -> list[str]:
    like = db.session.get_one(EventType, "comment")
    fields = {name: getattr(like, name) for name in types.FIELDS} | {"titles": {"en": title}}
    db.session.remove()
    types.put(KEY, fields)
    return [row.titles["en"] for row in rows(EventType) if row.key == KEY]


def describe(name: str) -> list[str]:
    about.save(KEY, About(name=name))
    return [row.name for row in rows(TemplateAbout) if row.key == KEY]


def load(_who: str) -> list[int]:
    installation.load_catalogue([replace(catalogue.load()[0], key=KEY)])
    return [row.version for row in rows(Template) if row.key == KEY]


def ensure_key(_who: str) -> list[str]:
    keys.ensure_key("a-key-that-a-setting-names-0123456789", producer_name="Environment", scopes=SCOPES)
    return [row.name for row in rows(Producer)]


def ensure_admin(_who: str) -> list[str]:
    installation.ensure_admin("root@example.test", "correct horse battery")
    return [row.role for row in rows(Account)]


@pytest.mark.parametrize(
    ("make", "stored"),
    [
        (put, ["mine"]),
        (describe, ["mine"]),
        (load, [1]),
        (ensure_key, ["Environment"]),
        (ensure_admin, ["admin"]),
    ],
)
def test_who_was_slower_comes_after_the_other(app: APIFlask, make: Callable[[str], list[Any]], stored: Any) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    if make is describe:
        templates.create(KEY, {("*", "en"): Words("Hi")})

    with meanwhile(app, lambda: make("theirs")):
        assert make("mine") == stored
