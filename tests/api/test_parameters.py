"""Query parameters: no call of the API ignores one that it does not know,
and a rehearsal leaves no trace at any door.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground import tokens
from notifier.ground.extensions import db, redis_store
from tests.conftest import Ear, subject_of

ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
NOTIFY = {"userId": "alice", "type": "EMAIL", "template": "ORDER_SHIPPED", "data": {"orderId": "A1"}}

# Every call that submits, with a body that it takes. `test_every_call_that_submits_is_here` finds those
# that are missing.
SUBMITTING: dict[str, dict[str, Any]] = {
    "/api/v1/notifications": ORDER | {"idempotency_key": "k"},
    "/api/v1/notifications/bulk": {
        "notifications": [ORDER, ORDER | {"recipients": [{"id": "erin", "email": "e@x.test"}]}]
    },
    "/api/v1/schedules": {"cron": "0 9 * * *", "notification": ORDER},
    "/notify": NOTIFY,
    "/notify/bulk": {"notifications": [NOTIFY, NOTIFY | {"userId": "bob"}]},
    "/notifications/trigger": {
        "eventType": "ORDER_SHIPPED",
        "userId": "alice",
        "metadata": {"orderId": "A1"},
        "eventId": "e",
    },
    "/notifications/send": {
        "user_ids": ["alice", "bob"],
        "notification_type": "transactional",
        "template_id": "order_shipped",
        "variables": {"orderId": "A1"},
    },
}


def calls(app: APIFlask) -> Iterator[tuple[str, str, str]]:
    """(method, path, whose) of every call of the API by a person or a producer."""
    for rule in app.url_map.iter_rules():
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        if access is not None and access.kind in ("person", "producer"):
            path = rule.rule
            for argument in rule.arguments:
                path = path.replace(f"<{argument}>", "alice")
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, path, access.kind


def everything(app: APIFlask, ear: Ear) -> dict[str, Any]:
    """What is stored, queued and said to browsers, but for what is counted of a key's own use."""
    with db.engine.connect() as connection:
        tables = {
            table.name: sorted(map(repr, connection.execute(sa.select(table.columns)).all()))
            for table in db.metadata.sorted_tables
            if table.name != "api_key"
        }
    keys = sorted(
        (key, redis_store.client.dump(key))
        for key in redis_store.client.scan_iter()
        if not key.startswith((b"notifier:person", b"LIMITS:", b"notifier:limit"))
    )
    return {"rows": tables, "redis": keys, "sockets": ear.heard()}


@pytest.fixture
def open_call(api: Any, cast: Any) -> Any:
    token, _ = tokens.sign_user_token(subject_of("alice"), 60)

    def call(method: str, path: str, whose: str, body: Any = None) -> Any:
        key = token if whose == "person" else api.key
        return api.client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {key}"})

    return call


def test_every_call_refuses_a_parameter_that_it_does_not_know(app: APIFlask, open_call: Any, ear: Ear) -> None:
    open_call("GET", "/api/v1/types", "producer")  # from here on the use of the key is noted
    before, wrong = everything(app, ear), []
    for method, path, whose in calls(app):
        response = open_call(method, f"{path}?no_such=1", whose, SUBMITTING.get(path, {}))
        faults = response.json and [(fault["pointer"], fault["code"]) for fault in response.json.get("errors", ())]
        if response.status_code != 422 or faults != [("/no_such", "unknown_field")]:
            wrong.append((method, path, response.status_code, faults))

    assert wrong == []
    assert everything(app, ear) == before


def test_a_rehearsal_leaves_no_trace_at_any_door(app: APIFlask, open_call: Any, ear: Ear) -> None:
    """Those that submit take it; whatever else changes something refuses to be rehearsed."""
    open_call("GET", "/api/v1/types", "producer")
    before, taken = everything(app, ear), []
    for method, path, whose in calls(app):
        response = open_call(method, f"{path}?dry_run=true", whose, SUBMITTING.get(path, {}))
        if response.status_code != 422:
            taken.append((path, response.status_code))
        else:
            assert [fault["pointer"] for fault in response.json["errors"]] == ["/dry_run"], path

    assert sorted(taken) == sorted((path, 200) for path in SUBMITTING)
    assert everything(app, ear) == before


def test_every_call_that_submits_is_here(app: APIFlask) -> None:
    """Whoever makes another one sees to it that it can be rehearsed."""
    views = {
        rule.rule: app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        if "POST" in (rule.methods or ())
    }
    notifying = {path for path, view in views.items() if hasattr(view, "access") and "notify" in view.access.scopes}

    assert {path for path in notifying if "<" not in path} == set(SUBMITTING)


@pytest.mark.parametrize("path", SUBMITTING)
def test_without_a_rehearsal_the_same_bodies_are_taken(open_call: Any, path: str) -> None:
    assert open_call("POST", f"{path}?dry_run=false", "producer", SUBMITTING[path]).status_code in (201, 202)


MISTAKEN = {
    "dry_run=true&dry_run=false": "/dry_run",
    "dry_run=yes": "/dry_run",
    "dry_run=": "/dry_run",
    "dryRun=true": "/dryRun",
    "dry_run=true&verbose": "/verbose",
    "dry%72un=true&a~/b=1": "/dryrun",
}


