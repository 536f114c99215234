"""`/api/v1/broadcasts`: what can be asked for, by whom, and what is answered."""

from typing import Any

import pytest
from apiflask import APIFlask

from notifier.access.keys import create_key, create_producer, revoke_key
from notifier.core.lifecycle import STATUSES
from notifier.ground.ids import parse
from notifier.models import Broadcast, IdempotencyKey, Submission
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.upkeep import broadcasts as watching
from tests.conftest import Api
from tests.stored import deliveries, rows

PATH = "/api/v1/broadcasts"
NEWS: dict[str, Any] = {
    "name": "Spring",
    "type": "newsletter",
    "audience": {"all": True},
    "data": {"title": "T", "body": "B"},
}


def made(api: Any, **fields: Any) -> dict[str, Any]:
    answer = api.post(PATH, {**NEWS, **fields})
    assert answer.status_code == 202, answer.json
    return answer.json


def expanded(broadcast: dict[str, Any]) -> None:
    expand(parse("brd", broadcast["id"]))


def key_of(api: Any, *scopes: str, is_test: bool = False) -> Api:
    return Api(api.client, create_key(create_producer("Other").id, scopes=list(scopes), is_test=is_test)[1])


@pytest.mark.usefixtures("wakeful_cast")
def test_a_broadcast_is_answered_in_full_and_counts_as_it_goes(api: Any) -> None:
    broadcast = made(api, per_second=500, stop_at_failures=0.2)
    assert broadcast == {
        "id": broadcast["id"],
        "submission": broadcast["id"].replace("brd", "sub"),
        "name": "Spring",
        "type": "newsletter",
        "test": False,
        "status": "scheduled",
        "to": {"all": True},
        "audience": 4,
        "expanded": 0,
        "retries": 0,
        "counts": {"notifications": 0, "channels": {}, "skipped": {}},
        "variants": [],
        "per_second": 500,
        "stop_at_failures": 0.2,
        "send_at": None,
        "local_time": None,
        "created_at": broadcast["created_at"],
        "started_at": None,
        "finished_at": None,
        "paused_reason": None,
    }
    expanded(broadcast)
    deliver([row.id for row in deliveries() if row.status == "queued"])
    watching.watch()
    after = api.get(f"{PATH}/{broadcast['id']}").json
    email = dict.fromkeys(STATUSES, 0) | {"delivered": 2, "skipped": 2}
    skipped = {"no_address": 1, "opted_out": 1}
    assert after["counts"] == {"notifications": 4, "channels": {"email": email}, "skipped": skipped}
    assert (after["status"], after["expanded"], after["finished_at"] is not None) == ("finished", 4, True)


@pytest.mark.usefixtures("wakeful_cast")
def test_people_are_listed_by_status_and_page(api: Any) -> None:
    broadcast = made(api)
    expanded(broadcast)
    path = f"{PATH}/{broadcast['id']}/recipients"
    first = api.get(f"{path}?limit=3").json
    second = api.get(f"{path}?limit=3&after={first['next']}").json
    lines = first["data"] + second["data"]
    found = [(line["user"], line["channel"], line["status"], line["reason"], line["code"]) for line in lines]
    assert found == [
        ("alice", "email", "queued", None, None),
        ("bob", "email", "queued", None, None),
        ("carol", "email", "skipped", "opted_out", None),
        ("dave", "email", "skipped", "no_address", None),
    ]
    assert second["next"] is None
    skipped = api.get(f"{path}?status=skipped,failed&channel=email").json["data"]
    assert [line["user"] for line in skipped] == ["carol", "dave"]
    assert api.get(f"{path}?channel=sms").json == {"data": [], "next": None}
    notification = api.get(f"/api/v1/notifications/{lines[0]['notification']}").json
    assert (notification["user"], notification["submission"]) == ("alice", broadcast["submission"])


@pytest.mark.usefixtures("cast")
def test_broadcasts_are_listed_newest_first_and_by_status(api: Any) -> None:
    ids = [made(api, name=f"B{number}")["id"] for number in range(3)]
    api.post(f"{PATH}/{ids[0]}/cancel")
    first = api.get(f"{PATH}?limit=2").json
    assert [one["id"] for one in first["data"]] == [ids[2], ids[1]]
    assert [one["id"] for one in api.get(f"{PATH}?after={first['next']}").json["data"]] == [ids[0]]
    assert [one["id"] for one in api.get(f"{PATH}?status=cancelled,paused").json["data"]] == [ids[0]]


