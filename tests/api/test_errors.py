"""Every error of the API is a problem document, whatever went wrong; bugs are opaque to the caller."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys
from notifier.app import create_app
from notifier.ground.config import Settings
from notifier.ground.extensions import db


def test_an_unknown_path_is_a_problem(client: FlaskClient) -> None:
    response = client.get("/api/v1/nothing")

    assert (response.status_code, response.content_type, response.json["code"]) == (
        404,
        "application/problem+json",
        "not_found",
    )
    assert response.json["instance"] == "/api/v1/nothing"


def test_a_wrong_method_is_a_problem_and_says_which_are_right(client: FlaskClient) -> None:
    response = client.delete("/notify")

    assert (response.status_code, response.json["code"]) == (405, "method_not_allowed")
    assert {"POST", "OPTIONS"} == set(response.headers["Allow"].split(", "))


def test_errors_of_pages_are_not_for_programs(client: FlaskClient) -> None:
    assert client.get("/nothing").mimetype == "text/html"


REQUEST_IDS = {
    "a sane one": ("abc-123_x.y", True),
    "one with a space": ("a b", False),
    "a long one": ("x" * 65, False),
    "an empty one": ("", False),
}


@pytest.mark.parametrize("case", REQUEST_IDS)
def test_a_request_id_is_taken_if_sane_and_echoed(client: FlaskClient, case: str) -> None:
    given, is_taken = REQUEST_IDS[case]

    response = client.get("/api/v1/nothing", headers={"X-Request-Id": given})

    assert (response.headers["X-Request-Id"] == given) is is_taken
    assert response.headers["X-Request-Id"] == response.json["request_id"] != ""


@pytest.fixture
def broken(settings: Settings) -> Iterator[APIFlask]:
    """An app of its own, since its routes are tampered with."""
    app = create_app(settings)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    yield app
    with app.app_context():
        db.engine.dispose()


def test_a_bug_is_an_opaque_500_with_the_trace_in_the_log(
    broken: APIFlask, api: Any, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("a secret of ours")

    fail.access = broken.view_functions["api_types.list_types"].access  # type: ignore[attr-defined]
    broken.view_functions["api_types.list_types"] = fail

    response = broken.test_client().get("/api/v1/types", headers={"Authorization": f"Bearer {api.key}"})

    assert (response.status_code, response.json["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert "a secret of ours" in caplog.text + "".join(capsys.readouterr())


@pytest.mark.slow
def test_without_a_database_the_answer_is_503_and_when_to_try_again(broken: APIFlask, app: APIFlask) -> None:
    with broken.app_context():
        keys.forget_cached_keys()

        @sa.event.listens_for(db.engine, "do_connect")
        def refuse(*_: Any) -> None:
            raise db.engine.dialect.loaded_dbapi.OperationalError("the database is away")

        db.engine.dispose()
    client = broken.test_client()

    response = client.post("/api/v1/notifications", json={}, headers={"Authorization": "Bearer " + "k" * 40})

    assert (response.status_code, response.json["code"], response.headers["Retry-After"]) == (503, "unavailable", "5")
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
