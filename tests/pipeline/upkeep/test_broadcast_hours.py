"""What happens to broadcasts, hour by hour: each event of the stream counted once, and people who unsubscribe too."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.channels.receipts import Event as Told
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import events, moves
from notifier.models import BroadcastHour, BroadcastVariant, Delivery, Event
from notifier.people import profiles
from notifier.pipeline.delivery import receipts
from notifier.pipeline.intake import broadcasts, expand
from notifier.pipeline.intake.broadcasts import Draft
from notifier.pipeline.intake.item import Caller
from notifier.pipeline.upkeep import broadcast_hours
from notifier.queries.broadcasts import happened
from tests.experimenting import KEY, begin, dealt, waves  # noqa: F401 (a fixture)

NINE = datetime(2026, 12, 1, 9, 20, tzinfo=UTC)


@pytest.fixture
def broadcast(app: APIFlask, caller: Caller) -> UUID:
    """To four people, whose mails wait to be sent; the stream has been counted up to then."""
    with transaction():
        profiles.upsert([InlineRecipient(f"u{n}", {"email": f"u{n}@x.test"}) for n in range(4)])
    said = Submission("newsletter", (), {"title": "T", "body": "B"}, channels=("email",), dedupe=False)
    key = broadcasts.create(caller, Draft("News", said, {"all": True})).broadcast_id
    expand.expand(key)
    db.session.close()
    return key


def count_all() -> None:
    db.session.close()
    while broadcast_hours.count():
        pass


def counted() -> dict[tuple[str, datetime], int]:
    db.session.close()
    rows = db.session.execute(sa.select(BroadcastHour.event, BroadcastHour.at, BroadcastHour.count.label("number")))
    return {(row.event, row.at): row.number for row in rows}


def move(number: int, *statuses: str) -> list[UUID]:
    with transaction() as session:
        ids = list(session.scalars(sa.select(Delivery.id).order_by(Delivery.id).limit(number)))
        for status in statuses:
            moves.move(ids, status)
    return ids


def test_each_event_is_counted_once_in_its_hour(broadcast: UUID) -> None:
    count_all()
    with time_machine.travel(NINE, tick=False):
        move(4, "sending", "sent", "delivered")
    count_all()
    with time_machine.travel(NINE + timedelta(hours=2), tick=False):
        opened = move(2, "opened")
        with transaction():
            events.tell("delivery.complained", opened[:1])
    for _ in range(2):
        count_all()
    nine, eleven = NINE.replace(minute=0), NINE.replace(hour=11, minute=0)
    assert counted() == {
        ("sent", nine): 4,
        ("delivered", nine): 4,
        ("opened", eleven): 2,
        ("complained", eleven): 1,
    }
    shown = happened(broadcast)
    assert (shown.sums["email", "delivered"], shown.sums["email", "complained"]) == (4, 1)
    assert shown.series is not None
    assert (shown.series["step"], shown.series["delivered"], shown.series["opened"]) == (3600, [4, 0, 0], [0, 0, 2])


def test_after_three_days_it_is_drawn_by_the_day(broadcast: UUID) -> None:
    count_all()
    for days in (0, 3, 500):
        with transaction() as session:
            at = NINE.replace(minute=0) + timedelta(days=days)
            row = {"broadcast_id": broadcast, "channel": "email", "event": "opened", "at": at, "count": 2}
            session.execute(sa.insert(BroadcastHour.__table__), [row])
    series = happened(broadcast).series
    assert series is not None
    assert (series["step"], series["at"][0], len(series["at"])) == (86_400, "2026-12-01T00:00:00+00:00", 400)
    assert (series["opened"][0], series["opened"][3], sum(series["opened"])) == (2, 2, 4)


def test_what_does_not_belong_to_a_broadcast_is_passed_over(app: APIFlask) -> None:
    count_all()
    with transaction() as session:
        session.execute(sa.insert(Event.__table__), [{"kind": "delivery.sent", "channel": "email", "is_test": False}])
    count_all()
    assert counted() == {}


@pytest.mark.parametrize(
    ("later", "channel", "number"),
    [(timedelta(days=6), "email", 1), (timedelta(days=8), "email", 0), (timedelta(days=1), "sms", 0)],
)
def test_who_unsubscribes_counts_for_the_last_broadcast_that_reached_them_there(
    broadcast: UUID, later: timedelta, channel: str, number: int
) -> None:
    count_all()
    move(4, "sending", "sent")
    with time_machine.travel(datetime.now(UTC) + later, tick=False), transaction():
        events.tell_unsubscribed(
            [("u1", "marketing", channel), ("u1", "social", "email"), (None, "marketing", "email")]
        )
    count_all()
    assert happened(broadcast).sums.get((channel, "unsubscribed"), 0) == number


@pytest.mark.parametrize(
    ("calls", "counts"),
    [
        ([("sent", "delivered")], {"sent": 1, "delivered": 1}),
        ([("sent",), ("delivered",)], {"sent": 1, "delivered": 1}),
        ([("delivered",)], {"sent": 1, "delivered": 1}),
        ([("delivered", "opened")], {"sent": 1, "delivered": 1, "opened": 1}),
        ([("opened",), ("clicked",)], {"sent": 1, "opened": 1, "clicked": 1}),
    ],
)
def test_what_a_provider_tells_of_an_unknown_one_counts_as_sent_once_for_its_variant(
    waves: str,  # noqa: F811
    caller: Caller,
    calls: list[tuple[str, ...]],
    counts: dict[str, int],
) -> None:
    """All in the same second, which is all that many providers tell of the time."""
    begin()
    [person] = dealt("b")
    with transaction():
        profiles.upsert([InlineRecipient(person, {"email": "p@x.test"})])
    said = Submission("like", (), {"actor": "Bo"}, channels=("email",), template=KEY, dedupe=False)
    expand.expand(broadcasts.create(caller, Draft("News", said, {"users": [person]})).broadcast_id)
    count_all()
    [delivery_id] = move(1, "sending")
    with transaction():
        moves.move([delivery_id], "unknown", provider="sandbox", tries=1)
    for kinds in calls:
        told = tuple(Told(f"{delivery_id} {kind}", kind, NINE, delivery_id=show("dlv", delivery_id)) for kind in kinds)  # type: ignore[arg-type]
        receipts.submit(receipts.Call("sandbox", "email", told, NINE))
        count_all()
    rows = db.session.execute(sa.select(BroadcastVariant.event, BroadcastVariant.count.label("number")))
    assert {row.event: row.number for row in rows} == counts
