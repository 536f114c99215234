"""What the database may tell the log, and what a transaction takes back."""

from collections.abc import Collection
from contextlib import suppress
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy.exc import DBAPIError

from notifier.ground.database import once_committed, transaction, undone_by
from notifier.ground.extensions import db


def test_an_error_of_the_database_quotes_no_values(app: APIFlask) -> None:
    with pytest.raises(DBAPIError) as caught:
        db.session.execute(sa.text("SELECT nothing FROM nowhere WHERE email = :email"), {"email": "alice@example.test"})

    assert "nowhere" in str(caught.value)
    assert "alice@example.test" not in str(caught.value)


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_was_done_elsewhere_is_taken_back_with_the_transaction_and_only_then(
    app: APIFlask, ends_well: bool
) -> None:
    done: list[str] = []
    with suppress(RuntimeError), transaction():
        undone_by(lambda: done.append(f"undone, in a transaction: {db.session().in_transaction()}"))
        if not ends_well:
            raise RuntimeError

    assert done == ([] if ends_well else ["undone, in a transaction: False"])


def test_the_next_transaction_takes_back_nothing_of_the_last(app: APIFlask) -> None:
    done: list[str] = []
    with transaction():
        undone_by(lambda: done.append("undone"))
    with suppress(RuntimeError), transaction():
        raise RuntimeError

    assert done == []


@pytest.mark.parametrize("ends_well", [True, False])
def test_what_follows_a_commit_is_done_once_for_all_that_was_given_and_only_then(
    app: APIFlask, ends_well: bool
) -> None:
    done: list[tuple[set[UUID], bool]] = []

    def follow(ids: Collection[UUID]) -> None:
        done.append((set(ids), db.session().in_transaction()))

    first, second = UUID(int=1), UUID(int=2)
    with suppress(RuntimeError), transaction():
        for ids in ([first], [first, second], []):
            once_committed(follow, ids)
        assert done == []
        if not ends_well:
            raise RuntimeError

    assert done == ([({first, second}, False)] if ends_well else [])
