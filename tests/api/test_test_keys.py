"""Test keys have a world of their own over the same ids: every route is walked with one, and nothing live changes or is
told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import accounts, keys, sign_in
from notifier.core.worlds import MARK
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account, Address, Capture, Notification, Producer, Schedule, Suppression, User
from notifier.models.producer import SCOPES
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake import schedules
from notifier.pipeline.upkeep import due
from notifier.queries import people as console
from tests.api.test_access import producers_calls
from tests.conftest import Api
from tests.stored import deliveries, rows

SECRET = "livesecret"  # stands in whatever is live
ORDER = {
    "type": "order_shipped",
    "recipients": [{"id": "alice", "email": "t@x.test", "name": "Tess"}],
    "data": {"order_id": "T1"},
}
SUBSCRIPTION = {"url": f"https://{SECRET}.example.com/hook", "events": ["delivery.*"]}
OF_TESTS = SUBSCRIPTION | {"url": "https://tests.example.com/hook"}  # which test keys see again in their lists
BROADCAST = {"name": "Trial", "type": "order_shipped", "data": {"order_id": "T1"}, "audience": {"all": True}}
SCHEDULE = {"cron": "0 8 * * *", "notification": ORDER}
REFUSED = "test_key"
WORDS = {"contents": [{"channel": "*", "title": "T"}]}


@dataclass(frozen=True)
class Call:
    """`codes`: the answers there may be. Its path is filled with ids of what is live."""

    body: Any = None
    codes: tuple[int | str, ...] = (200, 201, 202, 204, 404)
    query: str = ""
    csv: str | None = None  # instead of the body


# Every call of producers. Whoever adds one says here what a test key may do by it: what is shared is refused
# (`test_key`), what belongs to people or to what was sent is of the test world.
CALLS: dict[str, list[Call]] = {
    "POST /api/v1/notifications": [
        Call(ORDER, (202,)),
        Call(ORDER, (200,), "?dry_run=true"),
        Call({**ORDER, "recipients": ["bob"]}, (422,)),
    ],
    "POST /api/v1/notifications/bulk": [Call({"notifications": [ORDER, ORDER]}, (202,))],
    "GET /api/v1/notifications": [Call(codes=(200,)), Call(codes=(200,), query="?user=alice")],
    "GET /api/v1/notifications/<string(minlength=5):notification_id>": [Call(codes=(404,))],
    "POST /api/v1/notifications/<notification_id>/cancel": [Call(codes=(404,))],
    "GET /api/v1/submissions/<submission_id>": [Call(codes=(404,))],
    "POST /api/v1/schedules": [Call(SCHEDULE, (201,))],
    "GET /api/v1/schedules": [Call(codes=(200,))],
    "GET /api/v1/schedules/<schedule_id>": [Call(codes=(404,))],
    "PATCH /api/v1/schedules/<schedule_id>": [Call({"paused": True}, (404,))],
    "DELETE /api/v1/schedules/<schedule_id>": [Call(codes=(404,))],
    "POST /notify": [Call({"userId": "alice", "template": "ORDER_SHIPPED", "data": {"orderId": "1"}}, (202, 422))],
    "POST /notify/bulk": [
        Call({"notifications": [{"userId": "alice", "template": "ORDER_SHIPPED", "data": {"orderId": "1"}}]}, (202,))
    ],
    "GET /notify/status/<shown_id>": [Call(codes=(404,))],
    "POST /notifications/trigger": [
        Call({"eventType": "ORDER_SHIPPED", "userId": "alice", "metadata": {"orderId": "1"}}, (202, 422))
    ],
    "POST /notifications/send": [
        Call(
            {
                "user_ids": ["alice"],
                "notification_type": "transactional",
                "template_id": "order_shipped",
                "variables": {"order_id": "1"},
            },
            (202, 422),
        ),
        Call(
            {
                "user_ids": ["alice"],
                "notification_type": "system",
                "template_id": "fraud_alert",
                "variables": {"order_id": "1", "reason": "r"},
            },
            (202, 422),
        ),
    ],
    "POST /notifications/preferences": [
        Call({"userId": "alice", "eventType": "LIKE", "channel": "EMAIL", "enabled": False}, (200, 422))
    ],
    "GET /user/preferences/<user_id>": [Call()],
    "PUT /api/v1/users/<user_id>": [Call({"name": "Tess", "email": "t@x.test", "verified": True}, (200, 201))],
    "GET /api/v1/users/<user_id>": [Call()],
    "PATCH /api/v1/users/<user_id>": [Call({"name": "Tess"})],
    "DELETE /api/v1/users/<user_id>": [Call()],
    "GET /api/v1/users/<user_id>/export": [Call()],
    "GET /api/v1/users/<user_id>/erasures": [Call()],
    "GET /api/v1/users/<user_id>/addresses": [Call()],
    "POST /api/v1/users/<user_id>/addresses": [
        Call({"channel": "email", "value": f"{SECRET}@x.test", "verified": True})
    ],
    "DELETE /api/v1/users/<user_id>/addresses/<address_id>": [Call(codes=(404,))],
    "POST /api/v1/users/<user_id>/token": [Call()],
    "DELETE /api/v1/users/<user_id>/tokens": [Call()],
    "GET /api/v1/users/<user_id>/preferences": [Call()],
    "DELETE /api/v1/users/<user_id>/preferences": [Call()],
    "PUT /api/v1/users/<user_id>/preferences": [Call({"channels": {"email": False}})],
    "PATCH /api/v1/users/<user_id>/preferences": [Call({"channels": {"email": False}})],
    "GET /api/v1/types": [Call(codes=(200,))],
    "GET /api/v1/types/<key>": [Call(codes=(200,))],
    "PUT /api/v1/types/<key>": [
        Call({"titles": {"en": "T"}, "category": "social", "priority": "low", "channels": ["inapp"]}, (REFUSED,))
    ],
    "GET /api/v1/templates": [Call(codes=(200,))],
    "GET /api/v1/templates/<name>": [Call(codes=(REFUSED,))],  # the draft; published ones are read by both
    "POST /api/v1/templates": [Call({"key": "order_shipped", **WORDS}, (REFUSED,))],
    "PUT /api/v1/templates/<name>": [Call(WORDS, (REFUSED,))],
    "POST /api/v1/templates/<name>/publish": [Call(codes=(REFUSED,))],
    "POST /api/v1/templates/<name>/preview": [Call({"channel": "email"}, (REFUSED,))],
    "POST /api/v1/templates/<name>/variants": [Call({"name": "b", "weight": 50, **WORDS}, (REFUSED,))],
    "GET /api/v1/templates/<name>/experiment": [Call(codes=(REFUSED,))],
    "POST /api/v1/templates/<name>/experiment/start": [Call(codes=(REFUSED,))],
    "POST /api/v1/templates/<name>/experiment/stop": [Call({"keep": "b"}, (REFUSED,))],
    "POST /api/v1/images": [Call(codes=(REFUSED,))],
    "GET /api/v1/events": [Call(codes=(200,))],
    "POST /api/v1/audiences/preview": [
        Call({"audience": {"all": True}}, (200,)),
        Call({"audience": {"where": {"attributes.plan": "pro"}}}, (200,)),
    ],
    "POST /api/v1/uploads": [Call(csv="id,name\nalice,Tess\n", codes=(202,))],
    "POST /cells/uploads": [Call({"rows": []}, (404,))],
    "PUT /cells/brands": [Call({"brand": {}}, (404,))],
    "GET /api/v1/uploads/<upload_id>": [Call(codes=(404,))],
    "POST /api/v1/broadcasts": [
        Call(BROADCAST, (202, 422)),
        Call({**BROADCAST, "audience": {"users": ["bob"]}}, (422,)),
    ],
    "GET /api/v1/broadcasts": [Call(codes=(200,))],
    "GET /api/v1/broadcasts/<broadcast_id>": [Call(codes=(404,))],
    "GET /api/v1/broadcasts/<broadcast_id>/recipients": [Call(codes=(404,))],
    "POST /api/v1/broadcasts/<broadcast_id>/pause": [Call(codes=(404,))],
    "POST /api/v1/broadcasts/<broadcast_id>/resume": [Call(codes=(404,))],
    "POST /api/v1/broadcasts/<broadcast_id>/cancel": [Call(codes=(404,))],
    "POST /api/v1/broadcasts/<broadcast_id>/retry-failed": [Call(codes=(404,))],
    "POST /api/v1/subscriptions": [Call(OF_TESTS, (201,)), Call(OF_TESTS | {"all_producers": True}, (201,))],
    "GET /api/v1/subscriptions": [Call(codes=(200,))],
    "GET /api/v1/subscriptions/<subscription_id>": [Call(codes=(404,))],
    "PATCH /api/v1/subscriptions/<subscription_id>": [Call({"disabled": True}, (404,))],
    "DELETE /api/v1/subscriptions/<subscription_id>": [Call(codes=(404,))],
    "POST /api/v1/subscriptions/<subscription_id>/rotate-secret": [Call(codes=(404,))],
    "POST /api/v1/subscriptions/<subscription_id>/test": [Call(codes=(404,))],
    "GET /api/v1/subscriptions/<subscription_id>/attempts": [Call(codes=(404,))],
    "POST /api/v1/subscriptions/<subscription_id>/replay": [
        Call({"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, (404,))
    ],
    "GET /api/v1/producer": [Call(codes=(200,))],
    "PATCH /api/v1/producer": [Call({}, (REFUSED,))],
    "GET /api/v1/reencryption": [Call(codes=(REFUSED,))],
    "POST /api/v1/reencryption": [Call({}, (REFUSED,))],
    "POST /api/v1/alerts": [
        Call({"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}, (REFUSED,))
    ],
    "GET /api/v1/sandbox": [Call(codes=(200,)), Call(codes=(200,), query="?user=alice")],
}


@pytest.fixture
def live(app: APIFlask, api: Api) -> Iterator[dict[str, str]]:
    """Somebody live with all they can have, of the same producer. → what fills the paths."""
    alice = {
        "name": SECRET,
        "email": f"{SECRET}@x.test",
        "phone": "+4915112345678",
        "attributes": {"plan": SECRET},
        "time_zone": "Europe/Berlin",
    }
    api.put("/api/v1/users/alice", alice)
    accounts.create_account("root@x.test", None, "admin", "root")
    api.put("/api/v1/users/root", {"email": f"{SECRET}.root@x.test"})
    api.put("/api/v1/users/alice/preferences", {"types": {"like": {"sms": True}}, "time_zone": "Europe/Vienna"})
    [address, _] = api.get("/api/v1/users/alice/addresses").json["data"]
    body = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": SECRET}}
    sent = api.post("/api/v1/notifications", body).json
    deliver([row.id for row in deliveries() if row.status == "queued"])
    schedule = api.post("/api/v1/schedules", {"cron": "0 8 * * *", "notification": body}).json["id"]
    subscription = api.post("/api/v1/subscriptions", SUBSCRIPTION).json["id"]
    upload = api.post("/api/v1/uploads", data=f"id,name\nalice,{SECRET}\n", headers={"Content-Type": "text/csv"}).json[
        "id"
    ]
    audience = {"where": {"attributes.plan": SECRET}}
    broadcast = api.post("/api/v1/broadcasts", {**BROADCAST, "name": SECRET, "audience": audience}).json["id"]
    draft = api.post(
        "/api/v1/templates", {"key": "order_shipped", "contents": [{"channel": "*", "title": SECRET}]}
    ).json
    yield {
        "user_id": "alice",
        "address_id": address["id"],
        "notification_id": sent["notifications"][0]["id"],
        "shown_id": sent["notifications"][0]["id"],
        "submission_id": sent["id"],
        "schedule_id": schedule,
        "subscription_id": subscription,
        "upload_id": upload,
        "broadcast_id": broadcast,
        "key": "order_shipped",
        "name": f"order_shipped@{draft['version']}",
    }
    db.session.rollback()
    db.session.execute(
        sa.text("DELETE FROM template_content WHERE template_id IN (SELECT id FROM template WHERE status = 'draft')")
    )
    db.session.execute(sa.text("DELETE FROM template WHERE status = 'draft'"))
    db.session.commit()


@pytest.fixture
def tester(api: Api, live: dict[str, str]) -> Api:
    """A test key of the same producer that may do everything."""
    producer_id = db.session.scalars(sa.select(Producer.id)).one()
    return Api(api.client, keys.create_key(producer_id, scopes=SCOPES, is_test=True)[1])


Rows = set[tuple[str, ...]]


class LiveRows:
    """Every row of every table, as it is stored, but those of test keys; when a key was used last is no secret."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Any, Rows]] = {}  # most tables are as they were when they were read last

    def read(self) -> dict[str, Rows]:
        db.session.rollback()
        of_tests = {repr(value) for value in _keys_of_tests()}
        cursor = db.session.connection().connection.cursor()
        for table in db.metadata.sorted_tables:
            columns = [f'"{column.name}"' for column in table.columns if column.name != "last_used_at"]
            cursor.execute(f'SELECT {", ".join(columns)} FROM "{table.name}"')
            stored = cursor.fetchall(), of_tests
            if self.known.get(table.name, (None,))[0] != stored:
                shown = [tuple(repr(bytes(v) if isinstance(v, memoryview) else v) for v in row) for row in stored[0]]
                rows = {row for row in shown if not any(v in of_tests or v.startswith(f"'{MARK}") for v in row)}
                self.known[table.name] = stored, rows
        db.session.rollback()
        return {name: rows for name, (_, rows) in self.known.items()}


