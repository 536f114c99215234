"""Idempotency keys, the same at every door that submits: one key goes with one body, and gets one answer for a day."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.ground import engines
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import IdempotencyKey, Notification, Producer
from notifier.pipeline.intake import idempotency_keys
from notifier.pipeline.upkeep import due
from tests.stored import rows

ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "dedupe": False}
NOTIFY = {"userId": "alice", "template": "ONE_TIME_CODE", "data": {"code": "123456"}}
KEY = {"Idempotency-Key": '"k-1"'}

# door → a body, and another one
DOORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "/api/v1/notifications": (ORDER, ORDER | {"data": {"order_id": "A2"}}),
    "/api/v1/notifications/bulk": ({"notifications": [ORDER, ORDER]}, {"notifications": [ORDER, ORDER, ORDER]}),
    "/notify": (NOTIFY, NOTIFY | {"userId": "bob"}),
    "/notify/bulk": ({"notifications": [NOTIFY]}, {"notifications": [NOTIFY, NOTIFY]}),
    "/notifications/trigger": (
        {"eventType": "ONE_TIME_CODE", "userId": "alice", "metadata": {"code": "1"}},
        {"eventType": "ONE_TIME_CODE", "userId": "alice", "metadata": {"code": "2"}},
    ),
    "/notifications/send": (
        {
            "user_ids": ["alice"],
            "notification_type": "transactional",
            "template_id": "one_time_code",
            "variables": {"code": "1"},
        },
        {
            "user_ids": ["alice"],
            "notification_type": "transactional",
            "template_id": "one_time_code",
            "variables": {"code": "2"},
        },
    ),
}
every_door = pytest.mark.parametrize("path", DOORS)


@every_door
def test_a_repeat_gets_the_first_answer_again_and_says_so(
    api: Any, cast: Any, count_rows: Callable[[], Any], path: str
) -> None:
    body, _ = DOORS[path]
    first = api.post(path, body, headers=KEY)
    before = count_rows()

    again = api.post(path, body, headers=KEY)

    assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
    assert (first.headers.get("Idempotency-Replayed"), again.headers.get("Idempotency-Replayed")) == (None, "true")
    assert count_rows() == before


@every_door
def test_the_same_key_with_another_body_is_refused_as_a_whole(
    api: Any, cast: Any, count_rows: Callable[[], Any], path: str
) -> None:
    body, other = DOORS[path]
    first = api.post(path, body, headers=KEY)
    before = count_rows()

    refused = api.post(path, other, headers=KEY)

    assert (refused.status_code, refused.json["code"]) == (422, "idempotency_mismatch")
    assert count_rows() == before
    assert api.post(path, body, headers=KEY).json == first.json


@every_door
def test_a_key_is_forgotten_after_a_day_and_not_before(api: Any, cast: Any, path: str) -> None:
    body, other = DOORS[path]
    start = now()
    first = api.post(path, body, headers=KEY)

    with time_machine.travel(start + timedelta(hours=23, minutes=59)):
        due.prune()
        assert api.post(path, body, headers=KEY).json == first.json
        assert api.post(path, other, headers=KEY).status_code == 422
    with time_machine.travel(start + timedelta(hours=24, minutes=1)):
        due.prune()
        assert rows(IdempotencyKey) == []
        assert (api.post(path, other, headers=KEY).status_code, len(rows(IdempotencyKey)) > 0) == (202, True)


@every_door
def test_who_comes_while_the_first_one_is_being_stored_is_told_to_come_back(
    app: APIFlask, api: Any, cast: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The first is another process that has written its key and not committed yet. SQLite has one writer: there the
    second waits.
    """
    if db.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: nobody meets a key that is being written")
    monkeypatch.setattr(idempotency_keys, "LONGEST_WAIT_MS", 100)
    body, _ = DOORS[path]
    [producer] = rows(Producer)
    with db.engine.begin() as connection:
        connection.execute(sa.insert(IdempotencyKey), [_key_row(producer.id, body)])
        answer = api.post(path, body, headers=KEY)
        connection.rollback()

    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (
        409,
        "idempotency_in_progress",
        "1",
    )
    assert rows(Notification) == []
    assert api.post(path, body, headers=KEY).status_code == 202


