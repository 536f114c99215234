"""Many rows at once are stored as SQLAlchemy would store each, on both databases."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy.exc import DataError, IntegrityError

from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ground.many_rows import insert_rows
from notifier.models import Delivery, IdempotencyKey, InboxItem, Notification, Producer, Submission
from notifier.models.types import EncryptedJSON
from notifier.people import profiles
from tests.stored import sent_statements

AT = now()
ELSEWHERE = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
DATA: dict[str, Any] = {
    "name": 'Jürgen \\ "x" \t\n%s :a 😀',
    "large": 2**64 - 1,
    "small": -(2**64) + 1,
    "x": [1.5, None],
}
PRODUCER, SUBMISSION, FIRST, SECOND = new_id(), new_id(), new_id(), new_id()

_A_SUBMISSION = {"type": "order_shipped", "status": "expanded", "recipients": 2, "expanded": 2, "body": DATA}
_A_NOTIFICATION = {
    "submission_id": SUBMISSION,
    "type": "order_shipped",
    "category": "transactional",
    "priority": "low",
    "routing": "all",
    "is_test": False,
}
_A_DELIVERY = {"channel": "email", "priority": "low", "status": "queued", "detail": {}}
TABLES: list[tuple[sa.Table, list[dict[str, Any]]]] = [
    (Submission.__table__, [{"id": SUBMISSION, "created_at": AT, "wake_at": ELSEWHERE, **_A_SUBMISSION}]),
    (
        Notification.__table__,
        [
            {
                **_A_NOTIFICATION,
                "id": FIRST,
                "user_id": "alice",
                "data": DATA,
                "given": {"name": "A"},
                "push": {"sound": None},
                "decision": [["x", 1]],
                "sequence": 2**53,
                "expires_at": AT,
                "is_perishable": True,
                "created_at": AT,
            },
            {
                **_A_NOTIFICATION,
                "id": SECOND,
                "user_id": "%(rows)s",
                "data": {},
                "given": None,
                "push": None,
                "decision": None,
                "sequence": None,
                "expires_at": ELSEWHERE,
                "is_perishable": False,
                "created_at": AT,
            },
        ],
    ),
    (
        Delivery.__table__,
        [
            {"id": FIRST, "notification_id": FIRST, "reason": "it's \\N", "due_at": ELSEWHERE, "created_at": AT}
            | _A_DELIVERY,
            {"id": SECOND, "notification_id": SECOND, "reason": None, "due_at": None, "created_at": AT}
            | _A_DELIVERY
            | {"detail": DATA},
        ],
    ),
    (
        InboxItem.__table__,
        [
            {"id": FIRST, "notification_id": FIRST, "user_id": "alice", "seq": 1, "type": "t", "category": "c"}
            | {"title": "\u2028 'é'", "body": "", "data": DATA, "created_at": AT, "seen_at": ELSEWHERE},
        ],
    ),
    (
        IdempotencyKey.__table__,
        [
            {"producer_id": PRODUCER, "key": "kafka:x/0/1", "is_test": False, "submission_id": SUBMISSION}
            | {"body_digest": bytes(range(224, 256)), "answer": DATA, "created_at": ELSEWHERE},
            {"producer_id": PRODUCER, "key": "bulk:\\x00", "is_test": True, "submission_id": None}
            | {"body_digest": bytes(32), "answer": {}, "created_at": AT},
        ],
    ),
]


def test_rows_are_stored_as_sqlalchemy_stores_them(app: APIFlask) -> None:
    with transaction() as session:
        profiles.upsert([InlineRecipient("alice", {})])
        session.execute(sa.insert(Producer).values(id=PRODUCER, name="Shop"))
        for table, rows in TABLES:
            insert_rows(table, rows)
        ours = [_stored(table) for table, _ in TABLES]
        for table, _ in reversed(TABLES):
            session.execute(sa.delete(table))
        for table, rows in TABLES:
            session.execute(sa.insert(table), rows)

        assert ours == [_stored(table) for table, _ in TABLES]
        assert [len(found) for _, found in ours] == [len(rows) for _, rows in TABLES]


def _stored(table: sa.Table) -> tuple[list[Any], list[Any]]:
    """As the database has them, but for ciphertext; and as they are read."""
    clear = [sa.type_coerce(c, sa.types.NullType()) for c in table.columns if not isinstance(c.type, EncryptedJSON)]
    return (
        list(map(tuple, db.session.execute(sa.select(*clear).order_by(*table.primary_key)))),
        list(map(tuple, db.session.execute(sa.select(table).order_by(*table.primary_key)))),
    )


def test_what_many_rows_say_is_encrypted_once_and_what_only_looks_alike_by_itself(app: APIFlask) -> None:
    said = [DATA, DATA, dict(DATA), None]
    rows = [
        {**_A_NOTIFICATION, "id": new_id(), "user_id": name, "data": data, "created_at": AT}
        for name, data in zip("abcd", said, strict=True)
    ]
    with transaction() as session:
        session.execute(sa.insert(Submission).values(id=SUBMISSION, created_at=AT, **_A_SUBMISSION))
        insert_rows(Notification.__table__, rows)

    stored = sa.type_coerce(Notification.data, sa.LargeBinary)
    first, second, third, none = db.session.scalars(sa.select(stored).order_by(Notification.user_id)).all()
    assert (first == second, first == third, none) == (True, False, None)
    assert db.session.scalars(sa.select(Notification.data).order_by(Notification.user_id)).all() == said


def test_rows_of_one_batch_are_one_statement(app: APIFlask) -> None:
    rows = [{"id": new_id(), "created_at": AT, **_A_SUBMISSION} for _ in range(3000)]
    with sent_statements() as sent, transaction():
        insert_rows(Submission.__table__, rows)

    assert len([statement for statement in sent if statement.startswith("INSERT")]) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Submission)) == 3000


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"created_at": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001 (that is the point)
        ({"type": None}, IntegrityError),
        ({"id": SUBMISSION}, IntegrityError),
    ],
    ids=["a naive time", "nothing where something must be", "a key that is taken"],
)
def test_what_may_not_be_stored_is_refused(app: APIFlask, wrong: dict[str, Any], error: Any) -> None:
    row = {"id": SUBMISSION, "created_at": AT, **_A_SUBMISSION}
    with transaction():
        insert_rows(Submission.__table__, [row])

    with pytest.raises(error), transaction():
        insert_rows(Submission.__table__, [{**row, "id": new_id(), **wrong}])


def test_no_rows_are_no_statement(app: APIFlask) -> None:
    with sent_statements() as sent, transaction():
        insert_rows(Submission.__table__, [])

    assert not any(statement.startswith("INSERT") for statement in sent)


@pytest.mark.parametrize(("wrong", "error"), [("x" * 65, DataError), ("\0", ValueError)], ids=["too long", "NUL"])
def test_postgresql_refuses_what_it_refuses_otherwise_and_quotes_nothing(
    app: APIFlask, wrong: str, error: type[Exception]
) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite stores any text")
    row = {"id": SUBMISSION, "created_at": AT, "request_id": "secret", **_A_SUBMISSION, "type": f"alice{wrong}"}
    with pytest.raises(error) as caught, transaction():
        insert_rows(Submission.__table__, [row])
    assert not any(word in str(caught.value) for word in ("secret", "alice", str(AT.year)))


def test_a_text_about_nul_is_stored(app: APIFlask) -> None:
    row = {"id": SUBMISSION, "created_at": AT, **_A_SUBMISSION, "type": r"\u0000"}
    with transaction():
        insert_rows(Submission.__table__, [row])
    assert db.session.scalar(sa.select(Submission.type)) == r"\u0000"
