"""`POST /api/v1/audiences/preview`: how many people, how many of them reachable, and some of them."""

from typing import Any

import pytest

from notifier.access.keys import create_key, create_producer
from notifier.channels import CHANNELS
from notifier.models import Upload
from notifier.people import audiences, upload_reading
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/audiences/preview"
CSV = {"Content-Type": "text/csv"}


@pytest.mark.usefixtures("cast")
def test_a_preview_counts_and_shows_some(api: Any) -> None:
    api.put("/api/v1/users/erin", {"attributes": {"plan": "pro"}, "email": "erin@example.test"})
    answer = api.post(PATH, {"audience": {"where": {"attributes.plan": "pro"}}})
    reachable = dict.fromkeys(CHANNELS, 0) | {"inapp": 1, "email": 1}
    assert (answer.status_code, answer.json) == (200, {"people": 1, "reachable": reachable, "sample": ["erin"]})
    everybody = api.post(PATH, {"audience": {"all": True}}).json
    assert (everybody["people"], sorted(everybody["sample"])) == (5, ["alice", "bob", "carol", "dave", "erin"])
    assert api.post(PATH, {"audience": {"users": ["dave", "bob"]}}).json["sample"] == ["bob", "dave"]


def test_a_preview_does_not_wait_for_others_without_end(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiences, "_LONGEST_WAIT_S", 0.01)
    with audiences._SURVEYING:
        answer = api.post(PATH, {"audience": {"all": True}})
    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "unavailable", "5")
    assert api.post(PATH, {"audience": {"all": True}}).status_code == 200


@pytest.mark.usefixtures("cast")
def test_ten_are_shown_at_most(api: Any) -> None:
    api.post("/api/v1/uploads", data="id\n" + "".join(f"u{n}\n" for n in range(11)), headers=CSV)
    _read_all()
    assert len(api.post(PATH, {"audience": {"all": True}}).json["sample"]) == 10


REFUSED: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "nothing": ({}, [("/audience", "missing")]),
    "an unknown key": ({"audience": {"everybody": True}}, [("/audience", "invalid_audience")]),
    "two at once": ({"audience": {"all": True, "users": ["a"]}}, [("/audience", "invalid_audience")]),
    "an empty list": ({"audience": {"users": []}}, [("/audience/users", "wrong_type")]),
    "an unknown person": ({"audience": {"users": ["alice", "nobody"]}}, [("/audience/users/1", "unknown_user")]),
    "an unknown upload": ({"audience": {"upload": "upl_1"}}, [("/audience/upload", "unknown_upload")]),
    "an unknown field": ({"audience": {"where": {"plan": "pro"}}}, [("/audience/where/plan", "unknown_field")]),
    "another field of the body": ({"audience": {"all": True}, "x": 1}, [("/x", "unknown_field")]),
}


@pytest.mark.parametrize(("body", "faults"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("cast")
def test_a_fault_is_named_by_its_place(api: Any, body: Any, faults: list[tuple[str, str]]) -> None:
    answer = api.post(PATH, body)
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]] == faults


def test_a_condition_fifty_deep_is_refused(api: Any) -> None:
    condition: dict[str, Any] = {"locale": "de"}
    for _ in range(50):
        condition = {"not": condition}
    answer = api.post(PATH, {"audience": {"where": condition}})
    assert (answer.status_code, [fault["code"] for fault in answer.json["errors"]]) == (422, ["nested_too_deeply"])


@pytest.mark.usefixtures("cast")
def test_test_keys_see_people_of_their_own(api: Any) -> None:
    producer = create_producer("Tester")
    tester = Api(api.client, create_key(producer.id, scopes=["broadcast", "users"], is_test=True)[1])
    tester.put("/api/v1/users/alice", {"name": "Test"})
    assert tester.post(PATH, {"audience": {"all": True}}).json["sample"] == ["alice"]
    answer = tester.post(PATH, {"audience": {"users": ["bob"]}})
    assert [fault["code"] for fault in answer.json["errors"]] == ["unknown_user"]


@pytest.mark.usefixtures("cast")
def test_an_upload_is_an_audience_of_its_producer(api: Any) -> None:
    other = Api(api.client, create_key(create_producer("Other").id, scopes=["broadcast"])[1])
    shown = other.post("/api/v1/uploads", data="id\nalice\nerin\n", headers=CSV).json["id"]
    body = {"audience": {"upload": shown}}
    assert [fault["code"] for fault in other.post(PATH, body).json["errors"]] == ["upload_running"]
    _read_all()
    assert other.post(PATH, body).json["sample"] == ["alice", "erin"]
    third = Api(api.client, create_key(create_producer("Third").id, scopes=["broadcast"])[1])
    assert [fault["code"] for fault in third.post(PATH, body).json["errors"]] == ["unknown_upload"]
    assert api.post(PATH, body).json["people"] == 2  # the scope admin sees everybody's


def _read_all() -> None:
    for upload in rows(Upload):
        while upload_reading.read(upload.id):
            pass
