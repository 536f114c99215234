"""Nothing that people wrote runs while a write transaction is open: templates, schemas and patterns take their time,
and others wait for the lock.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import schemas, template_check, templates
from notifier.catalogue import types as event_types
from notifier.core.submission import InlineRecipient
from notifier.core.wording import Words
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import Delivery, Digest, EventType, InboxItem, Notification, Template
from notifier.people import preferences
from notifier.pipeline.intake import schedules
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Caller, Item
from notifier.pipeline.planning import beforehand
from notifier.pipeline.upkeep import due, summaries
from notifier.words import language, render
from tests.stored import deliveries, rows
from tests.submitting import submission

Submit = Callable[..., Any]
# The code through which whatever people wrote is read, compiled or run.
PROGRAMS = {
    one.__code__: one.__qualname__
    for one in (
        language.Compiled.run,
        language.code_of,
        schemas.errors_of,
        schemas.compiled_pattern.__wrapped__,
        render._render,
        template_check.faults,
    )
}


@contextmanager
def watched() -> Iterator[dict[str, set[bool]]]:
    """Name of a program's door → whether a write transaction was open as it was passed."""
    passed: dict[str, set[bool]] = {}
    writes = [0]

    def begun(connection: Any) -> None:
        writes[0] = int(bool(connection.get_execution_options().get("writes")))

    def ended(_connection: Any) -> None:
        writes[0] = 0

    def look(frame: Any, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code in PROGRAMS:
            passed.setdefault(PROGRAMS[frame.f_code], set()).add(bool(writes[0]))

    for name, note in (("begin", begun), ("commit", ended), ("rollback", ended)):
        sa.event.listen(db.engine, name, note)
    sys.setprofile(look)
    try:
        yield passed
    finally:
        sys.setprofile(None)
        for name, note in (("begin", begun), ("commit", ended), ("rollback", ended)):
            sa.event.remove(db.engine, name, note)


@pytest.fixture(autouse=True)
def _only_the_catalogue(app: APIFlask) -> Iterator[None]:
    yield
    with transaction() as session:
        session.execute(sa.delete(EventType).where(EventType.key == "invoice_ready"))
        session.execute(sa.delete(Notification))
        session.execute(sa.delete(Template).where(Template.key == "hello"))


def accept_some(submit: Submit) -> None:
    submit("alice", InlineRecipient("nora", {"name": "Nora", "locale": "de"}), channels=("inapp", "email"))


def accept_who_is_called_otherwise(submit: Submit) -> None:
    submit(InlineRecipient("alice", {"name": "Alicia", "locale": "de", "time_zone": "Asia/Tokyo"}), channels=("inapp",))


def rehearse(submit: Submit, caller: Caller) -> None:
    dry_run([Item(caller, submission("alice"))])


def expand_many(submit: Submit) -> None:
    people = [InlineRecipient(f"u{n}", {"name": f"U {n}"}) for n in range(101)]
    answer = submit(*people, channels=("inapp",))
    assert expand(parse("sub", answer["id"])) == 101


def show_what_is_due(submit: Submit) -> None:
    submit("alice", channels=("inapp",), send_at=now() + timedelta(hours=1))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(wake_at=now()))
    assert due.ring_due() == 1


def close_a_digest(submit: Submit) -> None:
    preferences.change("alice", {"digest": {"social": "hourly"}}, replace=False, source="test")
    submit("alice", type="like", data={"actor": "Bo"}, channels=("email",))
    with transaction() as session:
        session.execute(sa.update(Digest).values(due_at=now() - timedelta(minutes=1)))
    assert summaries.close_due() == 1


def publish_words(submit: Submit) -> None:
    templates.publish("hello", templates.create("hello", {("*", "en"): Words("Hello {{ name }}")}))


def save_a_type(submit: Submit) -> None:
    fields = {
        "titles": {"en": "I"},
        "category": "transactional",
        "priority": "high",
        "channels": ["inapp"],
        "is_mandatory": False,
        "to_admins": False,
    }
    fields |= {
        "resend_unknown": None,
        "routing": None,
        "escalate_after_s": None,
        "dedupe_window_s": None,
        "dedupe_near": False,
        "tracks_opens": False,
        "tracks_clicks": False,
        "descriptions": {},
    }
    event_types.put(
        "invoice_ready", {**fields, "schema": {"properties": {"number": {"type": "string", "pattern": "^a+$"}}}}
    )
    submit("alice", type="invoice_ready", data={"number": "aa"})


def make_a_schedule(submit: Submit, caller: Caller) -> None:
    schedules.rehearse(caller, "0 9 * * *", "UTC", submission("alice"))


@pytest.mark.parametrize(
    "act",
    [
        accept_some,
        accept_who_is_called_otherwise,
        rehearse,
        expand_many,
        show_what_is_due,
        close_a_digest,
        publish_words,
        save_a_type,
        make_a_schedule,
    ],
)
def test_nothing_that_people_wrote_runs_in_a_write_transaction(
    app: APIFlask, cast: Any, submit: Submit, caller: Caller, act: Any
) -> None:
    language.compiled.cache_clear()
    with watched() as passed:
        act(submit, caller) if act in (rehearse, make_a_schedule) else act(submit)
    assert passed
    assert {name: when for name, when in passed.items() if True in when} == {}


def test_what_is_shown_at_once_is_there_with_the_answer(cast: Any, submit: Submit) -> None:
    for one in ("alice", InlineRecipient("nora", {"name": "Nora"}), InlineRecipient("alice", {"name": "Alicia"})):
        [notification] = submit(one, channels=("inapp",))["notifications"]
        assert [delivery["status"] for delivery in notification["deliveries"]] == ["delivered"]
    assert len(rows(InboxItem)) == 3


def test_words_that_are_too_much_for_a_batch_are_shown_by_the_scheduler(
    app: APIFlask, cast: Any, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_AT_ONCE", "_FOR_EACH", "_APART"):
        monkeypatch.setattr(beforehand, name, 0)
    submit("alice", channels=("inapp", "email"), routing="first")
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("inapp", "waiting", None),
        ("email", "waiting", "fallback"),
    ]
    assert rows(InboxItem) == []
    monkeypatch.undo()
    due.ring_due()
    assert [(row.channel, row.status, row.reason) for row in deliveries()] == [
        ("inapp", "delivered", None),
        ("email", "skipped", "not_needed"),
    ]
    assert len(rows(InboxItem)) == 1
