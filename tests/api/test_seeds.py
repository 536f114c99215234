"""The seven calls of the design papers, with the papers' own examples, bodies and answers."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.api.schemas.seeds import snake_case
from notifier.ground.clock import now

NOTIFICATION_ID = re.compile(r"ntf_[0-9a-f]{32}\Z")


@pytest.fixture
def people(api: Any) -> Any:
    """The users that the papers' examples name, and two of the fourth paper's, whose ids are integers."""
    for user in ("123", "uuid", "1", "2"):
        api.put(f"/api/v1/users/{user}", {"email": f"u{user}@example.test", "phone": f"+49151123450{len(user)}0"})
    return api


def story(api: Any, notification_id: str) -> dict[str, Any]:
    return dict(api.get(f"/api/v1/notifications/{notification_id}").json)


# ---- POST /notify ---------------------------------------------------------------------------------------------------

NOTIFY = {"userId": "123", "type": "EMAIL", "template": "ORDER_SHIPPED", "data": {"orderId": "A123"}}


def test_notify_with_the_example_of_the_paper(people: Any) -> None:
    response = people.post("/notify", NOTIFY)

    assert (response.status_code, response.json.keys(), response.json["status"]) == (202, {"id", "status"}, "queued")
    assert NOTIFICATION_ID.match(response.json["id"])
    stored = story(people, response.json["id"])
    assert (stored["user"], stored["type"], stored["data"]) == ("123", "order_shipped", {"order_id": "A123"})
    assert [(d["channel"], d["status"]) for d in stored["deliveries"]] == [("email", "queued")]


@pytest.mark.parametrize(
    ("word", "channel"),
    [
        ("EMAIL", "email"),
        ("SMS", "sms"),
        ("PUSH", "push"),
        ("INAPP", "inapp"),
        ("in_app", "inapp"),
        ("IN_APP", "inapp"),
    ],
)
def test_notify_takes_the_type_for_the_channel(people: Any, word: str, channel: str) -> None:
    response = people.post("/notify", NOTIFY | {"type": word})

    assert [d["channel"] for d in story(people, response.json["id"])["deliveries"]] == [channel]


def test_notify_takes_snake_case_and_integers_and_needs_no_type(people: Any) -> None:
    response = people.post("/notify", {"user_id": 123, "template": "order_shipped", "data": {"order_id": "A123"}})

    stored = story(people, response.json["id"])
    assert (stored["user"], {d["channel"] for d in stored["deliveries"]}) == ("123", {"inapp", "email", "push", "sms"})


def test_notify_honours_the_idempotency_key_header(people: Any) -> None:
    one, two = (people.post("/notify", NOTIFY, headers={"Idempotency-Key": "n-1"}) for _ in range(2))

    assert (two.json, two.headers["Idempotency-Replayed"]) == (one.json, "true")


BAD_NOTIFY: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "an unknown user": (NOTIFY | {"userId": "999"}, {("/userId", "unknown_user")}),
    "an unknown template": (NOTIFY | {"template": "ORDER_LOST"}, {("/template", "unknown_type")}),
    "an unknown channel": (NOTIFY | {"type": "PIGEON"}, {("/type", "unknown_channel")}),
    "data that lack something": (NOTIFY | {"data": {}}, {("/data/order_id", "missing")}),
    "data of a wrong type": (NOTIFY | {"data": {"orderId": []}}, {("/data/orderId", "type")}),
    "no user": ({"template": "ORDER_SHIPPED", "data": {"orderId": "A"}}, {("/userId", "missing")}),
    "two users": (NOTIFY | {"user_id": "123"}, {("/userId", "ambiguous")}),
    "an unknown field": (NOTIFY | {"colour": 1}, {("/colour", "unknown_field")}),
    "NUL in the data": (NOTIFY | {"data": {"orderId": "\x00"}}, {("/data/orderId", "unstorable_text")}),
}


@pytest.mark.parametrize("case", BAD_NOTIFY)
def test_a_bad_notify_is_named_in_its_own_words_and_stores_nothing(people: Any, count_rows: Any, case: str) -> None:
    body, faults = BAD_NOTIFY[case]
    before = count_rows()

    response = people.post("/notify", body)

    assert (response.status_code, {(f["pointer"], f["code"]) for f in response.json["errors"]}) == (422, faults)
    assert response.content_type == "application/problem+json"
    assert count_rows() == before


# ---- POST /notify/bulk ----------------------------------------------------------------------------------------------


def test_notify_bulk_answers_as_bulk_does(people: Any) -> None:
    response = people.post(
        "/notify/bulk", {"notifications": [NOTIFY, NOTIFY | {"userId": "999"}, NOTIFY | {"userId": "uuid"}]}
    )

    results = response.json["results"]
    assert (response.status_code, [result["index"] for result in results]) == (202, [0, 1, 2])
    assert [result["id"][:4] for result in (results[0], results[2])] == ["sub_", "sub_"]
    assert all(NOTIFICATION_ID.match(key) for result in (results[0], results[2]) for key in result["notifications"])
    assert (results[1]["error"]["code"], results[1]["error"]["errors"][0]["pointer"]) == (
        "unknown_user",
        "/notifications/1/userId",
    )


def test_a_dry_run_decides_all_together(people: Any) -> None:
    """As the real call does: the third is one more than a person gets of marketing in an hour."""
    offers = [
        {"userId": "123", "type": "INAPP", "template": "promotional_offer", "data": {"title": f"Offer {number}"}}
        for number in range(3)
    ]
    results = people.post("/notify/bulk?dry_run=true", {"notifications": offers}).json["results"]
    planned = [result["notifications"][0]["deliveries"][0] for result in results]
    assert [(one["status"], one["reason"]) for one in planned] == [
        ("queued", None),
        ("queued", None),
        ("skipped", "frequency_cap"),
    ]


# ---- GET /notify/status/{id} ----------------------------------------------------------------------------------------


def test_the_status_is_the_furthest_any_delivery_got(people: Any) -> None:
    queued = people.post("/notify", NOTIFY).json["id"]
    shown = people.post("/notify", NOTIFY | {"type": "INAPP"}).json["id"]
    whole = story(people, shown)["submission"]

    assert people.get(f"/notify/status/{queued}").json == {
        "id": queued,
        "status": "queued",
        "deliveries": story(people, queued)["deliveries"],
    }
    assert people.get(f"/notify/status/{shown}").json["status"] == "delivered"
    assert people.get(f"/notify/status/{whole}").json == {
        "id": whole,
        "status": "delivered",
        "deliveries": story(people, shown)["deliveries"],
    }
    assert people.get("/notify/status/ntf_" + "0" * 32).status_code == 404
    assert people.get("/notify/status/123").status_code == 404


# ---- GET /user/preferences/{userId} ---------------------------------------------------------------------------------


def test_preferences_are_shown_in_the_third_papers_words_too(people: Any) -> None:
    people.put(
        "/api/v1/users/123/preferences",
        {
            "channels": {"sms": True, "email": False},
            "types": {"newsletter": False, "like": {"email": True}},
            "quiet_hours": {"start": "22:00", "end": "07:00"},
        },
    )

    response = people.get("/user/preferences/123")

    canonical = people.get("/api/v1/users/123/preferences").json
    assert response.status_code == 200
    assert response.json == canonical | {
        "allowed_channels": [
            *("inapp", "sms", "push", "webpush", "webhook", "slack", "teams", "discord", "telegram", "apprise")
        ],
        "blocked_types": ["newsletter"],
        "mute_start": "22:00",
        "mute_end": "07:00",
    }
    assert people.get("/user/preferences/999").status_code == 404


# ---- POST /notifications/trigger ------------------------------------------------------------------------------------

TRIGGER = {
    "eventType": "ORDER_SHIPPED",
    "userId": "uuid",
    "metadata": {"orderId": "ORD123", "trackingUrl": "https://track.com/ORD123"},
}


def test_trigger_with_the_example_of_the_paper(people: Any) -> None:
    response = people.post("/notifications/trigger", TRIGGER)

    assert (response.status_code, response.json.keys(), response.json["status"]) == (202, {"id", "status"}, "queued")
    stored = story(people, response.json["id"])
    assert (stored["user"], stored["type"], stored["data"]) == (
        "uuid",
        "order_shipped",
        {"order_id": "ORD123", "tracking_url": "https://track.com/ORD123"},
    )


def test_the_event_id_is_the_idempotency_key(people: Any) -> None:
    one, two = (people.post("/notifications/trigger", TRIGGER | {"eventId": "e-1"}) for _ in range(2))
    other = people.post("/notifications/trigger", TRIGGER | {"eventId": "e-1", "userId": "123"})

    assert (two.json, two.headers["Idempotency-Replayed"]) == (one.json, "true")
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")


def test_a_bad_trigger_is_named_in_its_own_words(people: Any) -> None:
    def faults(**changes: Any) -> list[tuple[str, str]]:
        return [
            (f["pointer"], f["code"]) for f in people.post("/notifications/trigger", TRIGGER | changes).json["errors"]
        ]

    assert faults(userId="999") == [("/userId", "unknown_user")]
    assert faults(eventType="ORDER_LOST") == [("/eventType", "unknown_type")]
    assert faults(metadata={"orderId": {}}) == [("/metadata/orderId", "type")]
    assert faults(metadata={}) == [("/metadata/order_id", "missing")]


# ---- POST /notifications/preferences --------------------------------------------------------------------------------

CHOICE = {"userId": "uuid", "eventType": "ORDER_CANCELLED", "channel": "SMS", "enabled": False}


def test_a_choice_with_the_example_of_the_paper(people: Any) -> None:
    response = people.post("/notifications/preferences", CHOICE)

    assert (response.status_code, response.json["types"]) == (200, {"order_cancelled": {"sms": False}})
    assert response.json == people.get("/api/v1/users/uuid/preferences").json


def test_a_choice_holds(people: Any) -> None:
    people.post(
        "/notifications/preferences",
        {"userId": "uuid", "eventType": "ORDER_SHIPPED", "channel": "EMAIL", "enabled": False},
    )

    stored = story(people, people.post("/notifications/trigger", TRIGGER).json["id"])

    assert {d["channel"]: (d["status"], d["reason"]) for d in stored["deliveries"]}["email"] == ("skipped", "opted_out")


def test_a_bad_choice_is_named_in_its_own_words(people: Any) -> None:
    def faults(**changes: Any) -> list[tuple[str, str]]:
        response = people.post("/notifications/preferences", CHOICE | changes)
        assert response.status_code == 422
        return [(f["pointer"], f["code"]) for f in response.json["errors"]]

    assert faults(userId="999") == [("/userId", "unknown_user")]
    assert faults(eventType="ORDER_LOST") == [("/eventType", "unknown_type")]
    assert faults(channel="PIGEON") == [("/channel", "unknown_channel")]
    assert faults(enabled="no") == [("/enabled", "wrong_type")]


# ---- POST /notifications/send ---------------------------------------------------------------------------------------

SEND = {
    "user_ids": [1, 2],
    "notification_type": "transactional",
    "priority": "high",
    "channels": ["push", "email", "sms", "in_app"],
    "template_id": "order_shipped",
    "variables": {"orderId": "A1"},
    "scheduled_time": None,
    "ttl": 86400,
}


def test_send_takes_the_fourth_papers_request(people: Any) -> None:
    response = people.post("/notifications/send", SEND)

    assert response.status_code == 202
    assert (response.json["status"], response.json["count"], len(response.json["notification_ids"])) == ("queued", 2, 2)
    stories = [story(people, key) for key in response.json["notification_ids"]]
    assert [stored["user"] for stored in stories] == ["1", "2"]
    assert {d["channel"] for d in stories[0]["deliveries"]} == {"push", "email", "sms", "inapp"}
    assert stories[0]["data"] == {"order_id": "A1"}


def test_send_at_a_unix_time_waits_until_then(people: Any) -> None:
    at = int(time.time()) + 7200
    later = people.post("/notifications/send", SEND | {"scheduled_time": at, "ttl": 60}).json["notification_ids"][0]
    past = people.post("/notifications/send", SEND | {"scheduled_time": 1_500_000_000}).json["notification_ids"][0]

    stored = story(people, later)
    assert datetime.fromisoformat(stored["send_at"]) == datetime.fromtimestamp(at, UTC)
    assert datetime.fromisoformat(stored["expires_at"]) == datetime.fromtimestamp(at + 60, UTC)
    assert {d["status"] for d in stored["deliveries"]} <= {"waiting", "skipped"}
    assert story(people, past)["send_at"] is None


def test_send_to_more_than_100_is_expanded_in_the_background(api: Any) -> None:
    everybody = [{"id": f"u{n}", "name": "U"} for n in range(101)]
    api.post(
        "/api/v1/notifications/bulk",
        {"notifications": [{"type": "like", "recipients": everybody, "data": {"actor": "Eve"}}]},
    )

    response = api.post("/notifications/send", SEND | {"user_ids": [f"u{n}" for n in range(101)]})

    assert (response.status_code, response.json["count"], response.json["notification_ids"]) == (202, 101, None)
    assert api.get(f"/api/v1/submissions/{response.json['submission']}").json["recipients"] == 101


BAD_SEND: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "another category": ({"notification_type": "marketing"}, {("/notification_type", "category_mismatch")}),
    "an unknown user": ({"user_ids": [1, 99]}, {("/user_ids/1", "unknown_user")}),
    "an unknown template": ({"template_id": "order_lost"}, {("/template_id", "unknown_type")}),
    "an unknown channel": ({"channels": ["email", "pigeon"]}, {("/channels/1", "unknown_channel")}),
    "a time to live of ages": ({"ttl": 10**10}, {("/ttl", "too_large")}),
    "a time beyond a year": ({"scheduled_time": 4_102_444_800}, {("/scheduled_time", "too_far_ahead")}),
    "a time that is text": ({"scheduled_time": "tomorrow"}, {("/scheduled_time", "wrong_type")}),
    "a time beyond every calendar": ({"scheduled_time": 10**18}, {("/scheduled_time", "too_large")}),
    "variables of a wrong type": ({"variables": {"orderId": 5}}, {("/variables/orderId", "type")}),
    "nobody": ({"user_ids": []}, {("/user_ids", "too_short")}),
    "a user that is a fraction": ({"user_ids": [1.5]}, {("/user_ids/0", "invalid_user_id")}),
}


@pytest.mark.parametrize("case", BAD_SEND)
def test_a_bad_send_is_named_in_its_own_words_and_stores_nothing(people: Any, count_rows: Any, case: str) -> None:
    changes, faults = BAD_SEND[case]
    before = count_rows()

    response = people.post("/notifications/send", SEND | changes)

    assert (response.status_code, {(f["pointer"], f["code"]) for f in response.json["errors"]}) == (422, faults)
    assert count_rows() == before


# ---- words ----------------------------------------------------------------------------------------------------------

CASES = [
    ({"orderId": 1}, {"order_id": 1}),
    ({"trackingURL": 1, "orderID2": 2, "aB": 3}, {"tracking_url": 1, "order_id2": 2, "a_b": 3}),
    ({"order": {"lineItems": [{"unitPrice": 1}]}}, {"order": {"line_items": [{"unit_price": 1}]}}),
    ({"A123": 1, "SKU": 2, "Title": 3, "some key": 4, "": 5}, {"A123": 1, "SKU": 2, "Title": 3, "some key": 4, "": 5}),
    ({"orderId": 1, "order_id": 2}, {"order_id": 2}),
]


@pytest.mark.parametrize(("given", "expected"), CASES)
def test_camel_case_keys_become_snake_case_at_every_depth(given: Any, expected: Any) -> None:
    assert snake_case(given) == expected


def test_a_long_key_is_read_in_time_with_its_length() -> None:
    begun, key = time.process_time(), "a" + "A" * 100_000 + "-"
    assert snake_case({key: 1}) == {key: 1}
    assert time.process_time() - begun < 5


def test_the_canonical_call_leaves_keys_as_they_are(people: Any) -> None:
    body = {
        "type": "order_shipped",
        "recipients": ["123"],
        "data": {"order_id": "A", "myField": 1},
        "send_at": (now() + timedelta(hours=1)).isoformat(),
    }

    notification = people.post("/api/v1/notifications", body).json["notifications"][0]

    assert story(people, notification["id"])["data"] == {"order_id": "A", "myField": 1}
