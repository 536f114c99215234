"""Recurring schedules over the API: made, shown, paused, deleted, and refused with the field named."""

import threading
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.access import keys
from notifier.ground import engines
from notifier.ground.ids import parse, show
from notifier.models import Schedule
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/schedules"
ORDER = {
    "type": "order_shipped",
    "recipients": ["alice", {"id": "erin", "email": "erin@x.test"}],
    "data": {"order_id": "A1"},
    "expires_in": 60,
}
BODY = {"cron": "30 8 * * MON", "time_zone": "Europe/Berlin", "notification": ORDER}


def test_a_schedule_is_made_shown_paused_and_deleted(api: Api, cast: Any) -> None:
    made = api.post(PATH, BODY)
    assert made.status_code == 201
    shown = made.json
    assert {name: shown[name] for name in ("cron", "time_zone", "last_submission", "last_fault")} == {
        "cron": "30 8 * * MON",
        "time_zone": "Europe/Berlin",
        "last_submission": None,
        "last_fault": None,
    }
    assert shown["notification"] == {**ORDER, "recipients": [{"id": "alice"}, {"id": "erin", "email": "erin@x.test"}]}
    one = f"{PATH}/{shown['id']}"
    assert api.get(one).json == shown
    assert api.get(PATH).json == {"data": [shown], "next": None}
    assert api.patch(one, {"paused": True}).json["next_at"] is None
    assert api.patch(one, {"paused": False}).json["next_at"] == shown["next_at"]
    assert (api.delete(one).status_code, api.get(one).status_code, rows(Schedule)) == (204, 404, [])


def test_what_is_shown_can_be_sent_again(api: Api, cast: Any) -> None:
    first = api.post(PATH, BODY).json
    again = api.post(PATH, {name: first[name] for name in ("cron", "time_zone", "notification")})
    assert (again.status_code, again.json["notification"]) == (201, first["notification"])


def test_lists_are_in_pages(api: Api, cast: Any) -> None:
    ids = [api.post(PATH, BODY).json["id"] for _ in range(3)][::-1]
    first = api.get(f"{PATH}?limit=2").json
    second = api.get(f"{PATH}?limit=2&after={first['next']}").json
    assert ([one["id"] for one in first["data"] + second["data"]], second["next"]) == (ids, None)


BAD = {
    "a day that no year has": ({"cron": "0 0 31 2 *"}, {("/cron", "never_fires")}),
    "six fields": ({"cron": "* * * * * *"}, {("/cron", "invalid_cron")}),
    "a nickname": ({"cron": "@daily"}, {("/cron", "invalid_cron")}),
    "a number": ({"cron": 5}, {("/cron", "wrong_type")}),
    "endless": ({"cron": "* " * 100}, {("/cron", "too_long")}),
    "an unknown zone": ({"time_zone": "Mars/Olympus"}, {("/time_zone", "unknown_time_zone")}),
    "no zone": ({"time_zone": None}, {("/time_zone", "wrong_type")}),
    "an unknown field": ({"every": "day"}, {("/every", "unknown_field")}),
    "no notification": ({"notification": None}, {("/notification", "wrong_type")}),
    "an unknown type": ({"notification": {**ORDER, "type": "nothing"}}, {("/notification/type", "unknown_type")}),
    "data missing": ({"notification": {**ORDER, "data": {}}}, {("/notification/data/order_id", "missing")}),
    "an unknown person": (
        {"notification": {**ORDER, "recipients": ["nobody"]}},
        {("/notification/recipients/0", "unknown_user")},
    ),
    "nobody": ({"notification": {**ORDER, "recipients": []}}, {("/notification/recipients", "too_short")}),
    "a time of its own": (
        {"notification": {**ORDER, "send_at": "2030-01-01T00:00:00Z"}},
        {("/notification/send_at", "not_repeatable")},
    ),
    "a key of its own": (
        {"notification": {**ORDER, "idempotency_key": "k"}},
        {("/notification/idempotency_key", "not_repeatable")},
    ),
    "two faults": (
        {"cron": "0 0 31 2 *", "notification": {**ORDER, "data": {}}},
        {("/cron", "never_fires"), ("/notification/data/order_id", "missing")},
    ),
}


