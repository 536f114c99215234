"""Status webhooks over the API: made, shown, changed, deleted, and refused with the field named."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import AuditEntry, Event, EventStream, IdempotencyKey, Producer, Subscription
from notifier.subscriptions import registered
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/subscriptions"
BODY = {"url": "https://shop.example.com/hook", "events": ["delivery.*"]}


def key_of(name: str, *scopes: str, is_test: bool = False) -> str:
    producer = db.session.scalar(sa.select(Producer).where(Producer.name == name)) or keys.create_producer(name)
    return keys.create_key(producer.id, scopes=scopes, is_test=is_test)[1]


def test_a_subscription_is_made_shown_changed_and_deleted(api: Api) -> None:
    made = api.post(PATH, {**BODY, "types": ["like"], "description": "the shop"})
    assert made.status_code == 201
    secret = made.json["secret"]
    assert secret.startswith("whsec_")
    shown = {name: value for name, value in made.json.items() if name != "secret"}
    assert shown == {
        "id": shown["id"],
        "url": "https://shop.example.com/hook",
        "events": ["delivery.*"],
        "types": ["like"],
        "description": "the shop",
        "all_producers": False,
        "test": False,
        "disabled": False,
        "disabled_at": None,
        "disabled_reason": None,
        "left_out_by": None,
        "failing_since": None,
        "waiting": 0,
        "replay": None,
        "previous_secret_until": None,
        "created_at": shown["created_at"],
    }
    one = f"{PATH}/{shown['id']}"
    assert api.get(one).json == shown
    assert api.get(PATH).json == {"data": [shown], "next": None}
    assert api.patch(one, {"events": ["inbox.read"], "types": None}).json == {
        **shown,
        "events": ["inbox.read"],
        "types": None,
    }
    off = api.patch(one, {"disabled": True}).json
    assert (off["disabled"], off["disabled_reason"]) == (True, "asked")
    assert api.patch(one, {"disabled": False}).json["disabled_at"] is None
    assert api.get(f"{one}/attempts").json == {"data": [], "next": None}
    assert (api.delete(one).status_code, api.get(one).status_code, rows(Subscription)) == (204, 404, [])
    actions = [entry.action for entry in rows(AuditEntry) if entry.action.startswith("subscription.")]
    assert actions == ["subscription.created", *["subscription.changed"] * 3, "subscription.deleted"]
    assert "hook" not in repr([(entry.subject, entry.before, entry.after) for entry in rows(AuditEntry)])


def test_a_rotated_secret_is_shown_once_and_the_one_before_signs_for_a_day(api: Api, still_clock: None) -> None:
    made = api.post(PATH, BODY).json
    rotated = api.post(f"{PATH}/{made['id']}/rotate-secret")
    assert rotated.status_code == 200
    assert rotated.json["secret"] != made["secret"]
    [row] = rows(Subscription)
    assert (row.secret, row.previous_secret) == (rotated.json["secret"], made["secret"])
    assert row.previous_until == now() + registered.OVERLAP
    shown = api.get(f"{PATH}/{made['id']}").json
    assert shown["previous_secret_until"] == rotated.json["previous_secret_until"]
    assert "secret" not in shown
    with time_machine.travel(now() + registered.OVERLAP, tick=False):
        assert api.get(f"{PATH}/{made['id']}").json["previous_secret_until"] is None


def test_secrets_and_urls_are_ciphertext_in_the_database(api: Api) -> None:
    secret = api.post(PATH, BODY).json["secret"]
    [row] = db.session.execute(sa.text("SELECT url, secret FROM subscription")).all()
    assert secret.encode() not in bytes(row.secret)
    assert b"shop.example.com" not in bytes(row.url)


def test_a_ping_is_asked_for_once_at_a_time(api: Api) -> None:
    one = f"{PATH}/{api.post(PATH, BODY).json['id']}"
    first = api.post(f"{one}/test")
    assert (first.status_code, first.json["id"][:4]) == (202, "evt_")
    assert api.post(f"{one}/test").json == first.json
    api.patch(one, {"disabled": True})
    assert api.post(f"{one}/test").status_code == 409


def test_it_begins_with_the_events_to_come(api: Api) -> None:
    with transaction() as session:
        row = {"kind": "delivery.sent", "at": now(), "is_test": False}
        last = session.execute(sa.insert(Event).returning(Event.id), row).scalar_one()
    api.post(PATH, BODY)
    assert [row.position for row in rows(Subscription)] == [last]


def test_a_replay_is_shown_until_it_has_ended(api: Api) -> None:
    one = f"{PATH}/{api.post(PATH, BODY).json['id']}"
    span = {"since": "2026-01-01T00:00:00.000Z", "until": "2026-01-02T00:00:00.000Z"}
    assert (api.post(f"{one}/replay", span).status_code, api.get(one).json["replay"]) == (202, span)
    assert api.post(f"{one}/replay", span).status_code == 409


def test_what_has_been_deleted_is_not_replayed_silently(api: Api) -> None:
    one = f"{PATH}/{api.post(PATH, BODY).json['id']}"
    with transaction() as session:
        session.execute(sa.insert(Event), {"kind": "delivery.sent", "at": now(), "is_test": False})
        session.execute(sa.update(EventStream).values(pruned=1))
    try:
        refused = api.post(f"{one}/replay", {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"})
    finally:
        with transaction() as session:
            session.execute(sa.update(EventStream).values(pruned=0))
    assert refused.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in refused.json["errors"]] == [("/since", "events_deleted")]


def test_lists_are_in_pages(api: Api) -> None:
    ids = [api.post(PATH, BODY).json["id"] for _ in range(3)][::-1]
    first = api.get(f"{PATH}?limit=2").json
    second = api.get(f"{PATH}?limit=2&after={first['next']}").json
    assert ([one["id"] for one in first["data"] + second["data"]], second["next"]) == (ids, None)


# ---- refused --------------------------------------------------------------------------------------------------------

BAD = {
    "a private address": ({"url": "https://10.0.0.7/hook"}, {("/url", "target_refused")}),
    "loopback, unless allowed": ({"url": "https://[::1]/hook"}, {("/url", "target_refused")}),
    "a private address in disguise": ({"url": "https://[::ffff:10.0.0.7]/"}, {("/url", "target_refused")}),
    "a cloud's metadata": ({"url": "http://169.254.169.254/latest"}, {("/url", "target_refused")}),
    "no encryption": ({"url": "http://93.184.216.34/"}, {("/url", "target_refused")}),
    "no URL": ({"url": "shop"}, {("/url", "invalid_url")}),
    "another scheme": ({"url": "file:///etc/passwd"}, {("/url", "invalid_url")}),
    "a password": ({"url": "https://me:secret@example.com/"}, {("/url", "invalid_url")}),
    "an empty URL": ({"url": ""}, {("/url", "too_short")}),
    "a long URL": ({"url": f"https://example.com/{'x' * 2_048}"}, {("/url", "too_long")}),
    "URL null": ({"url": None}, {("/url", "wrong_type")}),
    "an unknown event": ({"events": ["delivery.sent", "delivery.eaten"]}, {("/events/1", "unknown_event")}),
    "a bare group": ({"events": ["delivery"]}, {("/events/0", "unknown_event")}),
    "a bare star": ({"events": ["*"]}, {("/events/0", "unknown_event")}),
    "no event": ({"events": []}, {("/events", "too_short")}),
    "events as text": ({"events": "delivery.*"}, {("/events", "wrong_type")}),
    "many events": ({"events": ["delivery.*"] * 51}, {("/events", "too_long")}),
    "an unknown type": ({"types": ["like", "nothing"]}, {("/types/1", "unknown_type")}),
    "no type": ({"types": []}, {("/types", "too_short")}),
    "a long description": ({"description": "x" * 201}, {("/description", "too_long")}),
    "an unknown field": ({"secret": "whsec_mine"}, {("/secret", "unknown_field")}),
    "several faults": (
        {"url": "https://10.0.0.7/", "events": ["x"]},
        {("/url", "target_refused"), ("/events/0", "unknown_event")},
    ),
}


def test_what_cannot_be_meant_is_refused_and_nothing_stored(api: Api, count_rows: Any) -> None:
    made = api.post(PATH, BODY).json
    before, stored = count_rows(), rows(Subscription)[0].url
    wrong = {}
    for name, (change, expected) in BAD.items():
        for answer in (api.post(PATH, {**BODY, **change}), api.patch(f"{PATH}/{made['id']}", change)):
            faults = {(fault["pointer"], fault["code"]) for fault in answer.json.get("errors", [])}
            if (answer.status_code, faults) != (422, expected):
                wrong[name] = (answer.status_code, faults)
    assert wrong == {}
    assert (count_rows(), rows(Subscription)[0].url) == (before, stored)


@pytest.mark.parametrize(
    ("span", "pointer", "code"),
    [
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "/until", "wrong_order"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "/until", "wrong_order"),
        ({"since": "2026-01-02T00:00:00", "until": "2026-01-03T00:00:00Z"}, "/since", "invalid_time"),
        ({"until": "2026-01-03T00:00:00Z"}, "/since", "missing"),
    ],
)
def test_a_replay_needs_a_time(api: Api, span: Any, pointer: str, code: str) -> None:
    refused = api.post(f"{PATH}/{api.post(PATH, BODY).json['id']}/replay", span)
    assert refused.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in refused.json["errors"]] == [(pointer, code)]


def test_a_replay_may_name_any_times(api: Api) -> None:
    span = {"since": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}
    replay = api.post(f"{PATH}/{api.post(PATH, BODY).json['id']}/replay", span)
    assert replay.status_code == 202


def test_a_producer_has_a_thousand_subscriptions_at_most(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "MOST", 2)
    one = api.post(PATH, BODY).json["id"]
    assert api.post(PATH, BODY).status_code == 201
    refused = api.post(PATH, BODY)
    assert (refused.status_code, refused.json["code"]) == (409, "too_many")
    assert len(rows(Subscription)) == 2
    api.delete(f"{PATH}/{one}")
    assert api.post(PATH, BODY).status_code == 201


@pytest.mark.parametrize(
    ("scopes", "body", "status"),
    [
        (("notify", "users"), BODY, 403),
        (("read",), BODY, 201),
        (("read",), BODY | {"events": ["user.unsubscribed"]}, 403),
        (("read", "users"), BODY | {"events": ["user.*"]}, 201),
        (("read",), BODY | {"all_producers": True}, 403),
        (("read", "admin"), BODY | {"all_producers": True}, 201),
    ],
)
def test_scopes_say_what_may_be_heard(
    client: FlaskClient, accept_json: Any, scopes: tuple[str, ...], body: Any, status: int
) -> None:
    answer = Api(client, key_of("Shop", *scopes), accept_json).post(PATH, body)
    assert answer.status_code == status
    assert len(rows(Subscription)) == (status == 201)


@pytest.mark.parametrize(("scope", "wide"), [("users", {"events": ["user.*"]}), ("admin", {"all_producers": True})])
def test_who_may_not_hear_of_all_it_tells_may_not_turn_it_elsewhere(
    client: FlaskClient, accept_json: Any, scope: str, wide: Any
) -> None:
    wider = Api(client, key_of("Shop", "read", scope), accept_json)
    narrow = Api(client, key_of("Shop", "read"), accept_json)
    one = f"{PATH}/{wider.post(PATH, BODY | wide).json['id']}"
    before = rows(Subscription)[0]
    for body in ({"url": "https://else.example.com/hook"}, {"types": None}, {"events": ["user.*"]}):
        refused = narrow.patch(one, body)
        assert (refused.status_code, refused.json["code"]) == (403, "scope_missing"), body
    assert narrow.post(f"{one}/rotate-secret").status_code == 403
    if scope == "admin":  # its own events alone, but still of all producers by another's right
        assert narrow.patch(one, {"events": ["delivery.sent"]}).status_code == 403
    after = rows(Subscription)[0]
    assert (after.url, after.secret, after.key_id) == (before.url, before.secret, before.key_id)
    for body in ({"disabled": True}, {"description": "ours"}, {"events": ["delivery.*"], "all_producers": False}):
        assert narrow.patch(one, body).status_code == 200, body
    assert narrow.patch(one, {"url": "https://else.example.com/hook"}).status_code == 200  # it tells its own now
    assert narrow.post(f"{one}/rotate-secret").status_code == 200


def test_a_subscription_is_its_producers_and_a_test_keys_of_tests_alone(client: FlaskClient, api: Api) -> None:
    bank, tester = Api(client, key_of("Bank", "read")), Api(client, key_of("Shop", "read", is_test=True))
    made, tests = api.post(PATH, BODY).json["id"], tester.post(PATH, BODY).json
    assert tests["test"] is True
    calls = [
        ("get", "", None),
        ("patch", "", {"disabled": True}),
        ("delete", "", None),
        ("post", "/rotate-secret", None),
        ("post", "/test", None),
        ("get", "/attempts", None),
        ("post", "/replay", {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}),
    ]
    for stranger in (bank, tester):
        assert {
            getattr(stranger, method)(f"{PATH}/{made}{rest}", body).status_code for method, rest, body in calls
        } == {404}
    assert [one["id"] for one in tester.get(PATH).json["data"]] == [tests["id"]]
    assert bank.get(PATH).json["data"] == []
    admin = Api(client, key_of("Operator", "read", "admin"))
    assert {one["id"] for one in admin.get(PATH).json["data"]} == {made, tests["id"]}


def test_strangers_ids_are_not_found(api: Api) -> None:
    for shown in ("nothing", "sbn_", f"sbn_{'0' * 32}", f"sub_{'0' * 32}", "%00"):
        assert api.get(f"{PATH}/{shown}").status_code == 404


# ---- idempotency ----------------------------------------------------------------------------------------------------


def test_a_repeated_call_makes_one_subscription_and_gets_its_secret_again(api: Api) -> None:
    header = {"Idempotency-Key": "sub-1"}
    first, again = api.post(PATH, BODY, headers=header), api.post(PATH, BODY, headers=header)
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(rows(Subscription)) == 1
    assert first.json["secret"] not in repr([row.answer for row in rows(IdempotencyKey)])
    other = api.post(PATH, {**BODY, "events": ["inbox.*"]}, headers=header)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    api.delete(f"{PATH}/{first.json['id']}")
    assert api.post(PATH, BODY, headers=header).status_code == 404


def test_calls_with_one_key_at_the_same_time_make_one(app: APIFlask, api: Api) -> None:
    answers = []

    def call() -> None:
        client = Api(app.test_client(), api.key)
        answers.append(client.post(PATH, BODY, headers={"Idempotency-Key": "at-once"}).json["id"])

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [row] = rows(Subscription)
    assert answers == [show("sbn", row.id)] * 4
