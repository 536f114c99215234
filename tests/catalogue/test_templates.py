"""The life of a template's versions: drafts are written, published and rolled back; what has been published stays as it
is.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import templates
from notifier.core.errors import Rejected
from notifier.core.wording import Words
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import AuditEntry, Notification, Submission, Template, TemplateContent
from notifier.operations import template_trial
from notifier.queries import templates as queries
from tests.stored import rows

KEY = "greeting_words"
PLACE = ("*", "en")


@pytest.fixture(autouse=True)
def _no_templates_stay(app: APIFlask) -> Iterator[None]:
    yield
    with transaction() as session:
        for table in (Notification, Submission):
            session.execute(sa.delete(table))
        session.execute(sa.delete(Template).where(Template.key == KEY))


@pytest.fixture
def published(app: APIFlask) -> int:
    version = templates.create(KEY, {PLACE: Words("Hi {{ name }}")})
    templates.publish(KEY, version)
    return version


def states() -> dict[int, str]:
    db.session.rollback()
    return {row.version: row.status for row in queries.versions(KEY)}


def words(version: int) -> Any:
    db.session.rollback()
    return queries.source(KEY, version).contents


def test_a_draft_begins_with_what_is_published_or_with_the_version_it_is_made_of(published: int) -> None:
    templates.save(KEY, templates.create(KEY), {PLACE: Words("Ho")})
    drafts = [templates.create(KEY), templates.create(KEY, base=2)]
    assert [words(version) for version in drafts] == [{PLACE: Words("Hi {{ name }}")}, {PLACE: Words("Ho")}]
    assert states() == {1: "published", 2: "draft", 3: "draft", 4: "draft"}


def test_one_version_is_published_at_a_time_and_an_older_one_can_be_again(published: int) -> None:
    draft = templates.create(KEY)
    assert templates.publish(KEY, draft) == published
    assert states() == {1: "archived", 2: "published"}
    assert templates.publish(KEY, published) == draft
    assert states() == {1: "published", 2: "archived"}
    assert [line.published for line in queries.lines(KEY)] == [1]


def test_two_who_publish_at_once_leave_one_published(app: APIFlask, published: int) -> None:
    drafts = [templates.create(KEY) for _ in range(4)]

    def publish(version: int) -> None:
        with app.app_context():
            templates.publish(KEY, version)
            db.session.remove()

    threads = [threading.Thread(target=publish, args=(version,)) for version in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states().values()) == ["archived"] * 4 + ["published"]


def test_who_saves_over_what_somebody_has_changed_meanwhile_is_refused(published: int) -> None:
    draft = templates.create(KEY)
    seen = {PLACE: templates.revision_of(words(draft)[PLACE])}
    templates.save(KEY, draft, {PLACE: Words("Ho")}, seen=seen)
    with pytest.raises(Rejected) as refused:
        templates.save(KEY, draft, {PLACE: Words("Hu")}, seen=seen)
    assert (refused.value.code, words(draft)) == ("conflict", {PLACE: Words("Ho")})


def test_what_has_been_published_never_changes(published: int) -> None:
    templates.publish(KEY, templates.create(KEY))
    for version in (1, 2):  # archived, published
        with pytest.raises(Rejected) as refused:
            templates.save(KEY, version, {PLACE: Words("Hu")})
        assert (refused.value.code, words(version)) == ("conflict", {PLACE: Words("Hi {{ name }}")})


def test_words_are_taken_out_one_by_one_or_replaced_as_a_whole(published: int) -> None:
    draft = templates.create(KEY, {PLACE: Words("a"), ("*", "de"): Words("b"), ("sms", "en"): Words("c")})
    templates.save(KEY, draft, {("*", "de"): None})
    assert words(draft) == {PLACE: Words("a"), ("sms", "en"): Words("c")}
    templates.save(KEY, draft, {("email", "en"): Words("d")}, is_whole=True)
    assert words(draft) == {("email", "en"): Words("d")}


@pytest.mark.parametrize(
    ("contents", "faults"),
    [
        ({PLACE: Words("ok", body="a\nb {% if %}")}, [("/contents/0/body", 2)]),
        ({("pigeon", "en"): Words("ok")}, [("/contents/0/channel", None)]),
        (
            {PLACE: Words("ok"), ("*", "english!"): Words("{{")},
            [("/contents/1/locale", None), ("/contents/1/title", 1)],
        ),
    ],
    ids=["syntax", "channel", "all of them"],
)
def test_every_fault_is_named_and_nothing_is_stored(
    published: int, contents: Any, faults: list[tuple[str, int | None]]
) -> None:
    with pytest.raises(Rejected) as refused:
        templates.create(KEY, contents)
    assert [(fault.pointer, fault.line) for fault in refused.value.faults] == faults
    draft = templates.create(KEY)
    with pytest.raises(Rejected):
        templates.save(KEY, draft, contents)
    assert (states(), words(draft)) == ({1: "published", 2: "draft"}, {PLACE: Words("Hi {{ name }}")})


DEAR = "{% for a in range(1000) %}{% for b in range(100) %}{{ b|number }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("act", ["create", "save", "publish"])
@pytest.mark.parametrize(
    ("contents", "faults"),
    [
        ({PLACE: Words("ok", body=f"a\nb {DEAR}")}, [("/contents/0/body", "too_much_work", 2)]),
        ({PLACE: Words("ok"), ("sms", "de"): Words("ok", body=DEAR)}, [("/contents/1/body", "too_much_work", 1)]),
        ({("email", "en"): Words("ok", html="<p>" + DEAR + "</p>")}, [("/contents/0/html", "too_much_work", 1)]),
        ({PLACE: Words("ok", body="{{ x }}" * 501)}, [("/contents/0/body", "template_syntax", 1)]),
        (
            {("email", "en"): Words("{{ x }}" * 300, "{{ x }}" * 300, html="{{ x }}" * 300, image="{{ x }}" * 300)},
            [("/contents/0", "too_long", None)],
        ),
        (
            {("whatsapp", "en"): Words("ok", extra={"approved": "order_shipped\n{{ id }}\n{% if x %}\n{% endif %}"})},
            [("/contents/0/approved", "template_syntax", 3), ("/contents/0/approved", "template_syntax", 4)],
        ),
        (
            {("whatsapp", "en"): Words("ok", extra={"approved": f"order_shipped\n\n{DEAR}"})},
            [("/contents/0/approved", "too_much_work", 3)],
        ),
    ],
    ids=[
        *("work", "work in one channel", "work in html", "parts", "parts together"),
        *("a parameter over two lines", "work in a parameter"),
    ],
)
def test_what_takes_too_long_is_named_by_field_and_line_and_neither_saved_nor_published(
    published: int, act: str, contents: Any, faults: list[tuple[str, str, int | None]]
) -> None:
    draft = templates.create(KEY)
    acts: dict[str, Callable[[], Any]] = {
        "create": lambda: templates.create(KEY, contents),
        "save": lambda: templates.save(KEY, draft, contents),
        "publish": lambda: templates.publish(KEY, stored_unchecked(contents)),
    }
    with pytest.raises(Rejected) as refused:
        acts[act]()
    assert [(fault.pointer, fault.code, fault.line) for fault in refused.value.faults] == faults
    assert [version for version, status in states().items() if status == "published"] == [published]


@pytest.mark.parametrize(
    ("contents", "faults"),
    [
        (
            {("slack", "en"): Words("ok", extra={"buttons": "Help: here\nTrack it {{ url }}", "footer": "x" * 301})},
            [("/contents/0/buttons", "invalid_value", 2), ("/contents/0/footer", "too_long", None)],
        ),
        ({PLACE: Words("ok", extra={"colour": "red"})}, [("/contents/0/colour", "invalid_value", None)]),
        (
            {PLACE: Words("ok"), ("sms", "en"): Words("ok", extra={"buttons": "A: {{ url }}", "size": "1"})},
            [("/contents/1/buttons", "unknown_field", None), ("/contents/1/size", "unknown_field", None)],
        ),
        (
            {("whatsapp", "en"): Words("ok", extra={"approved": "Order shipped"})},
            [("/contents/0/approved", "invalid_value", 1)],
        ),
    ],
    ids=["of a shape", "any channel", "of another channel", "no name"],
)
def test_a_fault_in_what_a_shape_declares_is_named_by_field_and_line(
    published: int, contents: Any, faults: list[tuple[str, str, int | None]]
) -> None:
    with pytest.raises(Rejected) as refused:
        templates.create(KEY, contents)
    assert [(fault.pointer, fault.code, fault.line) for fault in refused.value.faults] == faults


def test_an_approved_template_of_one_language_is_published_when_all_languages_have_one(published: int) -> None:
    approved = {"approved": "order_shipped"}
    draft = templates.create(KEY, {("whatsapp", "en"): Words("a", extra=approved), ("whatsapp", "de"): Words("b")})
    with pytest.raises(Rejected) as refused:
        templates.publish(KEY, draft)
    [fault] = refused.value.faults
    assert (fault.pointer.rpartition("/")[2], fault.code) == ("approved", "missing_in_language")
    templates.save(KEY, draft, {("whatsapp", "de"): Words("b", extra=approved)})
    assert templates.publish(KEY, draft) == published


def stored_unchecked(contents: Any) -> int:
    """As an older release may have stored it."""
    version = templates.create(KEY, {})
    with transaction() as session:
        row = session.scalar(sa.select(Template).where(Template.key == KEY, Template.version == version))
        assert row is not None
        lines = [
            {"template_id": row.id, "channel": channel, "locale": locale, **asdict(words)}
            for (channel, locale), words in contents.items()
        ]
        session.execute(sa.insert(TemplateContent), lines)
    return version


@pytest.mark.parametrize(("key", "is_refused"), [("one_time_code", True), ("order_shipped", False)])
def test_words_of_a_mandatory_type_put_no_data_into_the_host_of_a_link(
    app: APIFlask, key: str, is_refused: bool
) -> None:
    contents = {PLACE: Words("Code", "one\ntwo https://{{ code }}.evil.test/")}
    before = {row.version for row in queries.versions(key)}
    try:
        with contextlib.ExitStack() as stack:
            refused = stack.enter_context(pytest.raises(Rejected)) if is_refused else None
            templates.create(key, contents)
        if refused is not None:
            assert [(fault.pointer, fault.code, fault.line) for fault in refused.value.faults] == [
                ("/contents/0/body", "data_in_host", 2)
            ]
    finally:
        db.session.rollback()
        with transaction() as session:
            session.execute(sa.delete(Template).where(Template.key == key, Template.version.not_in(before)))


@pytest.mark.parametrize(
    ("version", "code"),
    [(1, "conflict"), (2, "validation_failed"), (3, "not_found")],
    ids=["published", "without words", "none"],
)
def test_what_cannot_be_published_changes_nothing(published: int, version: int, code: str) -> None:
    templates.create(KEY, {})
    with pytest.raises(Rejected) as refused:
        templates.publish(KEY, version)
    assert (refused.value.code, states()) == (code, {1: "published", 2: "draft"})


def test_each_change_stands_in_the_audit_log_and_no_change_does_not(published: int) -> None:
    draft = templates.create(KEY)
    templates.save(KEY, draft, {PLACE: Words("Ho")})
    templates.save(KEY, draft, {PLACE: Words("Ho")})
    templates.publish(KEY, draft)
    db.session.rollback()
    entries = db.session.execute(
        sa.select(AuditEntry.action, AuditEntry.subject, AuditEntry.before).order_by(AuditEntry.id)
    ).all()
    assert [tuple(entry) for entry in entries[2:]] == [
        ("template.created", f"{KEY}@2", None),
        ("template.saved", f"{KEY}@2", {"* en": {"title": "Hi {{ name }}"}}),
        ("template.published", f"{KEY}@2", {"published": 1}),
    ]


def test_a_preview_is_worded_with_the_sample(published: int) -> None:
    result = template_trial.preview(queries.source(KEY, published), "email", "en", {"name": "Bo"}, None)
    assert getattr(result, "subject", None) == "Hi Bo"


def test_a_draft_is_sent_to_its_author_alone(app: APIFlask, cast: Any) -> None:
    version = templates.create(KEY, {PLACE: Words("Draft for you")})
    answer = template_trial.send_to_author(
        KEY, version, "fraud_alert", "email", "alice", {"order_id": "1", "reason": "r"}, to_sandbox=True
    ).answer
    [notification] = answer["notifications"]
    assert notification["user"] == "alice"
    assert states() == {version: "draft"}
    [entry] = rows(AuditEntry, action="template.tested")
    after = {"channel": "email", "to_sandbox": True, "notification": notification["id"]}
    assert (entry.subject, entry.after) == (f"{KEY}@{version}", after)