def _keys_of_tests() -> set[Any]:
    """The ids of submissions, notifications, deliveries and schedules of test keys, as they are stored."""
    ids: set[Any] = set()
    for statement in (
        "SELECT id FROM submission WHERE is_test",
        "SELECT id FROM notification WHERE is_test",
        "SELECT id FROM schedule WHERE is_test",
        "SELECT id FROM subscription WHERE is_test",
        "SELECT id FROM upload WHERE is_test",
        "SELECT id FROM delivery WHERE notification_id IN (SELECT id FROM notification WHERE is_test)",
        f"SELECT digest FROM address WHERE user_id LIKE '{MARK}%'",
    ):
        ids |= {
            bytes(value) if isinstance(value, memoryview | bytes) else value
            for value in db.session.scalars(sa.text(statement))
        }
    db.session.rollback()
    return ids


def test_every_call_is_classified(app: APIFlask) -> None:
    assert {f"{method} {path}" for path, method, _ in producers_calls(app)} == CALLS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [False, True], ids=["nobody of that id", "somebody of that id"])
def test_with_a_test_key_nothing_live_changes_or_is_told(
    live: dict[str, str], tester: Api, is_known: bool, subtests: pytest.Subtests
) -> None:
    live_rows = LiveRows()
    before = live_rows.read()
    for route, calls in CALLS.items():
        method, path = route.split()
        for name, value in live.items():
            path = re.sub(rf"<([^<>]*:)?{name}>", value, path)
        with subtests.test(route=route):
            make_known(tester, is_known)
            for call in calls:
                given = {"json": call.body} if call.csv is None else {"data": call.csv, "content_type": "text/csv"}
                answer = tester.client.open(
                    path + call.query, method=method, headers={"Authorization": f"Bearer {tester.key}"}, **given
                )
                told = answer.json["code"] if answer.status_code == 403 else answer.status_code
                assert told in call.codes, answer.text
                assert SECRET in str(call.body) or SECRET not in answer.text
                assert MARK not in answer.text
            deliver([row.id for row in deliveries() if row.status == "queued"])
            due.ring_due()
            # A route that has changed something is the only one that fails
            expected, before = before, live_rows.read()
            assert before == expected