@pytest.mark.usefixtures("cast")
def test_pausing_resuming_and_cancelling_answer_what_it_is_now(api: Any) -> None:
    path = f"{PATH}/{made(api)['id']}"
    said = []
    for change in ("pause", "pause", "resume", "resume", "cancel", "cancel", "resume", "pause", "retry-failed"):
        answer = api.post(f"{path}/{change}")
        said.append((change, answer.status_code, answer.json.get("code") or answer.json["status"]))
    assert said == [
        ("pause", 200, "paused"),
        ("pause", 200, "paused"),
        ("resume", 200, "scheduled"),
        ("resume", 200, "scheduled"),
        ("cancel", 200, "cancelled"),
        ("cancel", 200, "cancelled"),
        ("resume", 409, "conflict"),
        ("pause", 409, "conflict"),
        ("retry-failed", 409, "conflict"),
    ]


@pytest.mark.usefixtures("cast")
def test_a_revoked_key_takes_its_broadcasts_along_until_another_resumes_them(api: Any) -> None:
    row, plain = create_key(create_producer("Other").id, scopes=["broadcast"])
    path = f"{PATH}/{made(Api(api.client, plain))['id']}"
    revoke_key(row.id)
    assert watching.watch() == 1
    assert api.get(path).json["paused_reason"] == "its key was revoked"
    assert api.post(f"{path}/resume").json["status"] == "scheduled"
    assert watching.watch() == 0


@pytest.mark.usefixtures("cast")
def test_another_producer_sees_and_changes_none_of_it_and_an_admin_does(api: Any) -> None:
    broadcast = made(api)
    other, admin = key_of(api, "broadcast"), key_of(api, "broadcast", "admin")
    tester = key_of(api, "broadcast", "admin", is_test=True)
    for stranger in (other, tester):
        path = f"{PATH}/{broadcast['id']}"
        calls = [stranger.get(path), stranger.get(f"{path}/recipients")]
        calls += [stranger.post(f"{path}/{change}") for change in ("pause", "resume", "cancel", "retry-failed")]
        assert {answer.status_code for answer in calls} == {404}
        assert stranger.get(PATH).json["data"] == []
    assert [one["id"] for one in admin.get(PATH).json["data"]] == [broadcast["id"]]
    assert admin.post(f"{PATH}/{broadcast['id']}/pause").json["status"] == "paused"


@pytest.mark.usefixtures("cast")
def test_a_repeated_key_gets_the_first_broadcast_and_another_body_none(api: Any) -> None:
    headers = {"Idempotency-Key": '"spring"'}
    first = api.post(PATH, NEWS, headers=headers)
    again = api.post(PATH, NEWS, headers=headers)
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    twin = api.post(PATH, {**NEWS, "idempotency_key": "spring"})
    assert (twin.status_code, twin.json["id"]) == (202, first.json["id"])
    other = api.post(PATH, {**NEWS, "name": "Autumn"}, headers=headers)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    assert len(rows(Broadcast)) == 1


@pytest.mark.usefixtures("cast")
def test_a_repeat_is_answered_although_its_people_are_gone(api: Any) -> None:
    headers, body = {"Idempotency-Key": "k"}, {**NEWS, "audience": {"users": ["dave"]}}
    first = api.post(PATH, body, headers=headers).json
    api.delete("/api/v1/users/dave")
    assert api.post(PATH, body, headers=headers).json["id"] == first["id"]


FIFTY_DEEP: dict[str, Any] = {"locale": "de"}
for _ in range(50):
    FIFTY_DEEP = {"not": FIFTY_DEEP}

