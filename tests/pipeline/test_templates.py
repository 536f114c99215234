"""A template from its first draft to being rolled back."""

from typing import Any

import pytest
import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.wording import Words
from notifier.database import transaction
from notifier.extensions import db
from notifier.models import AuditEntry, Notification, Submission, Template
from notifier.pipeline import template_preview, templates
from notifier.queries import templates as queries

KEY = "smoke_key"
PLACE = ("*", "en")


@pytest.fixture(autouse=True)
def _clean(app: Any):
    yield
    with transaction() as session:
        session.execute(sa.delete(Template).where(Template.key == KEY))


def test_flow(app: Any) -> None:
    one = templates.create(KEY, {PLACE: Words("Hi {{ name }}")})
    templates.publish(KEY, one)
    two = templates.create(KEY)
    seen = templates.revision_of(queries.source(KEY, two).contents[PLACE])
    templates.save(KEY, two, {PLACE: Words("Ho {{ name }}")}, seen={PLACE: seen})
    with pytest.raises(Rejected) as outdated:
        templates.save(KEY, two, {PLACE: Words("Hu")}, seen={PLACE: seen})
    assert outdated.value.code == "conflict"
    with pytest.raises(Rejected) as syntax:
        templates.save(KEY, two, {PLACE: Words("ok", body="a\nb {% if %}")})
    assert [(f.pointer, f.line) for f in syntax.value.faults] == [("/contents/0/body", 2)]
    assert templates.publish(KEY, two) == one
    assert templates.publish(KEY, one) == two
    with pytest.raises(Rejected):
        templates.save(KEY, one, {PLACE: Words("x")})
    assert {v.version: v.status for v in queries.versions(KEY)} == {1: "published", 2: "archived"}
    assert [line.published for line in queries.lines(KEY)] == [1]
    result = template_preview.preview(queries.source(KEY, 1), "email", "en", {"name": "Bo"}, None)
    assert result.subject == "Hi Bo"
    db.session.rollback()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(AuditEntry)) == 6


def test_draft_to_author_only(app: Any, cast: Any) -> None:
    version = templates.create(KEY, {PLACE: Words("Draft for you")})
    answer = template_preview.send_to_author(KEY, version, "fraud_alert", "email", "alice", {"order_id": "1", "reason": "r"}, to_sandbox=True).answer
    assert [n["user"] for n in answer["notifications"]] == ["alice"]
    with transaction() as session:
        session.execute(sa.delete(Notification))
        session.execute(sa.delete(Submission))
