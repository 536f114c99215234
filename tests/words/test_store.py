"""Published templates are read once, all in one query; drafts every time."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from sqlalchemy import event

from notifier.core.wording import TemplateSource, Words
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Template, TemplateContent
from notifier.words import store as template_store
from notifier.words.store import load_templates


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    queries: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        queries.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield queries
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def stored(app):
    """Stores a template and takes it away again."""
    ids: list[UUID] = []

    def store(*titles: str, status: str = "published") -> UUID:
        id = new_id()
        with transaction() as session:
            session.add(Template(id=id, key=f"test_{id.hex[-20:]}", version=3, status=status))
            session.flush()
            session.add_all(
                TemplateContent(template_id=id, channel="*", locale=locale, title=title, body="b")
                for locale, title in zip(("en", "de"), titles, strict=False)
            )
        ids.append(id)
        return id

    yield store
    with transaction() as session:
        for id in ids:
            session.delete(session.get(Template, id))


def test_templates_are_read_in_one_query_and_then_kept(stored):
    ids = [stored("One", "Eins"), stored("Two"), stored()]
    with counted_queries() as queries:
        found = load_templates(ids)
        again = load_templates(reversed(ids))
    assert [query.split()[0] for query in queries if query.startswith("SELECT")] == ["SELECT"]
    assert again == found
    assert found[ids[0]] == TemplateSource(
        ids[0], f"test_{ids[0].hex[-20:]}", 3, {("*", "en"): Words("One", "b"), ("*", "de"): Words("Eins", "b")}
    )
    assert found[ids[2]].contents == {}


def test_what_does_not_exist_is_left_out(app):
    assert load_templates([new_id()]) == {}
    assert load_templates([]) == {}


def test_a_draft_is_read_anew(stored):
    id = stored("Before", status="draft")
    assert load_templates([id])[id].contents["*", "en"].title == "Before"
    with transaction() as session:
        session.get(TemplateContent, (id, "*", "en")).title = "After"
    assert load_templates([id])[id].contents["*", "en"].title == "After"


def test_no_more_than_so_many_are_kept(stored, monkeypatch):
    monkeypatch.setattr(template_store, "MOST_KEPT", 2)
    ids = [stored("A"), stored("B"), stored("C")]
    load_templates(ids)
    with counted_queries() as queries:
        assert len(load_templates(ids)) == 3
    assert any(query.startswith("SELECT") for query in queries)