BAD: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "no name": ({"name": ""}, [("/name", "too_short")]),
    "an empty audience": ({"audience": {"where": {"locale": "xx"}}}, [("/audience", "empty_audience")]),
    "an empty list": ({"audience": {"users": []}}, [("/audience/users", "wrong_type")]),
    "an unknown person": ({"audience": {"users": ["nobody"]}}, [("/audience/users/0", "unknown_user")]),
    "an unknown field": ({"audience": {"where": {"plan": "pro"}}}, [("/audience/where/plan", "unknown_field")]),
    "an unknown upload": ({"audience": {"upload": "upl_1"}}, [("/audience/upload", "unknown_upload")]),
    "an unknown type": ({"type": "nonsense"}, [("/type", "unknown_type")]),
    "a type that goes to admins": (
        {"type": "fraud_alert", "data": {"order_id": "A", "reason": "B"}},
        [("/type", "goes_to_admins")],
    ),
    "data of another type": ({"data": {"title": 1}}, [("/data/body", "missing"), ("/data/title", "type")]),
    "an unknown channel": ({"channels": ["telex"]}, [("/channels/0", "unknown_channel")]),
    "too pressing": ({"priority": "high"}, [("/priority", "priority_too_high")]),
    "an unknown template": ({"template": "nonsense@9"}, [("/template", "unknown_template")]),
    "a time that has passed": ({"send_at": "2020-01-01T00:00:00Z"}, [("/send_at", "in_the_past")]),
    "a local time that has passed everywhere": ({"local_time": "2020-01-01T09:00"}, [("/local_time", "in_the_past")]),
    "a local time with a zone": ({"local_time": "2027-01-01T09:00Z"}, [("/local_time", "invalid_time")]),
    "a local date": ({"local_time": "2027-01-01"}, [("/local_time", "invalid_time")]),
    "a local time at the end of the calendar": (
        {"local_time": "9999-12-31T23:59"},
        [("/local_time", "invalid_time")],
    ),
    "a share that is none": ({"stop_at_failures": True}, [("/stop_at_failures", "wrong_type")]),
    "no pace": ({"per_second": 0}, [("/per_second", "too_small")]),
    "a share of more than all": ({"stop_at_failures": 1.5}, [("/stop_at_failures", "too_large")]),
    "another field": ({"recipients": ["alice"]}, [("/recipients", "unknown_field")]),
    "another key than the header's": (
        {"idempotency_key": "k-2"},
        [("/idempotency_key", "idempotency_keys_differ")],
    ),
}


@pytest.mark.usefixtures("cast")
@pytest.mark.parametrize(("fields", "faults"), BAD.values(), ids=BAD)
def test_a_fault_is_named_by_its_place_and_nothing_is_stored(
    api: Any, fields: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    answer = api.post(PATH, {**NEWS, **fields}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json["errors"]] == faults
    assert [rows(Broadcast), rows(Submission), rows(IdempotencyKey)] == [[], [], []]


@pytest.mark.usefixtures("cast")
def test_a_condition_fifty_deep_is_refused(api: Any) -> None:
    assert api.post(PATH, {**NEWS, "audience": {"where": FIFTY_DEEP}}).status_code == 422


@pytest.mark.usefixtures("cast")
def test_send_at_and_local_time_exclude_each_other(api: Any) -> None:
    year = int(made(api)["created_at"][:4]) + 1
    answer = api.post(PATH, {**NEWS, "send_at": f"{year}-01-02T00:00:00Z", "local_time": f"{year}-01-02T09:00"})
    assert [fault["code"] for fault in answer.json["errors"]] == ["contradicts_send_at"]


QUERIES = {
    "list": "?status=nonsense",
    "list, cursor": "?after=brd_1",
    "recipients": "/{id}/recipients?status=nonsense",
    "recipients, cursor": "/{id}/recipients?after=queued_zz",
    "recipients, limit": "/{id}/recipients?limit=0",
}


@pytest.mark.usefixtures("cast")
@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
def test_a_list_refuses_what_it_does_not_know(api: Any, path: str) -> None:
    broadcast = made(api)
    assert api.get(PATH + path.format(id=broadcast["id"])).status_code == 422


def test_a_key_that_is_limited_to_some_types_may_broadcast_no_other(api: Any, cast: dict[str, str]) -> None:
    limited = create_key(create_producer("Limited").id, scopes=["broadcast"], types=["like"])[1]
    answer = Api(api.client, limited).post(PATH, NEWS)
    assert (answer.status_code, answer.json["code"]) == (403, "type_not_allowed")


@pytest.mark.usefixtures("cast")
def test_the_submission_of_a_broadcast_lists_nobody(app: APIFlask, api: Any) -> None:
    """There may be a million."""
    broadcast = made(api)
    expanded(broadcast)
    answer = api.get(f"/api/v1/submissions/{broadcast['submission']}").json
    assert (answer["notifications"], answer["recipients"], answer["expanded"]) == (None, 4, 4)
    status = api.get(f"/notify/status/{broadcast['submission']}")
    assert (status.status_code, status.json["deliveries"]) == (200, [])
