"""What a person may ask about their inbox."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.inbox import items, marks
from notifier.inbox.marks import Chosen
from notifier.models import Delivery, InboxItem, Notification, Submission
from notifier.queries import inbox as questions
from tests.stored import start_anew

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def listed(user_id: str, **wanted: Any) -> list[str]:
    return [item["title"] for item in questions.page(user_id, **wanted)["data"]]


@pytest.fixture
def full(app: APIFlask, arrive: Any) -> dict[str, UUID]:
    """Alice's inbox, one item of each kind."""
    names = ("fresh", "seen", "read", "archived", "snoozed", "offer")
    keys = {
        name: arrive("alice", title=name, created_at=NOON + timedelta(minutes=minute))[0]
        for minute, name in enumerate(names[:-1])
    }
    keys["offer"] = arrive("alice", title="offer", category="marketing", created_at=NOON + timedelta(hours=1))[0]
    arrive("bob", title="bob's")
    marks.seen("alice", Chosen((keys["seen"],)))
    marks.read("alice", Chosen((keys["read"],)))
    marks.archive("alice", Chosen((keys["archived"],)))
    marks.snooze("alice", Chosen((keys["snoozed"],)), now() + timedelta(days=1))
    return keys


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        ({}, ["offer", "read", "seen", "fresh"]),
        ({"filter": "unread"}, ["offer", "seen", "fresh"]),
        ({"filter": "archived"}, ["archived"]),
        ({"filter": "snoozed"}, ["snoozed"]),
        ({"filter": "snoozed", "q": "fresh"}, []),
        ({"q": "snoozed"}, ["snoozed"]),
        ({"q": "archived"}, []),
        ({"filter": "unread", "q": "snoozed"}, []),
        ({"category": "marketing"}, ["offer"]),
        ({"category": "transactional", "filter": "unread"}, ["seen", "fresh"]),
        ({"category": "social"}, []),
        ({"q": "RES"}, ["fresh"]),
        ({"limit": 2}, ["offer", "read"]),
    ],
)
def test_the_list_shows_what_was_asked_for_newest_first(
    full: dict[str, UUID], wanted: dict[str, Any], titles: list[str]
) -> None:
    assert listed("alice", **wanted) == titles


def test_every_list_carries_the_counts_of_the_whole_inbox(full: dict[str, UUID]) -> None:
    for wanted in ({}, {"filter": "archived"}, {"category": "social"}, {"limit": 1}):
        page = questions.page("alice", **wanted)
        assert (page["unread"], page["unseen"], page["seq"]) == (3, 2, 10)


def test_two_people_never_see_each_others_items(full: dict[str, UUID]) -> None:
    assert listed("bob") == ["bob's"]
    assert "bob's" not in listed("alice", limit=200)
    assert [item["title"] for item in questions.changes("bob", 0)["changed"]] == ["bob's"]


def test_the_inbox_of_somebody_unknown_is_empty(app: APIFlask) -> None:
    assert questions.page("nobody") == {"data": [], "next": None, "unread": 0, "unseen": 0, "seq": 0}
    assert questions.changes("nobody", 0) == {"unread": 0, "unseen": 0, "seq": 0, "changed": []}


# --- search


@pytest.mark.parametrize(
    ("q", "titles"),
    [
        ("100%", ["100% off"]),
        ("%", ["100% off"]),
        ("_", ["snake_case"]),
        ("e_c", ["snake_case"]),
        ("\\", ["back\\slash"]),
        ("/", ["and/or"]),
        ("o'clock", ["At 5 o'clock"]),
        ('"', ['the "best"']),
        ("OFF", ["100% off"]),
        ("BODY words", ["in the body"]),
        ("%' OR 1=1 --", []),
        ("zzz", []),
    ],
)
def test_a_search_finds_those_very_words_in_title_or_body(
    app: APIFlask, arrive: Any, q: str, titles: list[str]
) -> None:
    for title in ("100% off", "snake_case", "back\\slash", "and/or", "At 5 o'clock", 'the "best"'):
        arrive("alice", title=title)
    arrive("alice", title="in the body", body="Some Body Words.")
    arrive("bob", title="100% off snake_case BODY words o'clock")
    assert listed("alice", q=q) == titles


