"""Two cells: people of both, calls to the wrong one, and one of them away."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient
from limits import parse as parse_limit

from notifier.access import keys
from notifier.cells import answering, forwards, homes
from notifier.cells import client as cells_client
from notifier.core.cells import HEADER, OnBehalf, is_sealed, seal, stamp
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import (
    ApiKey,
    Broadcast,
    EventType,
    Forward,
    Home,
    Neighbour,
    Notification,
    Producer,
    User,
)
from tests import celled
from tests.celled import KEY, Cell, people
from tests.conftest import Api
from tests.running import eventually
from tests.stored import rows

us, us_app, later = celled.us, celled.us_app, celled.later

URL = "/api/v1/notifications"
OFFER = {"title": "Warm hands"}
KILN = {"titles": {"en": "Kiln"}, "category": "social", "priority": "low", "channels": ["inapp"]}


def told(*recipients: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "order_shipped", "recipients": list(recipients), "data": {"order_id": "A1"}, **fields}


def test_people_live_in_their_region_and_are_reached_from_any(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    assert (us.has(User), [row.id for row in rows(User)]) == (["ann"], ["bob"])
    assert [(row.user_id, row.region) for row in rows(Home)] == [("ann", "us")]
    assert api.get("/api/v1/users/ann").json["email"] == "ann@example.test"
    assert api.patch("/api/v1/users/ann", {"name": "Ann"}).json["name"] == "Ann"
    assert api.get("/api/v1/users/ann/preferences") == 200
    token = api.post("/api/v1/users/ann/token", {})
    assert token.json["token"]
    assert token.headers["Notifier-Home"] == f"http://127.0.0.1:{us.port}"
    assert api.delete("/api/v1/users/ann") == 204
    assert (us.has(User), rows(Home)) == ([], [])
    assert api.get("/api/v1/users/ann") == 404


def test_a_submission_for_people_of_both_is_answered_as_one(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    answer = api.post(URL, told("ann", "bob"), headers={"Idempotency-Key": "k1"})
    assert answer == 202
    assert {entry["user"] for entry in answer.json["notifications"]} == {"ann", "bob"}
    assert [(one["region"], one["status"], one["recipients"]) for one in answer.json["regions"]] == [
        ("eu", "accepted", 1),
        ("us", "accepted", 1),
    ]
    assert (us.heard(), [row.user_id for row in rows(Notification)]) == ([("ann", "order_shipped")], ["bob"])
    assert rows(Forward) == []
    again = api.post(URL, told("ann", "bob"), headers={"Idempotency-Key": "k1"})
    assert (again.headers["Idempotency-Replayed"], again.json["notifications"]) == (
        "true",
        answer.json["notifications"],
    )
    assert (len(us.heard()), len(rows(Notification))) == (1, 1)
    [of_ann] = [entry["id"] for entry in answer.json["notifications"] if entry["user"] == "ann"]
    assert api.get(f"{URL}/{of_ann}").json["user"] == "ann"
    assert api.get(f"{URL}/ntf_{'0' * 32}") == 404


def test_whoever_is_known_to_the_other_cell_alone_is_found_there(us: Cell, api: Api) -> None:
    with us.app.app_context():
        db.session.add(User(id="eve"))
        db.session.commit()
    assert api.post(URL, told("eve")) == 202
    assert us.heard() == [("eve", "order_shipped")]
    calls = us.calls
    assert api.post(URL, told("eve", data={"order_id": "A2"})) == 202
    assert us.calls == calls + 1  # where she lives is known now
    assert api.post(URL, told({"id": "eve", "home_region": "eu"})) == 409
    unknown = api.post(URL, told("nobody"))
    assert (unknown.status_code, unknown.json["code"]) == (422, "unknown_user")


def test_bulk_items_go_where_their_people_live(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    items = [told("ann"), told("bob"), told("ann", "bob", data={"order_id": "A2"}), {**told("bob"), "type": "nonsense"}]
    results = api.post(f"{URL}/bulk", {"notifications": items}).json["results"]
    assert [len(one.get("notifications") or ()) for one in results] == [1, 1, 2, 0]
    assert results[3]["error"]["code"] == "unknown_type"
    assert (len(us.heard()), len(rows(Notification))) == (2, 2)


def test_a_body_just_small_enough_is_not_too_large_for_its_parts(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    items = [told("ann", "bob", data={"order_id": f"A{n}", "note": "Ж" * 40_000}) for n in range(10)]
    body = json.dumps({"notifications": items}, ensure_ascii=False, separators=(",", ":")).encode()
    assert 700_000 < len(body) < 1024 * 1024
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    results = api.client.post(f"{URL}/bulk", data=body, headers=headers).json["results"]
    assert [len(one.get("notifications") or ()) for one in results] == [2] * 10, results[0].get("error")


def test_a_dry_run_stores_nothing_anywhere(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    answer = api.post(f"{URL}?dry_run=true", told("ann", "bob"))
    assert (answer.status_code, {entry["user"] for entry in answer.json["notifications"]}) == (200, {"ann", "bob"})
    assert (us.heard(), rows(Notification), rows(Forward)) == ([], [], [])


def test_what_is_wrong_is_told_with_the_places_of_the_call_and_nothing_is_passed_on(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    answer = api.post(URL, told("ann", "bob", {"id": "cid", "email": "no address", "home_region": "eu"}))
    assert (answer.status_code, [fault["pointer"] for fault in answer.json["errors"]]) == (422, ["/recipients/2/email"])
    assert (us.heard(), rows(Notification), rows(Forward)) == ([], [], [])
    assert api.post(URL, {**told("ann"), "type": "nonsense"}).json["code"] == "unknown_type"
    elsewhere = api.post(URL, told({"id": "dan", "home_region": "mars"}))
    assert (elsewhere.status_code, elsewhere.json["detail"]) == (
        422,
        "nobody serves the region 'mars'; there are eu, us",
    )
    assert rows(Home)[0].user_id == "ann"


def test_a_cell_that_is_away_holds_nobody_else_up_and_is_told_when_it_is_back(
    us: Cell, api: Api, later: Callable[[float], Any]
) -> None:
    people(api, ann="us", bob="eu")
    us.goes()
    answer = api.post(URL, told("ann", "bob"))
    assert answer == 202
    assert [(one["region"], one["status"]) for one in answer.json["regions"]] == [("eu", "accepted"), ("us", "held")]
    alone = api.post(URL, told("ann", data={"order_id": "A2"}))
    assert (alone.status_code, alone.json["status"], alone.json["notifications"]) == (202, "held", None)
    assert api.put("/api/v1/types/kiln", KILN) == 201
    away = api.get("/api/v1/users/ann")
    assert (away.status_code, away.json["detail"]) == (503, "the cell us gives no answer")
    assert api.post(URL, told("stranger")) == 503  # perhaps they live there
    assert api.get("/api/v1/users/bob") == 200
    with later(60):
        assert forwards.say_held() == 0
    assert len(rows(Forward)) == 3

    us.comes()
    with later(120):
        assert forwards.say_held() == 3
        assert forwards.say_held() == 0
    assert [user for user, _ in us.heard()] == ["ann", "ann"]
    assert "kiln" in us.has(EventType)
    assert rows(Forward) == []
    assert [(row.failures, row.away_since) for row in rows(Neighbour)] == [(0, None)]


@pytest.mark.parametrize(
    ("status", "signed", "body"),
    [
        ("200 OK", "", b"[" * 100_000),
        ("200 OK", "\xe4", b"{}"),
        ("502 Bad Gateway", "", b'{"detail": "\\u0000"}'),
        ("502 Bad Gateway", "", b'{"detail": "\\ud800"}'),
    ],
    ids=["bottomless", "no signature", "no text", "half a sign"],
)
def test_whoever_answers_at_its_address_a_cell_is_away(
    us: Cell,
    api: Api,
    later: Callable[[float], Any],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    signed: str,
    body: bytes,
) -> None:
    """A proxy, or a server that was moved there."""

    def other(_environ: Any, start: Any) -> list[bytes]:
        start(status, [(HEADER, signed), ("Content-Length", str(len(body)))])
        return [body]

    people(api, ann="us")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(us, "app", other)
        answer = api.post(URL, told("ann"))
        assert (answer.status_code, answer.json["status"]) == (202, "held")
        with later(60):
            assert forwards.say_held() == 0
    with later(120):
        assert forwards.say_held() == 1
    assert us.heard() == [("ann", "order_shipped")]


def test_a_forward_that_comes_twice_is_carried_out_once(us: Cell, api: Api, later: Callable[[float], Any]) -> None:
    people(api, ann="us")
    us.goes()
    api.post(URL, told("ann"))
    [row] = rows(Forward)
    kept = {"id": row.id, "region": "us", "call": row.call, "created_at": row.created_at}
    us.comes()
    for seconds in (60, 180):
        with later(seconds):
            assert forwards.say_held() == 1
        db.session.execute(sa.insert(Forward), [kept])  # the answer was lost
        db.session.commit()
    assert us.heard() == [("ann", "order_shipped")]


def test_what_is_refused_there_is_kept_with_its_reason(us: Cell, api: Api, later: Callable[[float], Any]) -> None:
    people(api, ann="us")
    us.goes()
    api.post(URL, {**told("ann"), "type": "nonsense"})
    us.comes()
    with later(60):
        assert forwards.say_held() == 1
        assert forwards.say_held() == 0
    [row] = rows(Forward)
    assert row.refused == "unknown_type"


def test_a_bulk_call_that_this_cell_refuses_is_refused_and_nothing_is_passed_on(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="eu")
    key = {"Idempotency-Key": "k1"}
    assert api.post(f"{URL}/bulk", {"notifications": [told("bob")]}, headers=key) == 202
    others = {"notifications": [told("ann"), told("bob", data={"order_id": "A2"})]}
    answer = api.post(f"{URL}/bulk", others, headers=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")
    assert (us.heard(), rows(Forward)) == ([], [])


def test_the_rights_of_a_key_go_with_the_call(us: Cell, api: Api, client: FlaskClient) -> None:
    people(api, ann="us")
    with us.app.app_context():
        [shop] = db.session.scalars(sa.select(Producer).where(Producer.name == "Shop"))
        shop.disabled_at = now()
        db.session.commit()
    with us.app.app_context():
        keys.forget_cached_keys()
    answer = api.get("/api/v1/users/ann")
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_key")


def test_a_broadcast_goes_to_the_people_of_all_cells(us: Cell, api: Api, later: Callable[[float], Any]) -> None:
    people(api, ann="us", bob="eu")
    said = {"name": "Sale", "type": "promotional_offer", "audience": {"all": True}, "data": OFFER}
    made = api.post("/api/v1/broadcasts", said, headers={"Idempotency-Key": "sale"})
    assert made == 202
    again = api.post("/api/v1/broadcasts", said, headers={"Idempotency-Key": "sale"})
    assert again.json["id"] == made.json["id"]
    assert us.has(Broadcast) == [row.id for row in rows(Broadcast)] == [parse("brd", made.json["id"])]
    shown = api.get(f"/api/v1/broadcasts/{made.json['id']}").json
    assert [(one["region"], one["audience"]) for one in shown["regions"]] == [("eu", 1), ("us", 1)]
    assert api.post(f"/api/v1/broadcasts/{made.json['id']}/cancel") == 200
    with us.app.app_context():
        assert db.session.scalar(sa.select(Broadcast.status)) == "cancelled"
    us.goes()
    shown = api.get(f"/api/v1/broadcasts/{made.json['id']}").json
    assert [(one["region"], one["status"]) for one in shown["regions"]] == [("eu", "cancelled"), ("us", "away")]


def test_whoever_was_erased_at_home_is_forgotten(us: Cell, api: Api) -> None:
    people(api, ann="us", bob="us")
    with us.app.app_context():
        db.session.execute(sa.delete(User).where(User.id == "ann"))
        db.session.commit()
    assert homes.check_some() == 1
    assert [row.user_id for row in rows(Home)] == ["bob"]
    us.goes()
    assert homes.check_some() == 0


SIGNED = {"sender": "us", "receiver": "eu", "key": KEY}


@pytest.mark.parametrize(
    ("changes", "apart", "said"),
    [
        ({"key": "x" * 40}, 0, "the signature is not right"),
        ({"sender": "eu"}, 0, "two cells are called eu"),
        ({"receiver": "asia"}, 0, "this is cell eu, and the call is for asia"),
        ({"sender": "mars"}, 0, "cell mars is not among the REGIONS of eu"),
        ({}, 400, "the clocks of us and eu are "),
        ({}, -400, "the clocks of us and eu are "),
    ],
    ids=["key", "own name", "other cell", "stranger", "slow clock", "fast clock"],
)
def test_a_call_that_no_cell_signed_is_refused(
    us: Cell, client: FlaskClient, still_clock: None, changes: dict[str, str], apart: int, said: str
) -> None:
    body = json.dumps({"ids": ["bob"]}).encode()
    header = stamp(body, at=int(now().timestamp()) - apart, **{**SIGNED, **changes})
    answer = client.post("/cells/people", data=body, headers={HEADER: header})
    assert (answer.status_code, answer.json["code"]) == (401, "unverified")
    assert said in answer.json["detail"]


def test_a_call_that_was_changed_is_refused_and_without_cells_there_is_no_door(
    us: Cell, app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"ids": ["bob"]}).encode()
    header = stamp(body, at=int(now().timestamp()), **SIGNED)
    assert client.post("/cells/people", data=body, headers={HEADER: header}) == 200
    assert client.post("/cells/people", data=body.replace(b"bob", b"eve"), headers={HEADER: header}) == 401
    assert client.post("/cells/people", data=body) == 401
    assert client.post("/cells/calls", data=b"x" * 70_000_000) == 401  # what nobody signed is not even read
    for nonsense in (b"[]", b"x", b"[" * 100_000, b'{"ids": 5}', b'{"ids": [5]}'):
        signed = stamp(nonsense, at=int(now().timestamp()), **SIGNED)
        assert client.post("/cells/people", data=nonsense, headers={HEADER: signed}) == 400
        assert client.post("/cells/calls", data=nonsense, headers={HEADER: signed}) == 400
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], region=None))
    assert client.post("/cells/people", data=body, headers={HEADER: header}) == 404


def test_a_revoked_key_of_a_cell_stays_revoked_with_a_new_region_key(us: Cell, api: Api, app: APIFlask) -> None:
    people(api, ann="us")
    with us.app.app_context():
        [key] = db.session.scalars(sa.select(ApiKey).where(ApiKey.prefix == "cell"))
        keys.revoke_key(key.id)
    for region_app in (us.app, app):
        old = region_app.extensions["settings"]
        assert old.region is not None
        region_app.extensions["settings"] = replace(old, region=replace(old.region, keys=("n" * 40, KEY)))
    try:
        assert api.get("/api/v1/users/ann").json["code"] == "invalid_key"
    finally:
        old = us.app.extensions["settings"]
        us.app.extensions["settings"] = replace(old, region=replace(old.region, keys=(KEY,)))


def test_what_is_in_conflict_there_holds_nothing_up(us: Cell, api: Api, later: Callable[[float], Any]) -> None:
    people(api, ann="us", bob="eu")
    said = {"name": "Sale", "type": "promotional_offer", "audience": {"all": True}, "data": OFFER}
    made = api.post("/api/v1/broadcasts", said).json["id"]
    with us.app.app_context():
        db.session.execute(sa.update(Broadcast).values(status="finished"))
        db.session.commit()
    us.goes()
    assert api.post(f"/api/v1/broadcasts/{made}/pause") == 200
    assert api.post(URL, told("ann")) == 202
    us.comes()
    with later(60):
        assert forwards.say_held() == 2
    assert [row.refused for row in rows(Forward)] == ["conflict"]
    assert us.heard() == [("ann", "order_shipped")]


def test_an_error_that_does_not_pass_holds_nothing_up_for_ever(
    us: Cell, api: Api, later: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    people(api, ann="us")
    us.goes()
    assert api.put("/api/v1/types/kiln", KILN) == 201
    assert api.post(URL, told("ann")) == 202
    us.comes()
    monkeypatch.setitem(us.app.view_functions, "api_types.put_type", us.app.view_functions["static"])  # a bug
    monkeypatch.setitem(us.app.config, "PROPAGATE_EXCEPTIONS", False)
    with later(60):
        assert forwards.say_held() == 0
    for seconds in (4000, 4100):
        with later(seconds):
            assert forwards.say_held() == 1
    assert [row.refused for row in rows(Forward)] == ["internal_error"]
    assert us.heard() == [("ann", "order_shipped")]


def test_what_comes_later_is_told_later(us: Cell, api: Api, later: Callable[[float], Any]) -> None:
    us.goes()
    assert api.put("/api/v1/types/kiln", KILN) == 201
    us.comes()
    with later(3):  # it is asked again, and the first one has not been told yet
        assert api.put("/api/v1/types/kiln", {**KILN, "titles": {"en": "Second"}}) == 200
        assert (len(rows(Forward)), us.calls) == (2, 0)
        assert forwards.say_held() == 2
    with us.app.app_context():
        assert db.session.scalars(sa.select(EventType).where(EventType.key == "kiln")).one().titles == {"en": "Second"}


def test_more_people_than_a_question_takes_are_asked_for_in_parts(us: Cell, api: Api) -> None:
    with us.app.app_context():
        db.session.add(User(id="p2500"))
        db.session.commit()
    items = [told(*(f"p{number}" for number in range(start, start + 900))) for start in (0, 900, 1800)]
    assert api.post(f"{URL}/bulk?dry_run=true", {"notifications": items}).status_code in (200, 422)
    assert [row.user_id for row in rows(Home)] == ["p2500"]
    assert rows(Neighbour) == []


@pytest.mark.parametrize("nobody", ["a\0b", "a b", "~ann", "\ud800", "x" * 200])
def test_nobody_asks_for_somebody_who_cannot_be(us: Cell, api: Api, nobody: str) -> None:
    assert api.post(URL, told(nobody)) == 422
    assert api.post(URL, told({"id": nobody, "home_region": "us"})) == 422
    path = f"/api/v1/users/{quote(nobody, errors='replace')}"
    assert api.get(path) == 404
    assert api.put(path, {"home_region": "us"}).status_code in (404, 422)
    assert (us.calls, rows(Home), rows(Neighbour)) == (0, [], [])


def test_what_is_refused_makes_nobody_live_there(us: Cell, api: Api) -> None:
    assert api.put("/api/v1/users/ann", {"email": "no address", "home_region": "us"}) == 422
    new = {"id": "ann", "email": "ann@example.test", "home_region": "us"}
    assert api.post(f"{URL}?dry_run=true", told(new)) == 200
    assert api.post(URL, {**told(new), "type": "nonsense"}) == 422
    assert (rows(Home), us.has(User)) == ([], [])
    assert api.put("/api/v1/users/ann", {"home_region": "eu"}) == 201


def test_nobody_lives_in_two_cells(us: Cell, api: Api) -> None:
    with us.app.app_context():
        db.session.add(User(id="eve"))
        db.session.commit()
    assert api.put("/api/v1/users/eve", {"home_region": "eu"}) == 409
    assert api.post(URL, told({"id": "eve", "email": "eve@example.test", "home_region": "eu"})) == 409
    assert rows(User) == []


def test_a_limit_counts_where_a_call_came_in_alone(us: Cell, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    few = replace(us.app.extensions["limiter"], item=parse_limit("2/minute"), in_hand={})
    monkeypatch.setitem(us.app.extensions, "limiter", few)
    names = [f"p{number}" for number in range(5)]
    people(api, **dict.fromkeys(names, "us"))
    assert [one["status"] for one in api.post(URL, told(*names)).json["regions"]] == ["accepted"]


def test_many_held_calls_are_answered_in_brief_and_as_many_as_there_is_time_for(
    us: Cell, api: Api, later: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    people(api, ann="us")
    us.goes()
    for number in range(10):
        assert api.post(URL, told("ann", data={"order_id": f"A{number}"})) == 202
    us.comes()
    monkeypatch.setattr(cells_client, "_LONGEST_ANSWER", 1_000)  # ten answers in full have more
    with later(60):
        assert forwards.say_held() == 10
    assert len(us.heard()) == 10
    us.goes()
    for number in range(10, 13):
        assert api.post(URL, told("ann", data={"order_id": f"A{number}"})) == 202
    us.comes()
    monkeypatch.setattr(answering, "_LONGEST_S", 0.0)
    with later(120):
        assert [forwards.say_held() for _ in range(4)] == [1, 1, 1, 0]
    assert len(us.heard()) == 13


def test_an_answer_that_is_too_long_makes_no_cell_silent(us: Cell, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    people(api, ann="us")
    monkeypatch.setattr(cells_client, "_LONGEST_ANSWER", 10)
    answer = api.get("/api/v1/users/ann")
    assert (answer.status_code, "too long" in answer.json["detail"]) == (503, True)
    assert rows(Neighbour) == []


def test_no_connection_of_the_database_is_kept_while_another_cell_works(us: Cell, api: Api) -> None:
    db.session.remove()
    before, pool = db.engine.pool.checkedout(), db.engine.pool
    us.asks = pool.checkedout
    people(api, ann="us")
    assert api.post(URL, told("stranger")) == 422
    assert api.post(URL, told("ann")) == 202
    assert api.get(f"{URL}/ntf_{'0' * 32}") == 404
    assert len(us.busy) >= 4
    assert set(us.busy) == {before}


def test_calls_at_once_for_an_unknown_producer_make_one(app: APIFlask) -> None:
    together = threading.Barrier(6)

    def ask(number: int) -> None:
        with app.app_context():
            together.wait()
            answering.identity(f"r{number}", OnBehalf("Newcomer", ("notify",), None, number % 2 == 0, "Newcomer"))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(ask, range(6)))
    assert [row.name for row in rows(Producer)].count("Newcomer") == 1
    assert len([row for row in rows(ApiKey) if row.prefix == "cell"]) == 6


@pytest.mark.parametrize("key", ["x" * 40, None], ids=["another key", "unsigned"])
def test_an_answer_that_no_cell_signed_is_none(
    us: Cell, api: Api, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    said = json.dumps({"ids": []}).encode()

    def stranger(environ: dict[str, Any], start: Any) -> list[bytes]:
        sealed = [(HEADER, seal(said, asked=environ["HTTP_NOTIFIER_CELL"], key=key))] if key else []
        start("200 OK", [("Content-Type", "application/json"), *sealed])
        return [said]

    monkeypatch.setattr(us.app, "wsgi_app", stranger)
    assert api.put("/api/v1/users/ann", {"email": "ann@example.test"}) == 503
    assert rows(User) == []
    [neighbour] = rows(Neighbour)
    assert neighbour.error.startswith("its answer is not signed as a cell signs")


def test_an_answer_to_another_call_is_none() -> None:
    asked, body = "from=eu, to=us, at=1, body=…, signature=…", b'{"ids":[]}'
    said = seal(body, asked=asked, key=KEY)
    assert is_sealed(said, body, asked=asked, keys=("n" * 40, KEY))
    assert not is_sealed(said, body, asked=asked.replace("at=1", "at=2"), keys=(KEY,))
    assert not is_sealed(said, b'{"ids":["ann"]}', asked=asked, keys=(KEY,))
    assert not is_sealed(None, body, asked=asked, keys=(KEY,))


def test_no_more_calls_wait_for_a_cell_than_leave_room_to_answer_it(
    us: Cell, api: Api, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(api, ann="us")
    monkeypatch.setattr(cells_client, "MOST_WAITING", 1)
    app.extensions.pop("cells_places")
    may_answer = threading.Event()
    us.asks = lambda: int(may_answer.wait(60))
    before = us.calls

    def wait() -> set[str]:
        with app.app_context():
            region = app.extensions["settings"].region
            return cells_client.who_of(region, "us", ["ann"], 60.0)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        eventually(lambda: us.calls > before)
        refused = api.get("/api/v1/users/ann")
        held = api.post(URL, told("ann"))
        may_answer.set()
        assert waiting.result() == {"ann"}
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json["detail"] == "too many calls wait for the cell us"
    assert (held.status_code, held.json["status"]) == (202, "held")
    assert rows(Neighbour) == []  # it is not away
    assert api.get("/api/v1/users/ann") == 200
