"""The synthetic person hears every type, is watched, counts nowhere, and leaves without a trace."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.core.audience import parse as parse_audience
from notifier.core.synthetic import Synthetic, parse_synthetic
from notifier.core.worlds import SYNTHETIC
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import (
    Address,
    Capture,
    Delivery,
    Event,
    EventType,
    InboxItem,
    InboxState,
    Notification,
    Submission,
    SyntheticTurn,
    Tally,
    User,
)
from notifier.operations import installation
from notifier.people import audiences
from notifier.pipeline.delivery import deliver as delivering
from notifier.pipeline.upkeep import synthetic, synthetic_plan
from notifier.queries import causes, notifications, search
from tests.submitting import Mailbox

Ask = Callable[[str | None], None]


@pytest.fixture
def ask(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def _ask(text: str | None) -> None:
        asked = parse_synthetic(text) if text else None
        monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], synthetic=asked))

    return _ask


def say_all(*only: str) -> None:
    """A round, or a part of it: everything is said, and workers do their part."""
    plan(*only)
    while synthetic.say_next(asked()):
        deliver_all()
        synthetic.look()


def plan(*only: str) -> None:
    """Turns that are all due."""
    synthetic_plan.make(asked())
    with transaction() as session:
        if only:
            session.execute(sa.delete(SyntheticTurn).where(SyntheticTurn.key.not_in(only)))
        session.execute(sa.update(SyntheticTurn).values(due_at=now()))


def asked() -> Synthetic:
    found = current_settings().synthetic
    assert found is not None
    return found


def deliver_all() -> None:
    db.session.close()
    delivering.deliver(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued")).all())


def turns() -> dict[str, SyntheticTurn]:
    db.session.close()
    return {turn.key: turn for turn in db.session.scalars(sa.select(SyntheticTurn))}


def states(key: str) -> dict[str, str]:
    turn = turns()[key]
    return {one["channel"]: one["state"] for one in turn.so_far or turn.results}


def count(table: Any, *conditions: Any) -> int:
    db.session.close()
    return db.session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0


@pytest.mark.slow
def test_every_type_arrives_on_every_channel_of_its_own_and_counts_nowhere(app: APIFlask, ask: Ask) -> None:
    ask("5m")
    say_all()
    types = {row.key: row.channels for row in db.session.scalars(sa.select(EventType))}
    heard = {key: {one["channel"]: one["state"] for one in turn.results} for key, turn in turns().items()}
    assert heard == {key: dict.fromkeys(channels, "ok") for key, channels in types.items()}
    shown = count(InboxItem, InboxItem.user_id == SYNTHETIC)
    assert shown == sum("inapp" in channels for channels in types.values())
    nowhere = {table.__name__: count(table) for table in (Tally, Event, Capture)}
    assert nowhere == {"Tally": 0, "Event": 0, "Capture": 0}
    everybody = audiences.People(parse_audience({"all": True}), True, now())
    assert (search.latest(10), audiences.count(everybody)) == ([], 0)
    assert notifications.page(notifications.Filters(), notifications.Sight())["data"] == []


def test_each_account_is_tried_at_the_address_given_with_one_type_after_the_other(
    ask: Ask, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    configure(main=mailbox.url, spare=mailbox.url)
    ask("5m email=canary@x.test")
    said = []
    for _ in range(2):
        say_all("like", "@main", "@spare")
        said.append({turns()[f"@{name}"].type for name in ("main", "spare")})
        assert (states("@main"), states("@spare")) == ({"email": "ok"}, {"email": "ok"})
    assert mailbox.received == ["canary@x.test"] * 4
    assert said[0] != said[1]
    through = db.session.scalars(sa.select(Delivery.provider).where(Delivery.channel == "email").distinct()).all()
    assert sorted(filter(None, through)) == ["main", "sandbox", "spare"]


def test_what_fails_is_told_of_the_person_and_of_nobody_else(
    ask: Ask, configure: Callable[..., None], mailbox: Mailbox
) -> None:
    installation.ensure_admin("ann@x.test", "long enough for it")
    mailbox.refusal = "550 5.1.1 no such user"
    configure(main=mailbox.url)
    ask("5m email=canary@x.test")
    for round_ in (1, 2):
        say_all("@main")
        assert (states("@main"), turns()["@main"].bad) == ({"email": "failed"}, round_)
        assert told() == [None, {"channel": "email", "failed": 1, "provider": "main"}][round_ - 1]
    assert (causes.count(), count(Address, Address.disabled_at.is_not(None))) == (0, 0)
    mailbox.refusal = ""
    say_all("@main")
    assert (states("@main"), turns()["@main"].bad) == ({"email": "ok"}, 0)


def told() -> dict[str, Any] | None:
    """The alarm that admins got."""
    db.session.close()
    data = db.session.scalar(
        sa.select(Notification.data).where(Notification.type == synthetic.ALARM, Notification.user_id != SYNTHETIC)
    )
    return {name: value for name, value in data.items() if name != "url"} if data else None


def test_what_does_not_come_is_late_and_then_missing_and_never_sent(ask: Ask) -> None:
    ask("5m")
    plan("security_alert")
    synthetic.say_next(asked())
    seen = {}
    for seconds in (0, 2, 70):
        with time_machine.travel(now() + timedelta(seconds=seconds)):
            synthetic.look()
            seen[seconds] = states("security_alert")["email"]
            if seconds == 70:  # the worker is back
                deliver_all()
    assert seen == {0: "waiting", 2: "late", 70: "missing"}
    assert count(Delivery, Delivery.channel == "email", Delivery.status == "expired") == 1
    assert not turns()["security_alert"].is_open


def test_turns_are_spread_and_one_is_said_at_a_time(ask: Ask) -> None:
    ask("5m")
    watch = synthetic.Watch()
    start = now()
    watch.work()
    due = sorted(turn.due_at for turn in turns().values())
    gaps = {round((later - earlier).total_seconds(), 1) for earlier, later in itertools.pairwise(due)}
    assert len(gaps) == 1
    with time_machine.travel(start + timedelta(days=2)):  # after a night without schedulers
        for said in (2, 3):
            watch.work()
            assert count(Notification) == said


def test_a_scheduler_that_dies_before_it_has_said_it_only_delays_it(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("5m")
    plan("like")
    with monkeypatch.context() as killed:
        killed.setattr(synthetic.own, "submit", _killed)
        with pytest.raises(KeyboardInterrupt):
            synthetic.say_next(asked())
    [half] = [turn for turn in turns().values() if turn.is_open]
    synthetic.look()
    assert turns()[half.key].is_open  # it may be about to be said
    with time_machine.travel(now() + timedelta(minutes=1)):
        synthetic.look()
        assert (turns()[half.key].is_open, turns()[half.key].bad) == (False, 0)
        assert turns()[half.key].due_at <= now()


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_was_said_is_deleted_after_two_hours(ask: Ask) -> None:
    ask("5m")
    say_all("like", "order_shipped")
    said = count(Notification)
    assert synthetic.prune() == 0
    with time_machine.travel(now() + synthetic.KEPT + timedelta(minutes=5)):
        assert synthetic.prune() == said
    tables = (Notification, Submission, Delivery, InboxItem)
    assert [count(table) for table in tables] == [0, 0, 0, 0]
    state = db.session.execute(sa.select(InboxState.unread, InboxState.unseen)).one()
    assert tuple(state) == (0, 0)


def test_switched_off_nothing_is_left_behind(ask: Ask) -> None:
    ask("5m")
    say_all("like", "order_shipped")
    ask(None)
    watch = synthetic.Watch()
    for _ in range(2):  # some at a time
        watch.work()
    of_them = [count(User, User.id == SYNTHETIC), count(Address, Address.user_id == SYNTHETIC)]
    assert [*of_them, *(count(table) for table in (SyntheticTurn, Notification, Submission, InboxState))] == [0] * 6


@pytest.fixture
def coded(app: APIFlask) -> Iterator[str]:
    """A type whose schema no sample fits."""
    code = {"type": "string", "pattern": "^[0-9]{6}$"}
    schema = {"type": "object", "properties": {"code": code}, "required": ["code"]}
    row = {"titles": {"en": "Coded"}, "category": "system", "priority": "high", "channels": ["email"]}
    with transaction() as session:
        session.add(EventType(key="coded", schema=schema, **row))
    yield "coded"
    with transaction() as session:
        session.execute(sa.delete(EventType).where(EventType.key == "coded"))


def test_a_type_whose_sample_its_schema_refuses_is_no_failure(ask: Ask, coded: str) -> None:
    ask("5m")
    say_all(coded)
    assert (states(coded), turns()[coded].bad, count(Notification)) == ({"email": "off"}, 0, 0)