def test_sqlite_knows_the_case_of_letters_beyond_ascii(app: APIFlask, arrive: Any) -> None:
    if db.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL goes by the locale of its database")
    arrive("alice", title="BESTÄTIGUNG")
    assert listed("alice", q="bestätigung") == ["BESTÄTIGUNG"]


# --- pages


def _walk(user_id: str, limit: int, **wanted: Any) -> list[str]:
    titles: list[str] = []
    after = None
    while True:
        page = questions.page(user_id, limit=limit, after=after, **wanted)
        assert len(page["data"]) <= limit
        titles += [item["title"] for item in page["data"]]
        after = page["next"]
        if after is None:
            return titles
        assert len(page["data"]) == limit
        assert after.replace("-", "").replace("_", "").isalnum()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(moments=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
def test_pages_show_every_item_once_whatever_their_times(
    app: APIFlask, arrive: Any, moments: list[int], limit: int
) -> None:
    user_id = new_id().hex
    for number, moment in enumerate(moments):
        arrive(user_id, title=f"{number}", created_at=NOON + timedelta(microseconds=moment))
    expected = sorted(range(len(moments)), key=lambda number: (moments[number], number), reverse=True)
    assert _walk(user_id, limit) == [str(number) for number in expected]


def test_what_arrives_while_paging_neither_repeats_nor_hides_anything(app: APIFlask, arrive: Any) -> None:
    for number in range(4):
        arrive("alice", title=f"{number}")
    first = questions.page("alice", limit=2)
    arrive("alice", title="new")
    second = questions.page("alice", limit=2, after=first["next"])
    assert [item["title"] for item in first["data"] + second["data"]] == ["3", "2", "1", "0"]
    assert second["next"] is None


@pytest.mark.parametrize("after", ["x", "A" * 31, "A" * 36, "7" * 32, "0" * 200])
def test_what_is_no_cursor_is_refused(app: APIFlask, after: str) -> None:
    with pytest.raises(Rejected) as refusal:
        questions.page("alice", after=after)
    assert [(fault.pointer, fault.code) for fault in refusal.value.faults] == [("/after", "invalid_cursor")]


# --- changes


def test_changes_are_the_items_new_or_marked_since_in_their_order(app: APIFlask, arrive: Any) -> None:
    keys = arrive("alice", "alice", "alice")
    marks.read("alice", Chosen((keys[0],)))
    changes = questions.changes("alice", 2)
    assert [item["id"] for item in changes["changed"]] == [show("dlv", keys[2]), show("dlv", keys[0])]
    assert {name: changes[name] for name in ("unread", "unseen", "seq")} == {"unread": 2, "unseen": 2, "seq": 4}
    assert questions.changes("alice", 4) == {"unread": 2, "unseen": 2, "seq": 4, "changed": []}


@pytest.mark.parametrize("since", [5, 10**30])
def test_a_number_that_was_never_given_out_means_reading_again(app: APIFlask, arrive: Any, since: int) -> None:
    arrive("alice", "alice", "alice", "alice")
    assert questions.changes("alice", since) == {"reset": True}


def test_a_client_that_missed_too_much_reads_again(app: APIFlask, arrive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "MAX_BEHIND", 3)
    arrive("alice", "alice", "alice", "alice")
    assert questions.changes("alice", 0) == {"reset": True}
    assert len(questions.changes("alice", 1)["changed"]) == 3


# --- indexes


INDEXES: list[tuple[dict[str, Any], str]] = [
    ({}, "ix_inbox_item_user_id"),
    ({"after": "page 2"}, "ix_inbox_item_user_id"),
    ({"category": "social"}, "ix_inbox_item_user_id"),
    ({"filter": "unread"}, "ix_inbox_item_unread"),
    ({"filter": "unread", "category": "social"}, "ix_inbox_item_unread"),
    ({"filter": "archived"}, "ix_inbox_item_archived"),
    ({"filter": "archived", "category": "social"}, "ix_inbox_item_archived"),
    ({"filter": "snoozed"}, "ix_inbox_item_snoozed"),
    ({"since": 0}, "ix_inbox_item_seq"),
]


@pytest.mark.slow
def test_questions_are_answered_from_an_index(crowded: str, subtests: pytest.Subtests) -> None:
    for wanted, index in INDEXES:
        with subtests.test(wanted=wanted):
            if "after" in wanted:
                wanted = {"after": questions.page(crowded, limit=1)["next"]}
            if "since" in wanted:
                [*_, plan] = plans(lambda: questions.changes(crowded, questions.counts(crowded)["seq"] - 10))
            else:
                [*_, plan] = plans(lambda wanted=wanted: questions.page(crowded, **wanted))
            # SQLite keeps no statistics by itself, and may prefer the other index to a partial one.
            assert index in plan or (db.engine.dialect.name == "sqlite" and "ix_inbox_item_user_id" in plan)
            assert "sort" not in plan.lower()
            assert "B-TREE" not in plan  # SQLite's word for the same


@pytest.mark.slow
def test_a_mark_by_ids_looks_up_those_and_not_all_that_the_person_has(crowded: str) -> None:
    ids = tuple(
        db.session.scalars(
            sa.select(InboxItem.id).where(InboxItem.user_id == crowded, InboxItem.read_at.is_(None)).limit(20)
        )
    )
    first, second, *_ = plans(lambda: marks.read(crowded, Chosen(ids)))  # what is counted, and what is changed
    for plan in (first, second):
        assert "sqlite_autoindex_inbox_item_1 (id=?)" in plan or "pk_inbox_item" in plan
        assert "ix_inbox_item_user_id" not in plan
        assert "ix_inbox_item_seq" not in plan


def plans(work: Callable[[], Any]) -> list[str]:
    """How the database goes about each statement about items."""
    asked: list[tuple[str, Any]] = []
    listener = lambda _c, _cursor, statement, parameters, *_rest: asked.append((statement, parameters))  # noqa: E731
    sa.event.listen(db.engine, "before_cursor_execute", listener)
    work()
    sa.event.remove(db.engine, "before_cursor_execute", listener)
    explain = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    connection = db.session.connection()
    about_items = [(statement, parameters) for statement, parameters in asked if "inbox_item" in statement]
    return [
        "\n".join(" ".join(map(str, row)) for row in connection.exec_driver_sql(explain + sql, given))
        for sql, given in about_items
    ]


@pytest.fixture
def crowded(app: APIFlask, arrive: Any) -> str:
    """The id of a person with some 3,000 items, few of them unread, among others."""
    start_anew()
    arrive("alice", "bob")
    rows = []
    with transaction() as session:
        for user_id in ("alice", "bob"):
            submission = Submission(type="like", recipients=1, expanded=1)
            session.add(submission)
            session.flush()
            notification = Notification(
                submission_id=submission.id, user_id=user_id, type="like", category="social", priority="low"
            )
            session.add(notification)
            session.flush()
            kind = {"type": "like", "category": "social", "title": "Carol likes it", "body": ""}
            rows += [
                {"id": new_id(), "notification_id": notification.id, "user_id": user_id, **kind} for _ in range(3000)
            ]
        deliveries = [
            {
                "id": row["id"],
                "notification_id": row["notification_id"],
                "channel": "inapp",
                "priority": "low",
                "status": "delivered",
            }
            for row in rows
        ]
        session.execute(sa.insert(Delivery), deliveries)
        items.add(rows)
        read = [row["id"] for number, row in enumerate(rows) if number % 3000 >= 100]
        session.execute(sa.update(InboxItem).where(InboxItem.id.in_(read)).values(read_at=NOON))
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE inbox_item")
    return "alice"
