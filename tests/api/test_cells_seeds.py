"""Two cells: the earlier calls, and schedules, for people of both."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.api import elsewhere
from notifier.cells import forwards
from notifier.ground.extensions import db
from notifier.models import Forward, Notification, Preference, Schedule, User
from tests import celled
from tests.celled import Cell, people
from tests.conftest import Api
from tests.stored import rows

us, us_app, later = celled.us, celled.us_app, celled.later

# Calls with a key that concern the called cell alone: lists, its settings, its measures, what is shown before
ALONE = {
    "api_cells": {"add_rows", "take_brand"},  # are among the calls that are passed on
    "api_alerts": {"take_alerts"},
    "api_audiences": {"preview_audience"},
    "api_broadcasts": {"list_broadcasts", "list_recipients"},
    "api_events": {"list_events"},
    "api_images": {"upload_image"},  # its address leads there from everywhere
    "api_notifications": {"list_notifications"},
    "api_producers": {"get_producer", "change_producer"},
    "api_reencryption": {"get_reencryption", "begin_reencryption"},
    "api_sandbox": {"list_captures"},
    "api_schedules": {"list_schedules"},
    "api_templates": {"list_templates", "get_template", "preview_template"},
    "api_types": {"list_types", "get_type"},
    "api_uploads": {"upload", "get_upload"},  # its rows are passed on as they are read
}
# Their submissions are shared out once they are canonical
CANONICAL = {"api_seeds": {"send", "trigger", "notify", "notify_bulk"}}
SHIPPED = {"template": "order_shipped", "data": {"orderId": "A1"}}
SEND = {"template_id": "order_shipped", "notification_type": "transactional", "variables": {"order_id": "A1"}}
SCHEDULES = "/api/v1/schedules"


def recurring(*recipients: Any) -> dict[str, Any]:
    said = {"type": "order_shipped", "recipients": list(recipients), "data": {"order_id": "A1"}}
    return {"cron": "0 8 1 * *", "notification": said}


def test_of_every_call_it_is_said_which_cells_it_concerns(app: APIFlask) -> None:
    asks_others = {*elsewhere._HANDLERS, *elsewhere._FOR_ALL}
    left: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        if access and access.kind == "producer" and "user_id" not in rule.arguments:
            door, _, name = rule.endpoint.partition(".")
            if rule.endpoint not in asks_others and door != "api_subscriptions":
                left.setdefault(door, set()).add(name)
    assert left == ALONE | CANONICAL


@pytest.mark.slow
def test_the_earlier_calls_reach_people_wherever_they_live(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    answer = api.post("/notify", {**SHIPPED, "userId": "ann"})
    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert api.get(f"/notify/status/{answer.json['id']}") == 200
    trigger = {"eventType": "ORDER_SHIPPED", "userId": "ann", "metadata": {"orderId": "A2"}, "eventId": "e1"}
    first = api.post("/notifications/trigger", trigger)
    again = api.post("/notifications/trigger", trigger)
    assert (first.json["id"], again.headers["Idempotency-Replayed"]) == (again.json["id"], "true")
    sent = api.post("/notifications/send", {**SEND, "user_ids": ["bob", "ann"]})
    assert (sent.status_code, sent.json["count"]) == (202, 2)
    bulk = api.post("/notify/bulk", {"notifications": [{**SHIPPED, "userId": user} for user in ("ann", "bob")]})
    assert [result["id"][:4] for result in bulk.json["results"]] == ["fwd_", "sub_"]
    assert forwards.say_held() == 1
    assert (len(us.heard()), [row.user_id for row in rows(Notification)]) == (4, ["bob", "bob"])
    assert [row.id for row in rows(User)] == ["bob"]


def test_a_dry_run_of_an_earlier_call_asks_their_cell(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    answer = api.post("/notifications/send?dry_run=true", {**SEND, "user_ids": ["bob", "ann"]})
    assert [entry["user"] for entry in answer.json["notifications"]] == ["bob", "ann"]
    refused = api.post("/notify?dry_run=true", {**SHIPPED, "template": "nonsense", "userId": "ann"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/template")
    assert (us.heard(), rows(Notification), rows(Forward)) == ([], [], [])


def test_an_earlier_call_is_refused_in_its_own_words_and_held_while_their_cell_is_away(us: Cell, api: Api) -> None:
    people(api, ann="us")
    refused = api.post("/notify", {**SHIPPED, "template": "nonsense", "userId": "ann"})
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/template")
    us.goes()
    held = api.post("/notify", {**SHIPPED, "userId": "ann"})
    assert (held.status_code, held.json) == (202, {"id": None, "status": "queued"})
    assert len(rows(Forward)) == 1


def test_choices_are_made_and_read_where_they_live(us: Cell, api: Api) -> None:
    people(api, ann="us")
    choice = {"userId": "ann", "eventType": "ORDER_SHIPPED", "channel": "EMAIL", "enabled": False}
    assert api.post("/notifications/preferences", choice) == 200
    assert api.get("/user/preferences/ann") == 200
    with us.app.app_context():
        assert db.session.scalars(sa.select(Preference.user_id)).all() == ["ann"]
    assert rows(Preference) == []


def test_a_schedule_for_people_of_both_is_run_by_each_for_its_own(us: Cell, api: Api) -> None:
    people(api, bob="eu")
    ann = {"id": "ann", "email": "ann@example.test", "home_region": "us"}
    key = {"Idempotency-Key": "k1"}
    rehearsed = api.post(f"{SCHEDULES}?dry_run=true", recurring("bob", ann))
    assert [entry["user"] for entry in rehearsed.json["notifications"]] == ["bob", "ann"]
    made = api.post(SCHEDULES, recurring("bob", ann), headers=key)
    assert (made.status_code, [one["id"] for one in made.json["notification"]["recipients"]]) == (201, ["bob", "ann"])
    assert [(one["region"], one["status"]) for one in made.json["regions"]] == [("eu", "accepted"), ("us", "accepted")]
    again = api.post(SCHEDULES, recurring("bob", ann), headers=key)
    assert again.json["id"] == made.json["id"]
    [here] = rows(Schedule)
    assert us.has(Schedule) == [here.id]
    assert [one["id"] for one in here.body["recipients"]] == ["bob"]  # of her, nothing is kept here
    path = f"{SCHEDULES}/{made.json['id']}"
    assert api.patch(path, {"paused": True}).json["next_at"] is None
    with us.app.app_context():
        assert db.session.scalars(sa.select(Schedule.next_at)).all() == [None]
    assert api.delete(path) == 204
    assert (us.has(Schedule), rows(Schedule), rows(Forward)) == ([], [], [])


def test_a_schedule_for_people_of_one_other_cell_is_there_alone(us: Cell, api: Api) -> None:
    people(api, ann="us")
    made = api.post(SCHEDULES, recurring("ann"))
    assert (made.status_code, rows(Schedule), len(us.has(Schedule))) == (201, [], 1)
    path = f"{SCHEDULES}/{made.json['id']}"
    assert api.get(path).json["notification"]["recipients"] == [{"id": "ann"}]
    assert api.patch(path, {"paused": True}) == 200
    assert api.delete(path) == 204
    assert (us.has(Schedule), api.get(path).status_code) == ([], 404)
    assert api.post(SCHEDULES, {**recurring("ann"), "cron": "nonsense"}).json["errors"][0]["pointer"] == "/cron"
    us.goes()
    assert api.post(SCHEDULES, recurring("ann")) == 503


def test_what_an_away_cell_is_told_of_a_schedule_that_it_does_not_have_is_no_refusal(
    us: Cell, api: Api, later: Callable[[float], Any]
) -> None:
    people(api, bob="eu")
    made = api.post(SCHEDULES, recurring("bob"))
    assert made.json.get("regions") is None
    us.goes()
    assert api.delete(f"{SCHEDULES}/{made.json['id']}") == 204
    us.comes()
    with later(60):
        assert forwards.say_held() == 1
    assert rows(Forward) == []
