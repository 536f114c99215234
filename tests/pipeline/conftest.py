"""Short ways to submit, and to see what the database holds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier import accounts
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient, Submission
from notifier.extensions import db, redis_store
from notifier.models import Delivery
from notifier.pipeline.accept import accept
from notifier.pipeline.judge import Accepted, Caller, Item


def submission(*recipients: str | InlineRecipient, type: str = "order_shipped", **fields: Any) -> Submission:
    people = tuple(r if isinstance(r, InlineRecipient) else InlineRecipient(r) for r in recipients)
    return Submission(type=type, recipients=people, data=fields.pop("data", {"order_id": "A1"}), **fields)


@pytest.fixture
def caller(app: APIFlask) -> Caller:
    producer = accounts.create_producer("Shop")
    return Caller(producer.id, is_test=False, may_be_urgent=True, types=None, request_id="req-1")


@pytest.fixture
def submit(caller: Caller) -> Callable[..., Any]:
    """`submit("alice", type="like", data={…})` → the answer. Raises what it was rejected with."""

    def _submit(*recipients: Any, caller: Caller = caller, **fields: Any) -> dict[str, Any]:
        [result] = accept([Item(caller, submission(*recipients, **fields))])
        if isinstance(result, Rejected):
            raise result
        assert isinstance(result, Accepted)
        return result.answer

    return _submit


def deliveries(**columns: Any) -> list[Delivery]:
    """The deliveries stored, read anew, in the order of their making."""
    return rows(Delivery, **columns)


def rows(model: Any, **columns: Any) -> list[Any]:
    """All rows of a table as they are now, oldest first."""
    db.session.close()  # a transaction left open would show an older state
    found = list(db.session.scalars(sa.select(model).filter_by(**columns).order_by(*sa.inspect(model).primary_key)))
    db.session.close()
    return found


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collects the SQL statements sent inside."""
    sent: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)


def row_counts() -> dict[str, int]:
    counts = {table.name: db.session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in db.metadata.sorted_tables}
    db.session.rollback()
    return counts


def traces() -> list[bytes]:
    """Whatever Redis holds, but for what it keeps of people only to be quick."""
    return sorted(key for key in redis_store.client.scan_iter() if not key.startswith(b"notifier:person"))