@pytest.mark.parametrize(("change", "faults"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_the_field_named(
    api: Api, cast: Any, change: dict[str, Any], faults: set[tuple[str, str]]
) -> None:
    refused = api.post(PATH, BODY | change)
    assert (refused.status_code, {(fault["pointer"], fault["code"]) for fault in refused.json["errors"]}) == (
        422,
        faults,
    )
    assert rows(Schedule) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"paused": "yes"}, {"paused": None}, {"cron": "* * * * *"}],
    ids=["nothing", "text", "null", "another field"],
)
def test_a_change_says_whether_it_is_paused(api: Api, cast: Any, body: dict[str, Any]) -> None:
    one = f"{PATH}/{api.post(PATH, BODY).json['id']}"
    assert api.patch(one, body).status_code == 422


def test_a_producer_sees_its_own_schedules_only_and_a_test_key_those_of_test_keys(api: Api, cast: Any) -> None:
    live = api.post(PATH, BODY).json["id"]
    producer_id = rows(Schedule)[0].producer_id
    tester = Api(api.client, keys.create_key(producer_id, scopes=["notify"], is_test=True)[1])
    stranger = Api(api.client, keys.create_key(keys.create_producer("Other").id, scopes=["notify"])[1])
    somebody = {"id": "tess", "email": "tess@example.test"}
    tested = tester.post(PATH, {**BODY, "notification": {**BODY["notification"], "recipients": [somebody]}}).json["id"]
    assert [[one["id"] for one in key.get(PATH).json["data"]] for key in (api, tester, stranger)] == [
        [tested, live],
        [tested],
        [],
    ]
    for key in (tester, stranger):
        answers = [
            key.get(f"{PATH}/{live}"),
            key.patch(f"{PATH}/{live}", {"paused": True}),
            key.delete(f"{PATH}/{live}"),
        ]
        assert [answer.status_code for answer in answers] == [404] * 3


@pytest.mark.parametrize("shown_id", ["sch_0", "ntf_" + "0" * 32, "sch_" + "0" * 32, "%00"])
def test_an_id_of_nothing_is_not_found(api: Api, shown_id: str) -> None:
    assert api.get(f"{PATH}/{shown_id}").status_code == 404


# ---- idempotency


KEY = {"Idempotency-Key": '"k-1"'}


def test_the_same_key_and_body_make_one_schedule(api: Api, cast: Any) -> None:
    first = api.post(PATH, BODY, headers=KEY)
    assert api.patch(f"{PATH}/{first.json['id']}", {"paused": True}).status_code == 200

    again = api.post(PATH, dict(reversed(BODY.items())), headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, again.status_code, len(rows(Schedule))) == (201, 201, 1)
    assert again.json == first.json | {"next_at": None}  # as it is by now
    assert (first.headers.get("Idempotency-Replayed"), again.headers.get("Idempotency-Replayed")) == (None, "true")
    assert api.post(PATH, BODY, headers={"Idempotency-Key": "k-2"}).json["id"] != first.json["id"]


def test_the_same_key_with_another_body_is_refused(api: Api, cast: Any) -> None:
    first = api.post(PATH, BODY, headers=KEY)

    refused = [
        api.post(PATH, BODY | {"cron": "0 9 * * *"}, headers=KEY),
        api.post("/api/v1/notifications", ORDER, headers=KEY),
    ]

    assert [(one.status_code, one.json["code"]) for one in refused] == [(422, "idempotency_mismatch")] * 2
    assert [row.id for row in rows(Schedule)] == [parse("sch", first.json["id"])]


def test_a_call_that_was_refused_leaves_its_key_free(api: Api, cast: Any) -> None:
    assert api.post(PATH, BODY | {"cron": "no"}, headers=KEY).status_code == 422
    assert api.post(f"{PATH}?dry_run=true", BODY | {"cron": "0 9 * * *"}, headers=KEY).status_code == 200
    assert api.post(PATH, BODY, headers=KEY).status_code == 201


def test_a_repeat_makes_no_schedule_anew_that_was_deleted(api: Api, cast: Any) -> None:
    api.delete(f"{PATH}/{api.post(PATH, BODY, headers=KEY).json['id']}")

    assert (api.post(PATH, BODY, headers=KEY).status_code, rows(Schedule)) == (404, [])


def test_many_calls_at_once_with_one_key_make_one_schedule(
    app: APIFlask, api: Api, cast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_LOCK_WAIT_S", 30.0)
    answers, start = list[Any](), threading.Barrier(6)

    def call() -> None:
        start.wait()
        with app.app_context():
            headers = {"Authorization": f"Bearer {api.key}", **KEY}
            answers.append(app.test_client().post(PATH, json=BODY, headers=headers))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json["id"] for answer in answers if answer.status_code == 201} == {
        show("sch", row.id) for row in rows(Schedule)
    }
    assert len(rows(Schedule)) == 1
