"""What is no object is no empty object: every route that takes a body,
with everything that Python takes for nothing.
"""

import json
import re
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.ground import tokens
from notifier.ground.extensions import db
from notifier.models import ConsentEvent
from notifier.people import preferences as choosing
from tests.conftest import subject_of

NOTHING = ["null", "[]", '""', "0", "false", "0.0", " null "]
ALICE = "/api/v1/users/alice/preferences"


def routes_with_a_body(client: FlaskClient) -> list[tuple[str, str]]:
    """(method, path) as the API describes them, with somebody's or something's name in it."""
    document = client.get("/api/openapi.json").json
    found = [
        (method.upper(), re.sub(r"\{\w+\}", "alice", path))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict) and "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(found) > 20
    return found


@pytest.mark.parametrize("body", NOTHING)
def test_every_route_refuses_a_body_that_is_no_object(
    client: FlaskClient, producer_key: str, cast: Any, count_rows: Any, body: str
) -> None:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)
    before = count_rows()
    answers = {}
    for method, path in routes_with_a_body(client):
        key = token if path.startswith("/api/v1/inbox") else producer_key
        answer = client.open(
            path,
            method=method,
            data=body,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        answers[method, path] = (
            answer.status_code,
            answer.json and answer.json.get("code"),
            [fault["pointer"] for fault in answer.json.get("errors", [])],
        )
    assert {route: answer for route, answer in answers.items() if answer != (422, "validation_failed", [""])} == {}
    assert count_rows() == before


def test_no_body_at_all_is_fine_where_it_may_be_missing(api: Any, cast: Any) -> None:
    assert api.post("/api/v1/users/alice/token").status_code == 200
    assert (
        api.client.post(
            "/api/v1/users/alice/token", data="null", headers={"Authorization": f"Bearer {api.key}"}
        ).status_code
        == 422
    )


def test_null_takes_back_no_choice(api: Any, cast: Any) -> None:
    before = api.get(ALICE).json
    for method in ("put", "patch"):
        assert (
            api.client.open(
                ALICE, method=method, data="null", headers={"Authorization": f"Bearer {api.key}"}
            ).status_code
            == 422
        )
    assert api.get(ALICE).json == before


@pytest.mark.parametrize("body", [{}, {"effective": {}}])
def test_replacing_all_choices_by_none_asks_for_a_reset(api: Any, cast: Any, body: dict[str, Any]) -> None:
    before = api.get(ALICE).json
    refused = api.put(ALICE, body)
    assert (refused.status_code, refused.json["errors"]) == (
        422,
        [
            {
                "pointer": "",
                "code": "reset_needed",
                "message": "this would take back every choice of the person: DELETE does that",
            }
        ],
    )
    assert api.get(ALICE).json == before


def test_a_reset_takes_back_every_choice_and_its_history_stays(api: Any, cast: Any) -> None:
    choosing.change(
        "alice", {"held": "drop", "quiet_hours": {"start": "22:00", "end": "07:00"}}, replace=False, source="page"
    )
    assert api.delete(ALICE).status_code == 204
    db.session.rollback()
    now = api.get(ALICE).json
    assert (now["channels"], now["held"], now["quiet_hours"]) == ({}, "wait", None)
    assert "api" in {event.source for event in db.session.query(ConsentEvent).filter_by(user_id="alice")}
    assert api.delete("/api/v1/users/nobody/preferences").status_code == 404


def test_an_empty_patch_changes_nothing(api: Any, cast: Any) -> None:
    before = api.get(ALICE).json
    assert api.patch(ALICE, {}).status_code == 200
    assert json.dumps(api.get(ALICE).json) == json.dumps(before)


def test_what_get_answers_can_be_put_back(api: Any, app: APIFlask, cast: Any) -> None:
    for user_id in ("alice", "dave"):
        path = f"/api/v1/users/{user_id}/preferences"
        assert api.put(path, api.get(path).json).status_code == 200
