"""What the API's tests share: counting everything that is stored, and people who come by cookie."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

from notifier.access import accounts, sessions
from notifier.ground.extensions import db
from tests.api.described import whole_operations
from tests.stored import row_counts

Counts = dict[str, int]


@pytest.fixture
def count_rows(app: APIFlask) -> Callable[[], Counts]:
    """→ a function that counts the rows of every table."""

    def count() -> Counts:
        db.session.rollback()
        return row_counts()

    return count


@pytest.fixture
def signed_in(app: APIFlask) -> Callable[[str], FlaskClient]:
    def sign_in(user_id: str) -> FlaskClient:
        account = accounts.create_account(f"{user_id}@example.test", "pw", "person", user_id)
        client = app.test_client()
        with client.session_transaction() as session:
            session.update(
                {
                    "_user_id": str(account.id),
                    "_fresh": True,
                    "csrf_token": "raw",
                    sessions.KEY: sessions.begin(account, "password"),
                }
            )
        return client

    return sign_in


@pytest.fixture
def csrf_token(app: APIFlask) -> str:
    return str(URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token").dumps("raw"))


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The OpenAPI document."""
    return dict(client.get("/api/openapi.json").json)


@pytest.fixture
def whole(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Its calls: (method, path) → operation."""
    return whole_operations(document)
