"""What the database may tell the log."""

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy.exc import DBAPIError

from notifier.extensions import db


def test_an_error_of_the_database_quotes_no_values(app: APIFlask) -> None:
    with pytest.raises(DBAPIError) as caught:
        db.session.execute(sa.text("SELECT nothing FROM nowhere WHERE email = :email"), {"email": "alice@example.test"})

    assert "nowhere" in str(caught.value)
    assert "alice@example.test" not in str(caught.value)
