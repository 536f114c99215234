"""What the API's tests share: counting everything that is stored."""

from collections.abc import Callable

import pytest
from apiflask import APIFlask

from notifier.ground.extensions import db
from tests.stored import row_counts

Counts = dict[str, int]


@pytest.fixture
def count_rows(app: APIFlask) -> Callable[[], Counts]:
    """→ a function that counts the rows of every table."""

    def count() -> Counts:
        db.session.rollback()
        return row_counts()

    return count