@pytest.mark.parametrize("path", SUBMITTING)
def test_what_only_looks_like_a_rehearsal_is_refused_and_sends_nothing(
    app: APIFlask, open_call: Any, ear: Ear, path: str, subtests: pytest.Subtests
) -> None:
    open_call("GET", "/api/v1/types", "producer")
    before = everything(app, ear)
    for query, pointer in MISTAKEN.items():
        with subtests.test(query=query):
            response = open_call("POST", f"{path}?{query}", "producer", SUBMITTING[path])

            expected, before = before, everything(app, ear)
            assert (response.status_code, response.json["errors"][0]["pointer"]) == (422, pointer)
            assert before == expected


# ---- what a rehearsal answers ----------------------------------------------------------------------------------------

RESULTS = {path: "results" if path.endswith("bulk") else "notifications" for path in SUBMITTING}


@pytest.mark.parametrize("path", SUBMITTING)
def test_every_door_answers_a_rehearsal_as_the_canonical_one_does(open_call: Any, path: str) -> None:
    body = open_call("POST", f"{path}?dry_run=true", "producer", SUBMITTING[path]).json

    told = (
        [each for result in body["results"] for each in result["notifications"]]
        if RESULTS[path] == "results"
        else body["notifications"]
    )
    assert told[0]["user"] == "alice"
    assert all(one.keys() == {"user", "deliveries", "rendered", "trace"} for one in told)
    assert "A1" in told[0]["rendered"]["email"]["subject"]
    assert body.keys() - {RESULTS[path]} == ({"next_at"} if path.endswith("schedules") else set())


# door → a body that is refused, and the pointer of the fault in that door's own words
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "/api/v1/notifications": (ORDER | {"recipients": ["nobody"]}, "/recipients/0"),
    "/api/v1/notifications/bulk": (
        {"notifications": [ORDER, ORDER | {"recipients": ["nobody"]}]},
        "/notifications/1/recipients/0",
    ),
    "/api/v1/schedules": (
        {"cron": "0 9 * * *", "notification": ORDER | {"recipients": ["nobody"]}},
        "/notification/recipients/0",
    ),
    "/notify": (NOTIFY | {"userId": "nobody"}, "/userId"),
    "/notify/bulk": ({"notifications": [NOTIFY, NOTIFY | {"userId": "nobody"}]}, "/notifications/1/userId"),
    "/notifications/trigger": (SUBMITTING["/notifications/trigger"] | {"userId": "nobody"}, "/userId"),
    "/notifications/send": (SUBMITTING["/notifications/send"] | {"user_ids": ["alice", "nobody"]}, "/user_ids/1"),
}


@pytest.mark.parametrize("path", SUBMITTING)
def test_a_rehearsal_is_refused_as_the_real_thing_is_in_the_words_of_its_door(open_call: Any, path: str) -> None:
    body, pointer = REFUSED[path]

    rehearsed = open_call("POST", f"{path}?dry_run=true", "producer", body).json
    real = open_call("POST", path, "producer", body).json

    problems = [answer["results"][1]["error"] if "results" in answer else answer for answer in (rehearsed, real)]
    assert [[(fault["pointer"], fault["code"]) for fault in problem["errors"]] for problem in problems] == [
        [(pointer, "unknown_user")]
    ] * 2


def test_a_bulk_call_of_which_nothing_can_be_taken_can_be_rehearsed(open_call: Any) -> None:
    [result] = open_call("POST", "/notify/bulk?dry_run=true", "producer", {"notifications": [5]}).json["results"]

    assert (result["index"], result["error"]["status"]) == (0, 422)


CROWD = [{"id": f"u{n}", "name": "U"} for n in range(101)]
TOO_MANY: dict[str, tuple[dict[str, Any], str]] = {
    "/api/v1/notifications": (ORDER | {"recipients": CROWD}, "/recipients"),
    "/api/v1/notifications/bulk": ({"notifications": [ORDER | {"recipients": CROWD[:51]}] * 2}, "/notifications"),
    "/api/v1/schedules": (
        {"cron": "0 9 * * *", "notification": ORDER | {"recipients": CROWD}},
        "/notification/recipients",
    ),
    "/notify/bulk": ({"notifications": [NOTIFY] * 101}, "/notifications"),
    "/notifications/send": (SUBMITTING["/notifications/send"] | {"user_ids": list(range(101))}, "/user_ids"),
}


@pytest.mark.parametrize("path", TOO_MANY)
def test_a_rehearsal_is_for_a_hundred_people_at_most(open_call: Any, count_rows: Any, path: str) -> None:
    body, pointer = TOO_MANY[path]
    before = count_rows()

    response = open_call("POST", f"{path}?dry_run=true", "producer", body)

    assert (response.status_code, [(fault["pointer"], fault["code"]) for fault in response.json["errors"]]) == (
        422,
        [(pointer, "too_long")],
    )
    assert count_rows() == before


def test_a_schedule_rehearses_its_first_run_at_the_time_of_it(open_call: Any) -> None:
    """Bob is quiet from 22:00 to 07:00 in Berlin: what comes at 23:00 waits for the morning."""
    order = ORDER | {"recipients": ["bob"], "type": "like", "data": {"actor": "Eve"}, "channels": ["email"]}
    body = {"cron": "0 23 * * *", "time_zone": "Europe/Berlin", "notification": order}

    answer = open_call("POST", "/api/v1/schedules?dry_run=true", "producer", body).json

    [delivery] = answer["notifications"][0]["deliveries"]
    assert (delivery["status"], delivery["reason"]) == ("waiting", "quiet_hours")
    first, due = (datetime.fromisoformat(at) for at in (answer["next_at"], delivery["due_at"]))
    assert due - first in [timedelta(hours=hours) for hours in (7, 8, 9)]  # a clock change may lie between