def make_known(tester: Api, is_known: bool) -> None:
    """Whether there is an alice of the test world, whatever the calls before have made of her."""
    tester.delete("/api/v1/users/alice")
    if is_known:
        tester.put("/api/v1/users/alice", {"name": "Tess", "email": "t@x.test"})
        tester.put("/api/v1/users/alice/preferences", {"channels": {"sms": True}})
        tester.post("/api/v1/notifications", {**ORDER, "recipients": ["alice"], "data": {"order_id": "T0"}})


# ---- the world of test keys


def test_what_a_test_key_changes_is_seen_by_test_keys_alone(api: Api, tester: Api) -> None:
    assert tester.get("/api/v1/users/alice").status_code == 404
    assert tester.put("/api/v1/users/alice", {"name": "Tess", "email": "t@x.test"}).status_code == 201
    tester.patch("/api/v1/users/alice/preferences", {"channels": {"email": False}})
    tester.post("/api/v1/users/alice/addresses", {"channel": "webhook", "value": "https://example.com/hook"})
    tester.put("/api/v1/users/zoe", {"name": "Zoe"})
    assert (tester.get("/api/v1/users/alice").json["name"], api.get("/api/v1/users/alice").json["name"]) == (
        "Tess",
        SECRET,
    )
    assert tester.get("/api/v1/users/alice/preferences").json["channels"] == {"email": False}
    assert api.get("/api/v1/users/alice/preferences").json["channels"] == {}
    assert [len(who.get("/api/v1/users/alice/addresses").json["data"]) for who in (tester, api)] == [2, 2]
    assert (tester.get("/api/v1/users/zoe").json["id"], api.get("/api/v1/users/zoe").status_code) == ("zoe", 404)
    assert api.get(f"/api/v1/users/{MARK}zoe").status_code == 404
    assert api.put(f"/api/v1/users/{MARK}zoe", {"name": "evil"}).status_code == 422
    assert tester.delete("/api/v1/users/alice").status_code == 204
    assert (tester.get("/api/v1/users/alice").status_code, api.get("/api/v1/users/alice").status_code) == (404, 200)


