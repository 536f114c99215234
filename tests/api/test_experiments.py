"""Experiments over the API: begun with a variant, read, stopped with what is kept."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from notifier.access import keys
from tests.conftest import Api
from tests.experimenting import KEY, waves  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("waves")
HOME = f"/api/v1/templates/{KEY}"
BODY: dict[str, Any] = {"name": "b", "weight": 40, "contents": [{"channel": "*", "title": "Bold {{ actor }}"}]}


def test_an_experiment_is_begun_read_and_stopped(api: Any) -> None:
    assert api.get(f"{HOME}/experiment").status_code == 404
    assert api.post(f"{HOME}/experiment/stop", {"keep": "b"}).status_code == 404
    made = api.post(f"{HOME}/variants", BODY)
    assert made.status_code == 201
    found = api.get(f"{HOME}/experiment")
    assert (found.status_code, found.json) == (200, made.json)
    assert {name: found.json[name] for name in ("template", "status", "goal", "p_value", "verdict", "kept")} == {
        "template": KEY,
        "status": "running",
        "goal": "opened",
        "p_value": None,
        "verdict": "too early",
        "kept": None,
    }
    assert found.json["variants"] == [
        {
            "name": name,
            "weight": weight,
            "version": version,
            "people": 0,
            "opened": 0,
            "clicked": 0,
            "rate": None,
            "interval": None,
        }
        for name, weight, version in (("control", 60, 1), ("b", 40, 2))
    ]
    assert "day" in found.json["note"]
    assert api.post(f"{HOME}@1/publish").status_code == api.post(f"{HOME}@2/publish").status_code == 409
    stopped = api.post(f"{HOME}/experiment/stop", {"keep": "b"})
    assert (stopped.status_code, stopped.json["status"], stopped.json["kept"]) == (200, "stopped", "b")
    again = api.post(f"{HOME}/experiment/stop", {"keep": "b"})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert api.get(HOME).json["version"] == 2


def test_one_with_several_variants_is_prepared_first(api: Any) -> None:
    assert api.post(f"{HOME}/variants", {**BODY, "start": False}).json["status"] == "draft"
    more = {"name": "c", "weight": 10, "contents": BODY["contents"], "start": False, "goal": "clicked"}
    assert api.post(f"{HOME}/variants", more).json["goal"] == "clicked"
    started = api.post(f"{HOME}/experiment/start").json
    assert (started["status"], [one["weight"] for one in started["variants"]]) == ("running", [50, 40, 10])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "control"}, "/name"),
        ({"weight": 100}, "/weight"),
        ({"weight": 0.5}, "/weight"),
        ({"contents": None}, "/contents"),
        ({"contents": [{"channel": "*", "title": "{% if %}"}]}, "/contents/0/title"),
        ({"contents": [*BODY["contents"], *BODY["contents"]]}, "/contents/1"),
        ({"version": 1}, "/contents"),
        ({"goal": "bought"}, "/goal"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_fault_is_named_by_its_pointer(api: Any, change: dict[str, Any], pointer: str) -> None:
    answer = api.post(f"{HOME}/variants", {**BODY, **change})
    assert (answer.status_code, [error["pointer"] for error in answer.json["errors"]]) == (422, [pointer])
    assert api.get(f"{HOME}/experiment").status_code == 404


def test_whose_words_a_key_may_try(api: Any, client: FlaskClient) -> None:
    """As with publishing: what reaches everybody needs the scope `admin`, and a test key changes nothing."""
    producer = keys.create_producer("Writer")
    _, writing = keys.create_key(producer.id, scopes=["templates"])
    _, reading = keys.create_key(producer.id, scopes=["read"])
    _, testing = keys.create_key(producer.id, scopes=["templates"], is_test=True)
    said = {key: Api(client, key, [("Accept", "application/json")]) for key in (writing, reading, testing)}
    of_codes = "/api/v1/templates/one_time_code/variants"
    assert said[writing].post(of_codes, BODY).status_code == 403
    assert said[reading].post(f"{HOME}/variants", BODY).status_code == 403
    assert said[testing].post(f"{HOME}/variants", BODY).status_code == 403
    assert said[writing].post(f"{HOME}/variants", BODY).status_code == 201
    assert said[reading].get(f"{HOME}/experiment").status_code == 200
    assert said[testing].post(f"{HOME}/experiment/stop", {"keep": "b"}).status_code == 403
    [variant] = [one["version"] for one in api.get(f"{HOME}/experiment").json["variants"] if one["name"] == "b"]
    for path in ("/experiment", f"@{variant}"):
        assert (api.get(HOME + path).status_code, said[testing].get(HOME + path).json["code"]) == (200, "test_key")
