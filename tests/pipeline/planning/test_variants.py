"""Each person gets their variant of an experiment, on every way to them; whatever follows says the same words."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from notifier.catalogue import experiments
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Capture, InboxItem, Notification
from notifier.operations import resend
from notifier.people import profiles
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake import broadcasts, chunks, dry_run, expand
from notifier.pipeline.intake.broadcasts import Draft
from notifier.pipeline.intake.item import Caller, Item
from notifier.pipeline.upkeep import experiment_counts
from tests.experimenting import KEY, begin, dealt, running, variants, waves  # noqa: F401 (a fixture)
from tests.stored import deliveries, rows, sent_statements
from tests.submitting import submission

pytestmark = pytest.mark.usefixtures("waves")
Submit = Callable[..., Any]
SAID: dict[str, Any] = {"type": "like", "template": KEY, "data": {"actor": "Bo"}}
TITLES = {"control": "Plain Bo", "b": "Bold Bo"}


def make(people: list[str]) -> list[str]:
    with transaction():
        profiles.upsert([InlineRecipient(user_id, {"email": f"{user_id}@x.test"}) for user_id in people])
    return people


def due_titles(people: list[str]) -> dict[str, str]:
    return {user_id: TITLES[running().variant_for(user_id).name] for user_id in people}


def items() -> dict[str, str]:
    return {row.user_id: row.title for row in rows(InboxItem)}


def mails() -> dict[str, str]:
    return {row.user_id: row.content["subject"] for row in rows(Capture)}


def stored_variants() -> dict[str, str]:
    names = {row.id: name for name, row in variants().items()}
    return {row.user_id: names[row.variant_id] for row in rows(Notification)}


def test_items_mails_and_rows_have_the_persons_variant(submit: Submit) -> None:
    begin()
    people = make(dealt("control", "b", wanted=3))
    submit(*people, **SAID, channels=("inapp", "email"))
    deliver([row.id for row in deliveries(status="queued")])
    assert items() == mails() == due_titles(people)
    assert stored_variants() == {user_id: running().variant_for(user_id).name for user_id in people}


def test_a_dry_run_shows_the_persons_own(caller: Caller) -> None:
    begin()
    people = make(dealt("control", "b"))
    [answer] = dry_run.dry_run([Item(caller, submission(*people, **SAID, channels=("email",)))])
    assert isinstance(answer, dict)
    shown = {one["user"]: one["rendered"]["email"]["title"] for one in answer["notifications"]}
    assert shown == due_titles(people)


def test_what_is_sent_later_or_again_keeps_the_variant_of_the_day(submit: Submit, caller: Caller) -> None:
    """Whatever has become of the experiment meanwhile."""
    begin()
    [person] = make(dealt("control"))
    submit(person, **SAID, channels=("email",))
    [mail] = deliveries()
    variant_id = rows(Notification)[0].variant_id
    experiments.stop(KEY, "b")
    deliver([mail.id])
    assert mails() == {person: "Plain Bo"}
    resend.send(mail.id, lambda _: caller, "once")
    again = rows(Notification)[-1]
    assert (again.variant_id, len(rows(Notification))) == (variant_id, 2)
    deliver([row.id for row in deliveries(status="queued")])
    assert [row.content["subject"] for row in rows(Capture)] == ["Plain Bo"] * 2


def test_a_broadcast_deals_variants_and_what_is_kept_to_those_who_come_after_the_end(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    people = sorted(make(dealt("control", "b", wanted=6)))
    said = Submission(**SAID, recipients=(), channels=("inapp",), dedupe=False)
    key = broadcasts.create(caller, Draft("News", said, {"all": True})).broadcast_id
    expected = due_titles(people)
    monkeypatch.setattr(chunks, "CHUNK", 8)
    chunk = chunks.next_chunk(key)
    assert chunk is not None
    chunks.store_chunk(chunk)
    experiments.stop(KEY, "b")
    db.session.close()
    expand.expand(key)
    assert items() == {**{who: expected[who] for who in people[:8]}, **dict.fromkeys(people[8:], TITLES["b"])}


def test_test_keys_see_variants_and_count_nowhere(submit: Submit, caller: Caller) -> None:
    begin()
    trying = replace(caller, is_test=True)
    submit(InlineRecipient("t1", {"email": "t1@x.test"}), **SAID, channels=("email",), caller=trying)
    deliver([row.id for row in deliveries(status="queued")])
    [row] = rows(Notification)
    assert row.variant_id is not None
    experiment_counts.count()
    assert [row.people for row in variants().values()] == [0, 0]


def test_an_experiment_costs_no_statement(submit: Submit) -> None:
    """Neither where there is none, nor where there is one: it is read and stored with the rest."""

    def say(people: list[str]) -> tuple[int, int]:
        make(people)
        before = len(sent)
        submit(*people, **SAID, channels=("inapp", "email"))
        accepted = len(sent)
        queued = [row.id for row in deliveries(status="queued")]
        listed = len(sent)
        deliver(queued)
        return accepted - before, len(sent) - listed

    with sent_statements() as sent:
        say(["x1", "x2", "x3", "x4"])
        without = say(["y1", "y2", "y3", "y4"])
    begin()
    people = dealt("control", "b", wanted=4)
    with sent_statements() as sent:
        say(people[::2])  # the words of both are read once
        assert say(people[1::2]) == without