def test_an_id_is_as_long_as_with_a_live_key(tester: Api) -> None:
    longest = "x" * 128
    assert tester.put(f"/api/v1/users/{longest}", {"email": "x@x.test"}).json["id"] == longest
    assert tester.post("/api/v1/notifications", {**ORDER, "recipients": [longest]}).status_code == 202
    assert tester.put(f"/api/v1/users/{longest}x", {}).status_code == 422


def test_a_submission_is_as_it_would_be_live(api: Api, tester: Api) -> None:
    refused = tester.post("/api/v1/notifications", {**ORDER, "recipients": ["alice"]})
    assert (refused.status_code, refused.json["code"], refused.json["errors"][0]["message"]) == (
        422,
        "unknown_user",
        "there is no user 'alice'",
    )
    sent = tester.post("/api/v1/notifications", {**ORDER, "channels": ["email", "inapp"]}).json
    assert [one["user"] for one in sent["notifications"]] == ["alice"]
    deliver([row.id for row in deliveries() if row.status == "queued"])
    captured = tester.get("/api/v1/sandbox?user=alice").json["data"]
    assert sorted((one["user"], one["channel"], one["to"], one["test"]) for one in captured) == [
        ("alice", "email", "t@x.test", True),
        ("alice", "inapp", "alice", True),
    ]
    assert "Tess" in next(one["text"] for one in captured if one["channel"] == "email")
    assert tester.get("/api/v1/notifications?user=alice").json["data"][0]["user"] == "alice"
    seen = api.get(f"/api/v1/notifications/{sent['notifications'][0]['id']}").json
    assert (seen["user"], seen["test"]) == ("alice", True)
    [exported] = tester.get("/api/v1/users/alice/export").json["notifications"]
    assert exported["id"] == sent["notifications"][0]["id"]


