"""What the API's tests share: counting everything that is stored."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.extensions import db

Counts = dict[str, int]


@pytest.fixture
def count_rows(app: APIFlask) -> Callable[[], Counts]:
    """→ a function that counts the rows of every table."""

    def count() -> Counts:
        db.session.rollback()
        return {table.name: db.session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in db.metadata.sorted_tables}

    return count