def _key_row(producer_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    row = {"producer_id": producer_id, "key": "k-1", "is_test": False, "submission_id": None}
    return {**row, "body_digest": b"\0" * 32, "answer": {}, "created_at": now()}


# ---- the header and its twins


@pytest.mark.parametrize(
    ("path", "twin", "pointer"),
    [
        ("/api/v1/notifications", {"idempotency_key": "k-2"}, "/idempotency_key"),
        ("/notifications/trigger", {"eventId": "k-2"}, "/eventId"),
    ],
)
def test_a_header_and_a_twin_that_differ_are_refused(
    api: Any, cast: Any, path: str, twin: dict[str, str], pointer: str
) -> None:
    body = DOORS[path][0] | twin

    refused = api.post(path, body, headers=KEY)
    agreeing = api.post(path, body, headers={"Idempotency-Key": "k-2"})

    assert (refused.status_code, [(fault["pointer"], fault["code"]) for fault in refused.json["errors"]]) == (
        422,
        [(pointer, "idempotency_keys_differ")],
    )
    assert (agreeing.status_code, len(rows(Notification))) == (202, 1)


# ---- a bulk call as a whole

BULK = "/api/v1/notifications/bulk"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda items: items[:1], id="an item less"),
        pytest.param(lambda items: [*items, ORDER], id="an item more"),
        pytest.param(lambda items: items[::-1], id="in another order"),
        pytest.param(lambda items: [items[0], 5], id="what was refused, otherwise"),
        pytest.param(
            lambda items: [ORDER | {"idempotency_key": "own"}, *items[1:]], id="an item with a key of its own"
        ),
    ],
)
def test_any_difference_of_a_bulk_body_is_another_body(
    api: Any, cast: Any, change: Callable[[list[Any]], list[Any]]
) -> None:
    items = [ORDER, ORDER | {"recipients": ["nobody"]}]
    assert api.post(BULK, {"notifications": items}, headers=KEY).status_code == 202

    refused = api.post(BULK, {"notifications": change(items)}, headers=KEY)

    assert (refused.status_code, refused.json["code"], len(rows(Notification))) == (422, "idempotency_mismatch", 1)


def test_what_was_refused_in_a_bulk_call_is_refused_in_its_repeat(api: Any, cast: Any) -> None:
    """Although the person is known by then: a repeat is an answer, not another try."""
    body = {"notifications": [ORDER, ORDER | {"recipients": ["late"]}]}
    first = api.post(BULK, body, headers=KEY)
    api.put("/api/v1/users/late", {"name": "Late"})

    assert api.post(BULK, body, headers=KEY).json == first.json
    assert len(rows(Notification)) == 1


def test_a_bulk_call_that_stored_nothing_leaves_its_key_free(api: Any, cast: Any) -> None:
    assert "error" in api.post(BULK, {"notifications": [5]}, headers=KEY).json["results"][0]

    assert rows(IdempotencyKey) == []
    assert "id" in api.post(BULK, {"notifications": [ORDER]}, headers=KEY).json["results"][0]


def test_a_key_of_a_single_call_is_none_for_a_bulk_call(api: Any, cast: Any) -> None:
    api.post("/api/v1/notifications", ORDER, headers=KEY)

    assert api.post(BULK, {"notifications": [ORDER]}, headers=KEY).json["code"] == "idempotency_mismatch"


def test_a_bulk_call_that_was_broken_off_is_gone_on_with(api: Any, cast: Any) -> None:
    """The process died after the first item was stored, before the answer was."""
    body = {"notifications": [ORDER, ORDER]}
    first = api.post(BULK, body, headers=KEY).json
    with transaction() as session:
        session.execute(sa.update(IdempotencyKey).where(IdempotencyKey.submission_id.is_(None)).values(answer={}))
        session.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.key.like("bulk:%:1")))

    second = api.post(BULK, body, headers=KEY).json

    ids = [[result["id"] for result in answer["results"]] for answer in (first, second)]
    assert (ids[0][0] == ids[1][0], ids[0][1] == ids[1][1]) == (True, False)
    assert api.post(BULK, body, headers=KEY).json == second


def test_many_bulk_calls_at_once_with_one_key_store_each_item_once(
    app: APIFlask, api: Any, cast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_LOCK_WAIT_S", 30.0)
    body, answers, start = {"notifications": [ORDER] * 5}, list[Any](), threading.Barrier(6)

    def call() -> None:
        start.wait()
        with app.app_context():
            headers = {"Authorization": f"Bearer {api.key}", **KEY}
            answers.append(app.test_client().post(BULK, json=body, headers=headers))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} <= {202, 409}
    told = {str([result["id"] for result in answer.json["results"]]) for answer in answers if answer.status_code == 202}
    assert (len(told), len(rows(Notification))) == (1, 5)
