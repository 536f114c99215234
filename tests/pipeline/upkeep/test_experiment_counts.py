"""Whom the variants of an experiment reach: each person once, opened and clicked by persons, from the event stream."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine

from notifier.catalogue import experiments
from notifier.channels.receipts import Event
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Delivery, ExperimentPerson, ExperimentVariant, Notification
from notifier.people import profiles
from notifier.pipeline.delivery import receipts
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.upkeep import experiment_counts
from notifier.queries import experiments as queries
from tests.experimenting import KEY, begin, dealt, variants, waves  # noqa: F401 (a fixture)
from tests.stored import deliveries, rows, sent_statements

pytestmark = pytest.mark.usefixtures("waves")
Submit = Callable[..., Any]


def count_all() -> None:
    db.session.close()
    while experiment_counts.count():
        pass


def figures() -> dict[str, tuple[int, int, int]]:
    count_all()
    return {name: (row.people, row.opened, row.clicked) for name, row in variants().items()}


def make(people: list[str]) -> list[str]:
    with transaction():
        profiles.upsert([InlineRecipient(user_id, {"email": f"{user_id}@x.test"}) for user_id in people])
    return people


def send(submit: Submit, *people: str, channels: tuple[str, ...] = ("email",), **fields: Any) -> None:
    submit(*people, type="like", template=KEY, data={"actor": "Bo"}, channels=channels, **fields)
    deliver([row.id for row in deliveries(status="queued")])


def hear(kind: str, delivery_id: UUID, by: str = "person", id: str = "1") -> None:
    event: Any = Event(f"{delivery_id} {kind} {id}", kind, now(), delivery_id=show("dlv", delivery_id), by=by)  # type: ignore[arg-type]
    receipts.submit(receipts.Call("sandbox", "email", (event,), now()))


def mail_of(user_id: str) -> list[UUID]:
    db.session.close()
    mine = sa.select(Delivery.id).join(Notification, Notification.id == Delivery.notification_id)
    return list(db.session.scalars(mine.where(Notification.user_id == user_id).order_by(Delivery.id)))


def test_each_person_counts_once_however_often_they_are_reached_and_open(submit: Submit) -> None:
    begin()
    one, other, silent = make([*dealt("control", "b"), dealt("b", wanted=2)[1]])
    for _ in range(2):
        send(submit, one, other, silent, channels=("email", "inapp"))
    assert figures() == {"control": (1, 0, 0), "b": (2, 0, 0)}
    for delivery_id in mail_of(other):
        hear("opened", delivery_id)
        hear("clicked", delivery_id)
        hear("clicked", delivery_id, id="2")
    assert figures() == {"control": (1, 0, 0), "b": (2, 1, 1)}


def test_machines_do_not_count(submit: Submit) -> None:
    begin()
    [person] = make(dealt("b"))
    send(submit, person)
    for kind in ("opened", "clicked"):
        hear(kind, mail_of(person)[0], by="machine")
    assert figures()["b"] == (1, 0, 0)


def test_nobody_counts_to_whom_nothing_was_sent(submit: Submit) -> None:
    begin()
    [person] = make(dealt("b"))
    submit(person, type="like", template=KEY, data={"actor": "Bo"}, channels=("push",))
    assert (figures()["b"], [row.status for row in deliveries()]) == ((0, 0, 0), ["skipped"])


def test_what_was_said_before_the_start_does_not_count_nor_what_happens_after_the_end(submit: Submit) -> None:
    begin()
    experiments.stop(KEY, "control")
    [person] = make(["p0"])
    send(submit, person)  # before the second one
    with time_machine.travel(now() + timedelta(minutes=1)):
        begin()
        assert {name: row.people for name, row in variants().items()} == {"control": 0, "b": 0}
        send(submit, person)
        count_all()
        experiments.stop(KEY, "control")
        [name] = [name for name, row in variants().items() if row.people]
    with time_machine.travel(now() + timedelta(minutes=3)):
        hear("opened", mail_of(person)[-1])
        count_all()
        assert variants()[name].opened == 0


def test_who_was_reached_is_forgotten_once_it_is_over_and_counted(submit: Submit) -> None:
    begin()
    people = make(dealt("control", "b"))
    send(submit, *people)
    experiments.stop(KEY, "b")
    # What happened just before the end is counted although the scheduler comes later
    assert figures() == {"control": (1, 0, 0), "b": (1, 0, 0)}
    assert (experiment_counts.forget(), len(rows(ExperimentPerson))) == (0, 2)
    with time_machine.travel(now() + timedelta(minutes=1)):
        count_all()
        assert (experiment_counts.forget(), rows(ExperimentPerson)) == (2, [])
        with sent_statements() as sent:
            experiment_counts.count()
        assert len([one for one in sent if one != "BEGIN"]) == 1  # where there is no experiment, too
    assert figures() == {"control": (1, 0, 0), "b": (1, 0, 0)}


def test_erased_people_are_named_nowhere_and_stay_in_the_figures(submit: Submit) -> None:
    begin()
    people = make(dealt("control", "b"))
    send(submit, *people)
    profiles.erase(people[0])  # before they are counted
    assert figures() == {"control": (0, 0, 0), "b": (1, 0, 0)}
    profiles.erase(people[1])
    assert (figures(), rows(ExperimentPerson)) == ({"control": (0, 0, 0), "b": (1, 0, 0)}, [])


def test_the_results_say_what_the_figures_mean() -> None:
    begin(goal="clicked")
    with transaction() as session:
        for name, clicked in (("control", 120), ("b", 150)):
            mine = sa.update(ExperimentVariant).where(ExperimentVariant.name == name)
            session.execute(mine.values(people=1000, opened=500, clicked=clicked))
    found = queries.one(KEY)
    assert (found["verdict"], round(found["p_value"], 4)) == ("b is better", 0.0496)
    assert [(one["name"], one["rate"]) for one in found["variants"]] == [("control", 0.12), ("b", 0.15)]
    low, high = found["variants"][1]["interval"]
    assert 0.129 < low < 0.15 < high < 0.174
