"""The canonical calls: submit, bulk, dry run, idempotency, asking, cancelling."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from sqlalchemy.exc import TimeoutError as PoolExhausted

from notifier.access import keys
from notifier.api.schemas.submissions import SubmissionIn
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Delivery, Notification, Submission, User
from notifier.pipeline.intake import expand
from notifier.queries import search
from tests.conftest import Api

SUBMIT = "/api/v1/notifications"
DELIVERY = {
    "id", "channel", "address", "status", "reason", "detail", "due_at", "provider",
    "sent_at", "delivered_at", "opened_at", "clicked_at", "attempts",
}  # fmt: skip


def order(*recipients: Any, **changes: Any) -> dict[str, Any]:
    return {
        "type": "order_shipped",
        "recipients": list(recipients),
        "data": {"order_id": "A123", "tracking_url": "https://example.test/t"},
    } | changes


def by_channel(notification: Any) -> dict[str, Any]:
    return {delivery["channel"]: delivery for delivery in notification["deliveries"]}


def test_every_field_of_the_body_reaches_the_pipeline() -> None:
    body = SubmissionIn.model_validate(
        {
            "type": "like",
            "recipients": ["alice"],
            "data": {"actor": "Bob"},
            "channels": ["email", "inapp", "email"],
            "priority": "low",
            "routing": "escalate",
            "escalate_after": 60,
            "send_at": "2026-01-15T12:00:00Z",
            "expires_in": 3600,
            "collapse_key": "k",
            "sequence": 7,
            "dedupe": False,
            "template": "like@3",
            "push": {"sound": "chime"},
        }
    )
    canonical = body.canonical((InlineRecipient("alice"),), ("key", "digest"))
    translated = {"recipients", "channels", "idempotency_key", "push"}
    assert body.model_fields_set == set(SubmissionIn.model_fields) - {"idempotency_key"}
    same = set(SubmissionIn.model_fields) - translated
    assert {name: getattr(canonical, name) for name in same} == {name: getattr(body, name) for name in same}
    assert (canonical.channels, canonical.is_perishable) == (("email", "inapp"), True)
    assert canonical.push == {"sound": "chime"}
    assert (canonical.recipients, canonical.idempotency) == ((InlineRecipient("alice"),), ("key", "digest"))


def test_a_submission_answers_202_with_its_notifications_and_deliveries(api: Any, cast: Any) -> None:
    response = api.post(SUBMIT, order("alice", "dave"))

    body = response.json
    assert (response.status_code, body["status"], body["id"][:4]) == (202, "accepted", "sub_")
    assert [notification["user"] for notification in body["notifications"]] == ["alice", "dave"]
    alice, dave = map(by_channel, body["notifications"])
    assert all(delivery.keys() == DELIVERY for delivery in alice.values())
    assert {name: (d["status"], d["reason"]) for name, d in alice.items()} == {
        "inapp": ("delivered", None),
        "email": ("queued", None),
        "sms": ("queued", None),
        "push": ("skipped", "no_address"),
    }
    assert (alice["email"]["address"], alice["email"]["detail"], alice["email"]["attempts"]) == (
        "a…@example.test",
        {},
        [],
    )
    assert {name: (d["status"], d["reason"]) for name, d in dave.items()} == {
        "inapp": ("delivered", None),
        "email": ("skipped", "no_address"),
        "sms": ("skipped", "no_address"),
        "push": ("skipped", "no_address"),
    }


def test_the_answer_for_one_person_leads_to_the_page_that_follows_it(api: Any, cast: Any) -> None:
    one, two = api.post(SUBMIT, order("alice")), api.post(SUBMIT, order("alice", "dave"))
    page = f"/admin/notifications/{one.json['notifications'][0]['id']}"
    assert re.fullmatch(rf'<https?://[^/]+{page}>; rel="describedby"; type="text/html"', one.headers["Link"])
    assert "Link" not in two.headers


def test_the_body_of_the_contract_is_accepted_with_all_its_fields(api: Any, cast: Any) -> None:
    person = {
        "id": "u2",
        "email": "b@x.test",
        "phone": "+4915112345671",
        "locale": "de",
        "time_zone": "Europe/Berlin",
        "name": "Ben",
        "attributes": {"plan": "pro"},
        "home_region": "eu",
    }
    body = order(
        "alice",
        person,
        channels=["email", "inapp"],
        priority="high",
        routing="escalate",
        escalate_after=600,
        send_at=(now() + timedelta(days=1)).isoformat(),
        expires_in=3600,
        collapse_key="order-A123",
        sequence=7,
        dedupe=True,
        idempotency_key="k1",
        template="order_shipped@1",
    )

    response = api.post(SUBMIT, body)

    assert response.status_code == 202
    assert {d["status"] for n in response.json["notifications"] for d in n["deliveries"]} == {"waiting"}
    assert api.get("/api/v1/users/u2").json == person


def test_an_integer_id_is_taken_as_its_text(api: Any, cast: Any) -> None:
    api.put("/api/v1/users/42", {"name": "Deep"})

    response = api.post(SUBMIT, order(42, {"id": 43, "name": "New"}))

    assert [notification["user"] for notification in response.json["notifications"]] == ["42", "43"]


def test_a_recipient_named_twice_gets_one_notification(api: Any, cast: Any) -> None:
    assert len(api.post(SUBMIT, order("alice", "alice", {"id": "alice"})).json["notifications"]) == 1


def test_more_than_100_recipients_are_expanded_in_the_background(api: Any, app: APIFlask) -> None:
    response = api.post(SUBMIT, order(*({"id": f"u{n}", "name": "U"} for n in range(101))))
    submission = response.json["id"]

    assert (response.status_code, response.json["notifications"]) == (202, None)
    before = api.get(f"/api/v1/submissions/{submission}").json
    expand.expand(db.session.scalar(sa.select(Submission.id)))
    after = api.get(f"/api/v1/submissions/{submission}").json
    assert (before["recipients"], before["notifications"]) == (101, [])
    assert len(after["notifications"]) == 101
    assert api.get(f"/notify/status/{submission}").json["status"] == "delivered"


# ---- dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_stores_nothing(
    api: Any, cast: Any, count_rows: Callable[[], Any]
) -> None:
    before = count_rows()

    response = api.post(
        f"{SUBMIT}?dry_run=true", order("carol", {"id": "erin", "email": "erin@example.test"}, idempotency_key="k")
    )

    assert response.status_code == 200
    carol, erin = response.json["notifications"]
    assert (carol["user"], {name: (d["status"], d["reason"]) for name, d in by_channel(carol).items()}) == (
        "carol",
        {
            "inapp": ("skipped", "opted_out"),
            "email": ("skipped", "opted_out"),
            "sms": ("skipped", "opted_out"),
            "push": ("skipped", "no_address"),
        },
    )
    assert (carol["rendered"], erin["rendered"].keys()) == ({}, {"inapp", "email"})
    assert "A123" in erin["rendered"]["email"]["subject"]
    assert erin["rendered"]["email"].keys() >= {"subject", "text", "html"}
    assert {
        line.keys() == {"rule", "channel", "outcome", "reason", "detail", "sentence"} for line in erin["trace"]
    } == {True}
    assert count_rows() == before


# ---- idempotency ----------------------------------------------------------------------------------------------------

HEADERS = [{"Idempotency-Key": "k-1"}, {"Idempotency-Key": '"k-1"'}]


@pytest.mark.parametrize("again", HEADERS)
@pytest.mark.parametrize("first", HEADERS)
def test_the_same_key_and_body_get_the_first_answer_again(
    api: Any, cast: Any, count_rows: Callable[[], Any], first: dict[str, str], again: dict[str, str]
) -> None:
    one = api.post(SUBMIT, order("alice"), headers=first)
    before = count_rows()

    two = api.post(SUBMIT, dict(reversed(order("alice").items())), headers=again)

    assert (two.status_code, two.json, two.headers["Idempotency-Replayed"]) == (202, one.json, "true")
    assert "Idempotency-Replayed" not in one.headers
    assert count_rows() == before


def test_the_field_is_the_twin_of_the_header(api: Any, cast: Any) -> None:
    one = api.post(SUBMIT, order("alice", idempotency_key="k-1"))
    two = api.post(SUBMIT, order("alice"), headers={"Idempotency-Key": "k-1"})
    both = api.post(SUBMIT, order("alice", idempotency_key="k-1"), headers={"Idempotency-Key": "k-1"})

    assert two.json == both.json == one.json


def test_a_header_and_a_field_that_differ_are_refused(api: Any, cast: Any) -> None:
    response = api.post(SUBMIT, order("alice", idempotency_key="k-1"), headers={"Idempotency-Key": "k-2"})

    assert [fault["code"] for fault in response.json["errors"]] == ["idempotency_keys_differ"]


def test_the_same_key_with_another_body_is_a_422(api: Any, cast: Any, count_rows: Callable[[], Any]) -> None:
    api.post(SUBMIT, order("alice"), headers={"Idempotency-Key": "k-1"})
    before = count_rows()

    response = api.post(SUBMIT, order("bob"), headers={"Idempotency-Key": "k-1"})

    assert (response.status_code, response.json["code"]) == (422, "idempotency_mismatch")
    assert count_rows() == before


def test_eight_at_once_with_one_key_are_one_submission(api: Any, cast: Any, app: APIFlask) -> None:
    answers: list[Any] = []
    start = threading.Barrier(8)

    def call() -> None:
        start.wait()
        with app.app_context():
            response = app.test_client().post(
                SUBMIT, json=order("alice"), headers={"Authorization": f"Bearer {api.key}", "Idempotency-Key": "k-1"}
            )
        answers.append((response.status_code, response.json["id"]))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 8
    assert {status for status, _ in answers} == {202}
    assert len({key for _, key in answers}) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1


# ---- bulk -----------------------------------------------------------------------------------------------------------


def test_in_a_bulk_call_each_is_judged_alone(api: Any, cast: Any) -> None:
    items = [
        order("alice"),
        order("nobody"),
        order("bob", colour="red"),
        order("alice", data={"order_id": "\ud800"}),
        5,
        order("bob", "carol"),
        order("alice", type="order_lost"),
        order("alice", routing="first", escalate_after=60),
    ]

    response = api.post(f"{SUBMIT}/bulk", {"notifications": items})

    results = response.json["results"]
    assert (response.status_code, [result["index"] for result in results]) == (202, list(range(8)))
    assert {index: len(result["notifications"]) for index, result in enumerate(results) if "error" not in result} == {
        0: 1,
        5: 2,
    }
    assert {
        index: (r["error"]["status"], r["error"]["code"], r["error"]["errors"][0]["pointer"])
        for index, r in enumerate(results)
        if "error" in r
    } == {
        1: (422, "unknown_user", "/notifications/1/recipients/0"),
        2: (422, "validation_failed", "/notifications/2/colour"),
        3: (422, "validation_failed", "/notifications/3/data/order_id"),
        4: (422, "validation_failed", "/notifications/4"),
        6: (422, "unknown_type", "/notifications/6/type"),
        7: (422, "validation_failed", "/notifications/7/escalate_after"),
    }
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Submission)) == 2


def test_a_bulk_item_may_be_larger_than_one_batch(api: Any, app: APIFlask) -> None:
    crowds = [order(*({"id": f"u{n}", "name": "U"} for n in range(start, start + 60))) for start in range(0, 1200, 60)]

    response = api.post(f"{SUBMIT}/bulk", {"notifications": crowds})

    assert [len(result["notifications"]) for result in response.json["results"]] == [60] * 20
    assert db.session.scalar(sa.select(sa.func.count()).select_from(User)) == 1200


def test_once_some_are_stored_a_bulk_call_says_so_whatever_happens_then(api: Any, app: APIFlask) -> None:
    crowds = [order(*[{"id": f"u{start + i}", "name": "U"} for i in range(600)]) for start in (0, 600)]
    committed = []

    def no_connection(_: Any) -> None:
        if committed:
            raise PoolExhausted

    listeners = (("commit", committed.append), ("begin", no_connection))
    with time_machine.travel(now(), tick=False):
        api.get("/api/v1/types")  # has written when the key was used: that is not written again this minute
        for listener in listeners:
            sa.event.listen(db.engine, *listener)
        try:
            response = api.post(f"{SUBMIT}/bulk", {"notifications": crowds})
        finally:
            for listener in listeners:
                sa.event.remove(db.engine, *listener)
    first, second = response.json["results"]
    assert (response.status_code, first["id"][:4]) == (202, "sub_")
    assert (second["index"], second["error"]["status"], second["error"]["code"]) == (1, 503, "unavailable")


def test_idempotency_keys_work_inside_bulk_items(api: Any, cast: Any) -> None:
    one = api.post(SUBMIT, order("alice", idempotency_key="k-1")).json
    items = [
        order("alice", idempotency_key="k-1"),
        order("bob", idempotency_key="k-1"),
        order("bob", idempotency_key="k-2"),
        order("bob", idempotency_key="k-2"),
    ]

    results = api.post(f"{SUBMIT}/bulk", {"notifications": items}).json["results"]

    assert results[0]["id"] == one["id"]
    assert results[1]["error"]["code"] == "idempotency_mismatch"
    assert results[2]["id"] == results[3]["id"] != one["id"]


def test_a_bulk_call_repeated_with_its_key_gets_the_same_ids(
    api: Any, cast: Any, count_rows: Callable[[], Any]
) -> None:
    body, headers = {"notifications": [order("alice"), order("nobody"), order("bob")]}, {"Idempotency-Key": "batch-7"}
    one = api.post(f"{SUBMIT}/bulk", body, headers=headers)
    before = count_rows()

    two = api.post(f"{SUBMIT}/bulk", body, headers=headers)

    ids = [[result.get("id") for result in response.json["results"]] for response in (one, two)]
    assert ids[0] == ids[1]
    assert count_rows() == before


# ---- asking and cancelling ------------------------------------------------------------------------------------------


def test_a_notification_tells_its_story(api: Any, cast: Any) -> None:
    accepted = api.post(SUBMIT, order("alice")).json

    body = api.get(f"{SUBMIT}/{accepted['notifications'][0]['id']}").json

    assert body.keys() >= {
        "id",
        "submission",
        "user",
        "type",
        "priority",
        "data",
        "created_at",
        "send_at",
        "expires_at",
        "deliveries",
        "receipts",
    }
    assert (body["submission"], body["user"], body["type"], body["priority"]) == (
        accepted["id"],
        "alice",
        "order_shipped",
        "high",
    )
    assert body["data"] == order()["data"]
    assert body["deliveries"] == accepted["notifications"][0]["deliveries"]


def test_a_notification_tells_how_it_was_decided_and_what_followed(api: Any, cast: Any) -> None:
    accepted = api.post(SUBMIT, order("carol", "alice", channels=["inapp", "sms"])).json
    carol, alice = (
        api.get(f"{SUBMIT}/{notification['id']}").json["decision"] for notification in accepted["notifications"]
    )
    assert [(line["rule"], line["channel"], line["outcome"], line["reason"]) for line in carol] == [
        ("preference", "inapp", "skip", "opted_out"),
        ("preference", "sms", "skip", "opted_out"),
    ]
    assert carol[0] == {
        "rule": "preference",
        "channel": "inapp",
        "outcome": "skip",
        "reason": "opted_out",
        "detail": {"because": "channel"},
        "sentence": "This channel was switched off.",
    }
    assert [line["sentence"] for line in alice if line["channel"] == "inapp"] == [
        "This channel was switched on.",
        "It goes out at once.",
        "It was delivered.",
    ]
    assert [line["sentence"] for line in alice if line["rule"] == "delivery"] == [
        "It was delivered.",
        "It is about to be sent.",
    ]


def test_a_filtered_page_looks_at_so_many_and_leads_on(api: Any, cast: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "WINDOW", 2)
    api.post(SUBMIT, {"type": "like", "recipients": ["bob"], "data": {"actor": "Eve"}})
    for _ in range(4):
        api.post(SUBMIT, order("alice", dedupe=False))
    pages, after = [], ""
    while after is not None:
        page = api.get(f"{SUBMIT}?type=like{after and '&after='}{after}").json
        pages.append([notification["user"] for notification in page["data"]])
        after = page["next"]
    assert pages == [[], [], ["bob"]]


def test_lists_are_filtered_and_paged_newest_first(api: Any, cast: Any) -> None:
    for user in ("alice", "bob", "alice", "carol", "alice"):
        api.post(SUBMIT, order(user, dedupe=False))
    api.post(SUBMIT, {"type": "like", "recipients": ["bob"], "data": {"actor": "Eve"}})

    def listed(query: str) -> list[str]:
        return [notification["user"] for notification in api.get(f"{SUBMIT}?{query}").json["data"]]

    assert listed("") == ["bob", "alice", "carol", "alice", "bob", "alice"]
    assert listed("user=alice,carol") == ["alice", "carol", "alice", "alice"]
    assert listed("type=like") == ["bob"]
    assert listed("channel=inapp&status=delivered") == ["bob", "alice", "alice", "bob", "alice"]
    assert listed("status=skipped&channel=inapp") == ["carol"]
    seen, query = [], "limit=4"
    while True:
        page = api.get(f"{SUBMIT}?{query}").json
        seen += [notification["user"] for notification in page["data"]]
        if page["next"] is None:
            break
        query = f"limit=4&after={page['next']}"
    assert seen == listed("")


def test_what_has_not_gone_out_can_be_cancelled_once(api: Any, cast: Any) -> None:
    later = (now() + timedelta(hours=2)).isoformat()
    notification = api.post(SUBMIT, order("alice", send_at=later)).json["notifications"][0]["id"]

    first, second = api.post(f"{SUBMIT}/{notification}/cancel"), api.post(f"{SUBMIT}/{notification}/cancel")

    assert first.status_code == 200
    assert {(d["status"], d["reason"]) for d in first.json["deliveries"] if d["channel"] != "push"} == {
        ("cancelled", "cancelled")
    }
    assert (second.status_code, second.json["code"]) == (409, "nothing_to_cancel")
    assert set(db.session.scalars(sa.select(Delivery.status))) == {"cancelled", "skipped"}


def test_a_repeat_is_accepted_and_names_the_earlier_one(api: Any, cast: Any) -> None:
    body = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "dedupe": True}
    first, second = (api.post(SUBMIT, body) for _ in range(2))
    [earlier], [repeat] = first.json["notifications"], second.json["notifications"]

    assert (first.status_code, second.status_code) == (202, 202)
    told = {(d["status"], d["reason"], d["detail"].get("duplicate_of")) for d in repeat["deliveries"]}
    assert told == {("skipped", "duplicate", earlier["id"])}
    shown = api.get(f"{SUBMIT}/{repeat['id']}").json["deliveries"]
    assert {d["detail"]["duplicate_of"] for d in shown} == {earlier["id"]}


def test_what_is_over_a_cap_is_accepted_and_says_which(api: Any, cast: Any) -> None:
    api.patch("/api/v1/users/alice/preferences", {"caps": {"marketing": {"day": 1, "channels": {"email": {"day": 0}}}}})
    offers = [
        {
            "type": "promotional_offer",
            "recipients": ["alice"],
            "channels": ["inapp", "email"],
            "data": {"title": f"Offer {n}"},
        }
        for n in range(2)
    ]
    answers = [api.post(SUBMIT, body).json["notifications"][0]["deliveries"] for body in offers]

    day = {"per": "day", "category": "marketing"}
    assert [[(d["channel"], d["reason"], d["detail"].get("cap")) for d in deliveries] for deliveries in answers] == [
        [("inapp", None, None), ("email", "frequency_cap", {"max": 0, "channel": "email", **day})],
        [(name, "frequency_cap", {"max": 1, **day}) for name in ("inapp", "email")],
    ]


TAKING_OVER = {
    "one": ("/api/v1/notifications", lambda body: body),
    "bulk": ("/api/v1/notifications/bulk", lambda body: {"notifications": [body, body]}),
    "a schedule": ("/api/v1/schedules", lambda body: {"cron": "0 8 * * *", "notification": body}),
    "a rehearsal": ("/api/v1/notifications?dry_run=true", lambda body: body),
}


@pytest.mark.parametrize("door", TAKING_OVER)
def test_a_key_that_may_only_notify_changes_nobody_by_what_it_gives_inline(api: Any, cast: Any, door: str) -> None:
    shop = Api(api.client, keys.create_key(keys.create_producer("Other").id, scopes=("notify", "read", "urgent"))[1])
    path, body_of = TAKING_OVER[door]
    before = [api.get(f"/api/v1/users/alice{part}").json for part in ("", "/addresses", "/preferences")]
    given = {
        "id": "alice",
        "email": "evil@example.test",
        "phone": "+4915199999999",
        "name": "Eve",
        "locale": "de",
        "time_zone": "Asia/Tokyo",
    }
    body = {"type": "order_shipped", "data": {"order_id": "A1"}, "recipients": [given]}
    assert shop.post(path, body_of(body)).status_code < 300
    assert [api.get(f"/api/v1/users/alice{part}").json for part in ("", "/addresses", "/preferences")] == before


def test_what_the_product_says_itself_no_producer_can_say(api: Any, cast: Any) -> None:
    """Every admin would believe it."""
    alarm = {"type": "delivery_failure", "recipients": ["alice"], "data": {"channel": "email", "failed": 3}}
    refused = api.post(SUBMIT, alarm)
    in_its_words = api.post(
        SUBMIT,
        {
            "type": "fraud_alert",
            "recipients": ["alice"],
            "data": {"order_id": "A1", "reason": "x"},
            "template": "delivery_failure",
        },
    )
    by_a_schedule = api.post("/api/v1/schedules", {"cron": "0 9 * * *", "time_zone": "UTC", "notification": alarm})
    assert (refused.status_code, refused.json["code"]) == (403, "type_not_allowed")
    assert (in_its_words.status_code, in_its_words.json["errors"][0]["code"]) == (422, "unknown_template")
    assert by_a_schedule.status_code in (403, 422)