def test_a_token_of_a_test_key_opens_the_inbox_of_its_own_person_alone(api: Api, tester: Api) -> None:
    tester.put("/api/v1/users/alice", {})
    token = tester.post("/api/v1/users/alice/token").json["token"]
    opened = tokens.open_user_token(token)
    assert opened is not None
    assert opened.user_id == f"{MARK}alice"  # by which the room of a socket is named, too
    theirs = api.client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {token}"}).json
    assert (theirs["data"], theirs["unread"]) == ([], 0)
    mine = api.post("/api/v1/users/alice/token").json["token"]
    assert api.client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {mine}"}).json["unread"] == 1


def test_an_address_vouched_for_with_a_test_key_signs_nobody_in(api: Api, tester: Api) -> None:
    tester.put("/api/v1/users/mallory", {"email": "m@x.test", "verified": True})
    sign_in.send_link("m@x.test")
    assert rows(Notification, type="sign_in_link") == []
    api.put("/api/v1/users/alice", {"email": f"{SECRET}@x.test", "verified": True})
    tester.put("/api/v1/users/mallory", {"email": f"{SECRET}@x.test", "verified": True})
    sign_in.send_link(f"{SECRET}@x.test")
    assert [row.user_id for row in rows(Notification, type="sign_in_link")] == ["alice"]
    assert [row.user_id for row in rows(Account)] == ["root"]


