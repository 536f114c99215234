"""Why something reached a person, or did not: in their language, by their clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.core.submission import InlineRecipient, Submission
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.models import Delivery
from notifier.people import profiles
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.queries import why

SUMMER = datetime(2026, 7, 1, 16, 30, tzinfo=UTC).replace(year=now().year + 1)


@pytest.fixture
def submit(app: APIFlask) -> Callable[..., str]:
    """→ the notification's id."""
    caller = Caller(keys.create_producer("Shop").id, is_test=False, may_be_urgent=True, types=None, request_id="req-1")

    def _submit(user_id: str, *, is_test: bool = False, **fields: Any) -> str:
        body = Submission(
            type="order_shipped", recipients=(InlineRecipient(user_id),), data={"order_id": "A1"}, **fields
        )
        [answer] = accept([Item(Caller(caller.producer_id, is_test, True, None, "req-1"), body)])
        assert isinstance(answer, Accepted)
        return str(answer.answer["notifications"][0]["id"])

    return _submit


def told(user_id: str) -> list[dict[str | None, str]]:
    return [{part.channel: " ".join(part.sentences) for part in story.parts} for story in why.recent(user_id)]


def test_each_channel_has_its_reasons(cast: dict[str, str], submit: Callable[..., str]) -> None:
    submit("carol")
    assert told("carol") == [
        {
            "inapp": "This channel was switched off.",
            "email": "This channel was switched off.",
            "push": "There is no active address for this channel.",
            "sms": "This channel is off unless it is switched on.",
        }
    ]


def test_what_went_out_says_what_became_of_it(cast: dict[str, str], submit: Callable[..., str]) -> None:
    submit("alice", channels=("inapp", "email"))
    assert told("alice") == [
        {
            "inapp": "It was delivered. This channel was switched on.",
            "email": "It is about to be sent. This channel was switched on. It goes out at once.",
        }
    ]


def test_times_are_those_of_the_reader_in_words_of_their_language(
    cast: dict[str, str], submit: Callable[..., str]
) -> None:
    submit("bob", channels=("email",), send_at=now() + timedelta(days=1))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(due_at=SUMMER, detail={}))
    [story] = why.recent("bob")
    assert (story.language, story.title) == ("de", "Bestellung versandt")
    assert f"01.07.{SUMMER.year}, 18:30" in story.parts[0].sentences[0]


def test_an_opt_out_after_the_plan_is_told_as_well(cast: dict[str, str], submit: Callable[..., str]) -> None:
    submit("alice", channels=("email",))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(status="skipped", reason="opted_out", detail={"because": "type"}))
    assert told("alice")[0]["email"].startswith("This kind of message was switched off.")


def test_the_newest_comes_first_and_there_is_an_end(cast: dict[str, str], submit: Callable[..., str]) -> None:
    ids = [submit("alice", channels=("inapp",)) for _ in range(3)]
    assert [story.id for story in why.recent("alice", limit=2)] == [ids[2], ids[1]]


def test_rehearsals_and_what_others_got_are_not_told(cast: dict[str, str], submit: Callable[..., str]) -> None:
    submit("alice", is_test=True)
    submit("bob")
    assert why.recent("alice") == []


def test_who_is_erased_is_told_nothing(cast: dict[str, str], submit: Callable[..., str]) -> None:
    submit("dave")
    profiles.erase("dave")
    assert why.recent("dave") == []


def test_a_time_zone_that_is_not_known_any_more_reads_as_utc_and_stops_nobody(
    cast: dict[str, str], submit: Callable[..., str]
) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("erin", {"email": "erin@example.test", "time_zone": "Mars/Olympus"})])
    submit("erin", channels=("email",), send_at=now() + timedelta(days=1))
    with transaction() as session:
        session.execute(sa.update(Delivery).values(due_at=SUMMER, detail={}))
    [story] = why.recent("erin")
    assert f"Jul 1, {SUMMER.year}, 4:30\u202fPM" in story.parts[0].sentences[0]