def test_what_bounces_with_a_test_key_holds_nobody_back(api: Api, tester: Api) -> None:
    for who in (tester, api):
        who.put("/api/v1/users/dan", {"email": "dead@sandbox.test"})
    tester.post("/api/v1/notifications", {**ORDER, "recipients": ["dan"], "channels": ["email"]})
    deliver([row.id for row in deliveries() if row.status == "queued"])
    assert len(rows(Suppression)) == 1
    assert {row.user_id: row.disabled_at is None for row in rows(Address) if row.value == "dead@sandbox.test"} == {
        f"{MARK}dan": False,
        "dan": True,
    }
    sent = api.post("/api/v1/notifications", {**ORDER, "recipients": ["dan"], "channels": ["email"]}).json
    assert [one["status"] for one in sent["notifications"][0]["deliveries"]] == ["queued"]


def test_an_alert_to_admins_goes_to_those_whom_a_test_key_names(tester: Api) -> None:
    tester.put("/api/v1/users/tess", {"email": "t@x.test"})
    body = {"type": "fraud_alert", "recipients": ["tess"], "data": {"order_id": "1", "reason": "r"}}
    assert [one["user"] for one in tester.post("/api/v1/notifications", body).json["notifications"]] == ["tess"]


def test_a_schedule_of_a_test_key_runs_in_its_world(tester: Api) -> None:
    made = tester.post("/api/v1/schedules", SCHEDULE).json
    assert made["notification"]["recipients"][0]["id"] == "alice"
    db.session.execute(sa.update(Schedule).where(Schedule.is_test).values(next_at=now()))
    db.session.commit()
    schedules.submit_due()
    assert [(row.user_id, row.is_test) for row in rows(Notification)][1:] == [(f"{MARK}alice", True)]


def test_the_console_leaves_people_of_test_keys_out_of_its_lists(tester: Api) -> None:
    tester.put("/api/v1/users/alan", {"email": "alan@x.test"})
    for text in ("", "al", "alan", "alan@x.test", MARK):
        assert not any(line.user.id.startswith(MARK) for line in console.page(text)[0])
    assert console.one(f"{MARK}alan").user.id == f"{MARK}alan"


def test_nothing_but_ids_of_the_test_world_is_stored(tester: Api) -> None:
    tester.post("/api/v1/notifications", ORDER)
    deliver([row.id for row in deliveries() if row.status == "queued"])
    assert {row.user_id for row in rows(Capture) if row.user_id != "alice"} == {f"{MARK}alice"}
    assert {row.id for row in rows(User)} == {"alice", "root", f"{MARK}alice"}
