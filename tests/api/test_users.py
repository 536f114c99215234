"""Users, addresses, export, erasure and inbox tokens."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook

from notifier.access import accounts, keys, sessions
from notifier.api.schemas.submissions import Recipient
from notifier.api.schemas.users import UserIn, UserOut
from notifier.channels.addresses import digest_of
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.ledgers import audit
from notifier.models import Address, AuditEntry, ConsentEvent, Delivery, Notification, Suppression, User
from notifier.people import consent, preferences, profiles, upload_reading
from notifier.people.person import GIVEN
from notifier.people.profiles import FIELDS
from notifier.pipeline.delivery.deliver import deliver
from notifier.queries import valid_tokens
from tests.channels.pushing import Browser
from tests.conftest import Api
from tests.stored import rows

ERIN = {
    "name": "Erin",
    "email": "erin@example.test",
    "phone": "+4915112345672",
    "locale": "pt-BR",
    "time_zone": "America/Sao_Paulo",
    "attributes": {"plan": "pro", "seats": 5},
    "home_region": "sa",
}
USER = "/api/v1/users/erin"


def key_with(api: Api, *scopes: str) -> Api:
    """Another producer's key, with these scopes."""
    return Api(api.client, keys.create_key(keys.create_producer("Other").id, scopes=scopes)[1])


def test_put_creates_then_replaces_the_whole_profile(api: Any) -> None:
    created = api.put(USER, ERIN)
    replaced = api.put(USER, {"name": "Erin B.", "email": "erin.b@example.test"})

    assert (created.status_code, created.json) == (201, {"id": "erin"} | ERIN)
    assert (replaced.status_code, replaced.json) == (
        200,
        {
            "id": "erin",
            "name": "Erin B.",
            "email": "erin.b@example.test",
            "phone": None,
            "locale": None,
            "time_zone": None,
            "attributes": {},
            "home_region": None,
        },
    )


@pytest.mark.parametrize("call", ["put", "patch"])
def test_the_same_address_again_is_switched_on_again(call: str, api: Any) -> None:
    api.put(USER, ERIN)
    with transaction() as session:
        dead = {"disabled_at": now(), "disabled_reason": "5.1.1"}
        session.execute(sa.update(Address).where(Address.channel == "email").values(**dead))

    assert getattr(api, call)(USER, ERIN).status_code == 200

    [address, *_] = [one for one in api.get(f"{USER}/addresses").json["data"] if one["channel"] == "email"]
    assert (address["disabled_at"], address["disabled_reason"]) == (None, None)


def test_an_answer_can_be_sent_back(api: Any) -> None:
    answer = api.put(USER, ERIN).json

    assert api.put(USER, answer).json == answer


def test_patch_changes_what_is_given_and_null_clears(api: Any) -> None:
    api.put(USER, ERIN)

    response = api.patch(USER, {"locale": "de", "phone": None})

    assert (response.status_code, response.json) == (200, {"id": "erin"} | ERIN | {"locale": "de", "phone": None})
    assert api.patch("/api/v1/users/nobody", {"locale": "de"}).status_code == 404


@pytest.mark.parametrize(("old", "new"), [(1, True), (False, 0), ([{"a": True}], [{"a": 1}])])
def test_an_attribute_becomes_another_value_that_python_takes_for_the_same(api: Any, old: Any, new: Any) -> None:
    api.put(USER, ERIN | {"attributes": {"vip": old}})

    for changed in (api.patch(USER, {"attributes": {"vip": new}}), api.get(USER)):
        assert json.dumps(changed.json["attributes"]) == json.dumps({"vip": new})


def test_addresses_are_stored_encrypted(api: Any) -> None:
    api.put(USER, ERIN)

    raw = db.session.execute(sa.text("SELECT value FROM address")).scalars().all()

    assert len(raw) == 2
    assert not any(b"erin" in bytes(value) or b"4915" in bytes(value) for value in raw)


def test_addresses_are_added_listed_and_removed(api: Any) -> None:
    api.put(USER, ERIN)

    added = api.post(f"{USER}/addresses", {"channel": "email", "value": "Second@Example.TEST", "label": "work"})
    again = api.post(f"{USER}/addresses", {"channel": "email", "value": "Second@example.test"})
    listed = api.get(f"{USER}/addresses").json

    assert (added.status_code, again.status_code, again.json["id"]) == (201, 200, added.json["id"])
    assert added.json.keys() >= {"id", "channel", "value", "label", "verified_at", "disabled_at", "disabled_reason"}
    assert (
        added.json["channel"],
        added.json["label"],
        added.json["verified_at"] is not None,
        added.json["disabled_at"],
    ) == ("email", "work", True, None)
    assert ([a["channel"] for a in listed["data"]], listed["next"]) == (["email", "sms", "email"], None)
    assert api.delete(f"{USER}/addresses/{added.json['id']}").status_code == 204
    assert api.delete(f"{USER}/addresses/{added.json['id']}").status_code == 404
    assert len(api.get(f"{USER}/addresses").json["data"]) == 2


DEVICE = Browser("https://push.example/ann").subscription
PHONE = {"channel": "push", "value": "fGx0m3Rk7dE:APA91bHPRgkF3"}


def test_a_phone_says_its_platform_and_app(api: Any) -> None:
    api.put(USER, {})

    def told(answer: Any) -> tuple[int, str | None, str | None]:
        return answer.status_code, answer.json["platform"], answer.json["app"]

    phones = f"{USER}/addresses"
    assert told(api.post(phones, PHONE)) == (201, None, None)
    assert told(api.post(phones, {**PHONE, "platform": "ios", "app": "com.example.shop"})) == (
        200,
        "ios",
        "com.example.shop",
    )
    assert told(api.post(phones, PHONE)) == (200, "ios", "com.example.shop")
    assert told(api.post(phones, {**PHONE, "platform": "android"})) == (200, "android", "com.example.shop")
    [listed] = api.get(phones).json["data"]
    assert (listed["platform"], listed["app"]) == ("android", "com.example.shop")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({**PHONE, "platform": "symbian"}, ["/platform"]),
        ({**PHONE, "app": "a/../b"}, ["/app"]),
        ({"channel": "email", "value": "a@x.test", "platform": "ios", "app": "a"}, ["/platform", "/app"]),
        ({"channel": "webpush", "value": DEVICE, "platform": "ios"}, ["/platform"]),
    ],
)
def test_what_is_no_phone_has_no_platform(api: Any, body: dict[str, str], pointers: list[str]) -> None:
    api.put(USER, {})
    answer = api.post(f"{USER}/addresses", body)
    assert (answer.status_code, [fault["pointer"] for fault in answer.json["errors"]]) == (422, pointers)


ADDRESS = {"channel": "email", "value": "erin@example.test"}
VOUCHING = [
    ("PUT", USER, {"email": "erin@example.test"}),
    ("PATCH", USER, {"email": "erin@example.test"}),
    ("POST", f"{USER}/addresses", ADDRESS),
]


@pytest.mark.parametrize(("method", "path", "body"), VOUCHING, ids=["put", "patch", "post"])
def test_only_an_admins_key_can_say_that_an_address_is_the_persons_own(
    api: Any, method: str, path: str, body: dict[str, Any]
) -> None:
    api.put(USER, {})
    shop = key_with(api, "users")

    def confirmed() -> list[bool]:
        return [address["confirmed_at"] is not None for address in api.get(f"{USER}/addresses").json["data"]]

    refused = getattr(shop, method.lower())(path, {**body, "verified": True})
    assert (refused.status_code, refused.json["code"], confirmed()) == (403, "scope_missing", [])
    assert getattr(shop, method.lower())(path, body).status_code < 300
    assert confirmed() == [False]
    assert getattr(api, method.lower())(path, {**body, "verified": True}).status_code < 300
    assert confirmed() == [True]
    getattr(shop, method.lower())(path, body)
    assert confirmed() == [True]


ANN: dict[str, Any] = {"name": "Ann", "email": "ann@example.test", "attributes": {"vip": 1}}
STAFF_CHANGES: list[tuple[str, str, Any]] = [
    ("DELETE", "/api/v1/users/<user_id>/addresses/<address_id>", None),  # first, as others take the address away too
    ("PUT", "/api/v1/users/<user_id>", ANN | {"email": "evil@example.test"}),
    ("PUT", "/api/v1/users/<user_id>", {"name": "Ann"}),  # which would take the address away
    ("PUT", "/api/v1/users/<user_id>", ANN | {"email": "Ann@Example.test"}),  # another one, to who tells capitals apart
    ("PUT", "/api/v1/users/<user_id>", ANN | {"time_zone": "Pacific/Apia"}),  # where it is night in the daytime
    ("PATCH", "/api/v1/users/<user_id>", {"attributes": {"vip": True}}),
    ("PATCH", "/api/v1/users/<user_id>", {"phone": "+4915112345699"}),
    ("PATCH", "/api/v1/users/<user_id>", {"email": None}),
    ("PATCH", "/api/v1/users/<user_id>", {"locale": "ar"}),
    ("DELETE", "/api/v1/users/<user_id>", None),
    ("POST", "/api/v1/users/<user_id>/addresses", {"channel": "email", "value": "evil@example.test"}),
    ("POST", "/api/v1/users/<user_id>/addresses", {"channel": "webhook", "value": "https://example.com/hook"}),
    ("POST", "/api/v1/users/<user_id>/token", {}),
    ("DELETE", "/api/v1/users/<user_id>/tokens", None),
    ("PUT", "/api/v1/users/<user_id>/preferences", {"mute_until": "2030-01-01T00:00:00Z"}),
    ("PUT", "/api/v1/users/<user_id>/preferences", {"quiet_hours": {"start": "00:00", "end": "23:59"}}),
    ("PATCH", "/api/v1/users/<user_id>/preferences", {"channels": {"email": False}}),
    ("PATCH", "/api/v1/users/<user_id>/preferences", {"categories": {"system": False}}),
    ("PATCH", "/api/v1/users/<user_id>/preferences", {"types": {"delivery_failure": {"email": False}}}),
    ("DELETE", "/api/v1/users/<user_id>/preferences", None),
    (
        "POST",
        "/notifications/preferences",
        {"userId": "ann", "eventType": "delivery_failure", "channel": "email", "enabled": False},
    ),
]


@pytest.fixture
def staff(api: Any) -> str:
    """ann has a role in the console, a browser that is pushed to, and a choice. → the id of her e-mail address."""
    api.put("/api/v1/users/ann", ANN)
    api.post("/api/v1/users/ann/addresses", {"channel": "webpush", "value": DEVICE})
    api.patch("/api/v1/users/ann/preferences", {"channels": {"sms": True}})
    accounts.create_account("ann@example.test", None, "viewer", "ann")
    return str(api.get("/api/v1/users/ann/addresses").json["data"][0]["id"])


def all_about_ann(api: Any) -> Any:
    document = api.get("/api/v1/users/ann/export").json | {"exported_at": None}
    version = db.session.scalar(sa.select(User.token_version).where(User.id == "ann"))
    db.session.rollback()
    return document, version


def test_who_has_a_role_in_the_console_is_changed_by_themselves_or_an_admin(
    api: Any, staff: str, subtests: pytest.Subtests
) -> None:
    shop, admin = key_with(api, "users"), key_with(api, "users", "admin")
    before = all_about_ann(api)
    calls = [
        (method, path.replace("<user_id>", "ann").replace("<address_id>", staff), body)
        for method, path, body in STAFF_CHANGES
    ]
    for method, path, body in calls:
        with subtests.test(method=method, path=path, body=body):
            answer = getattr(shop, method.lower())(path, body)

            assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")
            assert 'scope="admin"' in answer.headers["WWW-Authenticate"]
            assert all_about_ann(api) == before
    for method, path, body in calls:  # after all refusals, which are of her as she is
        with subtests.test(by="an admin", method=method, path=path, body=body):
            status = getattr(admin, method.lower())(path, body).status_code
            assert status in ((409,) if path == "/api/v1/users/ann" and method == "DELETE" else (200, 201, 204))


def test_every_call_that_changes_people_is_among_those(app: APIFlask) -> None:
    reading = {"GET", "HEAD", "OPTIONS"}
    changing = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - reading
        if "users" in getattr(getattr(app.view_functions[rule.endpoint], "access", None), "scopes", ())
    }

    assert changing == {(method, path) for method, path, _ in STAFF_CHANGES}


def test_a_device_of_theirs_is_not_taken_over_for_somebody_else(api: Any, staff: str) -> None:
    api.put(USER, ERIN)
    before = all_about_ann(api)
    body = {"channel": "webpush", "value": DEVICE}

    answer = key_with(api, "users").post(f"{USER}/addresses", body)

    assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")
    assert (all_about_ann(api), len(api.get(f"{USER}/addresses").json["data"])) == (before, 2)
    assert key_with(api, "users", "admin").post(f"{USER}/addresses", body).status_code == 201


@pytest.mark.parametrize(("method", "body"), [("put", ANN), ("patch", {"name": "Ann"}), ("patch", {"phone": None})])
def test_a_profile_of_theirs_that_stays_as_it_is_is_taken(api: Any, staff: str, method: str, body: Any) -> None:
    assert getattr(key_with(api, "users"), method)("/api/v1/users/ann", body).status_code == 200


def test_values_given_inline_change_nothing_of_theirs(api: Any, staff: str) -> None:
    before = all_about_ann(api)
    them = {"id": "ann", "email": "evil@example.test", "phone": "+4915112345699", "time_zone": "Pacific/Apia"}
    body = {"type": "order_shipped", "recipients": [them], "data": {"order_id": "A1"}}

    for scopes in (["notify"], ["notify", "users"]):
        assert key_with(api, *scopes).post("/api/v1/notifications", body).status_code == 202

    (export, version), (old_export, old_version) = all_about_ann(api), before
    for part in ("user", "addresses", "preferences", "consent"):
        assert export[part] == old_export[part]
    assert version == old_version


def test_a_webhooks_secret_is_shown_once_and_signs(api: Any) -> None:
    api.put(USER, {})
    body = {"channel": "webhook", "value": "https://example.com/hook"}

    first, again = api.post(f"{USER}/addresses", body), api.post(f"{USER}/addresses", body)

    assert first.json["secret"].startswith("whsec_")
    Webhook(first.json["secret"])
    assert "secret" not in again.json
    assert "whsec_" not in api.get(f"{USER}/addresses").text
    assert "secret" not in api.post(f"{USER}/addresses", {"channel": "email", "value": "e@example.test"}).json


def test_a_token_acts_for_its_user_in_the_inbox_again_and_again(api: Any, client: Any, cast: Any) -> None:
    token = api.post("/api/v1/users/alice/token", {"expires_in": 60}).json["token"]

    answers = [client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {token}"}).status_code for _ in range(2)]

    assert answers == [200, 200]
    opened = tokens.open_user_token(token)
    assert opened is not None
    assert (opened.user_id, valid_tokens.holding([opened])) == ("alice", {opened})


def test_a_token_needs_no_body(api: Any, cast: Any) -> None:
    response = api.post("/api/v1/users/alice/token")

    assert (response.status_code, response.json.keys()) == (200, {"token", "expires_at"})


def test_the_export_holds_everything(api: Any, cast: Any) -> None:
    shown = api.post("/api/v1/uploads", data="id\nalice\n", headers={"Content-Type": "text/csv"}).json["id"]
    assert upload_reading.read(parse("upl", shown)) == 1
    api.post("/api/v1/notifications", {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}})

    document = api.get("/api/v1/users/alice/export").json

    assert document["user"]["email"] == "alice@example.test"
    assert {address["value"] for address in document["addresses"]} == {"alice@example.test", "+4915112345678"}
    assert document["preferences"]["channels"]["sms"] is True
    assert {event["choice"] for event in document["consent"]} >= {"channels.sms"}
    assert [(n["type"], n["data"]) for n in document["notifications"]] == [("order_shipped", {"order_id": "A1"})]
    assert len(document["inbox"]) == 1
    assert [upload["id"] for upload in document["uploads"]] == [shown]
    assert document["format"] == "notifier-person/2"


def test_the_export_holds_what_became_of_messages_and_how_somebody_signs_in(api: Any, cast: Any) -> None:
    account = accounts.create_account("alice@example.test", "a password", "person", "alice")
    sessions.begin(account, sessions.PASSWORD, device="Firefox · Linux")
    order = {"type": "order_shipped", "recipients": ["alice"], "channels": ["email"], "data": {"order_id": "A1"}}
    assert api.post("/api/v1/notifications", order).status_code == 202
    deliver(list(db.session.scalars(sa.select(Delivery.id).where(Delivery.status == "queued"))))

    document = api.get("/api/v1/users/alice/export").json
    of_a_shop = type(api)(api.client, keys.create_key(keys.create_producer("Other").id, scopes=["users"])[1])
    theirs = of_a_shop.get("/api/v1/users/alice/export").json

    [delivery] = [one for one in document["notifications"][0]["deliveries"] if one["status"] != "skipped"]
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["delivered"]
    assert [capture["to"] for capture in document["captures"]] == ["alice@example.test"]
    assert {event["type"] for event in document["events"]} == {"delivery.delivered"}
    assert (document["account"]["email"], document["sessions"][0]["device"]) == (
        "alice@example.test",
        "Firefox · Linux",
    )
    assert {"account", "sessions", "scores", "audit"} & theirs.keys() == set()
    assert (theirs["events"], theirs["captures"], theirs["notifications"]) == ([], [], [])
    assert "origin" not in theirs["consent"][0]


def test_an_erasure_has_a_certificate_that_names_nobody(api: Any, cast: Any) -> None:
    api.patch("/api/v1/users/carol/preferences", {"categories": {"marketing": False}})
    accounts.create_account("carol@example.test", "a password", "person", "carol")
    api.post("/api/v1/notifications", {"type": "order_shipped", "recipients": ["carol"], "data": {"order_id": "A1"}})
    digest = digest_of("email", "carol@example.test")

    erased = api.delete("/api/v1/users/carol")

    [certificate] = api.get("/api/v1/users/carol/erasures").json["data"]
    assert certificate["id"] == erased.headers["Erasure-Certificate"]
    counts = certificate["erased"]
    assert (counts["addresses"], counts["notifications"], counts["accounts"]) == (2, 1, 1)
    assert counts["consent_lines"] > 2
    assert certificate["kept"] == {"notifications_counted": 1, "suppressions_by_digest": 3}
    assert len(certificate["consent_digest"]) == 64
    held = sa.select(Suppression.scope).where(Suppression.digest == digest).order_by(Suppression.scope)
    assert db.session.scalars(held).all() == ["marketing", "social"]  # she had switched e-mail off
    trail = [(entry.subject, entry.after) for entry in db.session.scalars(sa.select(AuditEntry))]
    assert "carol" not in str(trail)
    assert [subject for subject, _ in trail].count(certificate["id"]) >= 3
    assert api.get("/api/v1/users/nobody/erasures").json["data"] == []


@pytest.mark.parametrize(
    ("action", "name", "after"),
    [
        ("channel.paused", "sms", None),
        ("template.saved", "order_shipped@3", None),
        ("account.created", "root@example.test", {"role": "admin", "user": "root"}),
        ("account.role_changed", "root@example.test", {"role": "admin"}),
    ],
)
def test_erasing_somebody_of_that_name_hides_nothing_else_in_the_trail(
    api: Any, action: str, name: str, after: dict[str, str] | None
) -> None:
    with transaction():
        audit.write(action, name, after=after)
    other = key_with(api, "users")
    assert other.put(f"/api/v1/users/{name}", {"name": "N"}).status_code == 201
    assert other.delete(f"/api/v1/users/{name}").status_code == 204
    trail = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(one.subject, one.after) for one in trail if one.action == action] == [(name, after)]
    assert name not in [one.subject for one in trail if one.action == "person.created"]


def test_somebody_with_the_id_of_a_certificate_can_be_erased(api: Any) -> None:
    api.put("/api/v1/users/era_1", {"name": "N"})
    assert api.delete("/api/v1/users/era_1").status_code == 204


def test_a_certificate_tells_a_producer_of_its_own_keys_and_of_nobody_elses(api: Any, cast: Any) -> None:
    other = key_with(api, "users")
    other.delete("/api/v1/users/alice")
    api.delete("/api/v1/users/bob")
    with audit.acting_as("root@example.test"):
        profiles.erase("carol")
    with audit.acting_as(audit.THEMSELVES):
        profiles.erase("dave")

    def by(who: Any) -> list[str | None]:
        return [who.get(f"/api/v1/users/{user}/erasures").json["data"][0]["by"] for user in cast]

    assert by(other) == [f"Other, key {other.key[:16]}…", None, None, audit.THEMSELVES]
    assert None not in by(api)


@pytest.mark.parametrize("person", ["sms", "boss@example.test", "3", "order_shipped", "era_1", "ERA_1"])
def test_erasing_somebody_takes_nothing_but_people_out_of_the_trail(api: Any, person: str) -> None:
    """Whatever they are called."""
    with transaction():
        audit.write("account.created", "boss@example.test", after={"role": "admin", "user": "boss"})
        for action, subject in (
            ("account.role_changed", "boss@example.test"),
            ("channel.paused", "sms"),
            ("delivery.retried", "3 deliveries"),
            ("type.saved", "order_shipped"),
            ("provider.added", "era_1"),
        ):
            audit.write(action, subject, after={"told": True})
    others = [(entry.action, entry.subject, entry.after) for entry in rows(AuditEntry)]
    api.put(f"/api/v1/users/{person}", {"name": "Somebody"})

    assert api.delete(f"/api/v1/users/{person}").status_code == 204

    kept = [(entry.action, entry.subject, entry.after) for entry in rows(AuditEntry)]
    assert [line for line in kept if not line[0].startswith("person.")] == others
    # What looks like the name of an erasure cannot be replaced
    assert (("person.created", person) in [line[:2] for line in kept]) is person.lower().startswith("era_")


def test_whose_address_wants_no_advertising_stays_silent_when_given_again(api: Any, cast: Any) -> None:
    api.patch("/api/v1/users/alice/preferences", {"categories": {"marketing": {"email": False}}})
    api.delete("/api/v1/users/alice")
    api.put("/api/v1/users/new", {"email": "alice@example.test"})
    letter = {"type": "newsletter", "recipients": ["new"], "channels": ["email"], "data": {"title": "T", "body": "B"}}
    [notification] = api.post("/api/v1/notifications", letter).json["notifications"]
    assert [(one["status"], one["reason"]) for one in notification["deliveries"]] == [("skipped", "suppressed")]


def test_the_ledger_says_who_chose_from_where_and_with_which_words(api: Any, cast: Any) -> None:
    asked = {"categories": {"marketing": True}, "text_version": "checkout-7"}
    assert api.patch("/api/v1/users/alice/preferences", asked).status_code == 200
    with consent.shown(lambda choice: ("en", f"Words beside {choice}")), audit.acting_as("alice", "192.0.2.7"):
        preferences.change("alice", {"categories": {"social": False}}, replace=False, source="page")

    document = api.get("/api/v1/users/alice/export").json
    by_page, by_api = document["consent"][:2]
    forged = api.patch("/api/v1/users/alice/preferences", {**asked, "text_version": by_page["text_version"]})
    assert (forged.status_code, forged.json["errors"][0]["code"]) == (422, "version_taken")
    assert (by_page["by"], by_page["origin"], by_page["source"]) == (None, "192.0.2.7", "page")
    words = {"language": "en", "text": "Words beside categories.social.*"}
    assert document["consent_texts"][by_page["text_version"]] == words
    assert (by_api["choice"], by_api["to"], by_api["text_version"]) == ("categories.marketing.*", True, "checkout-7")
    assert by_api["by"].endswith(f"key {api.key[:16]}…")
    other = key_with(api, "users")
    other.patch("/api/v1/users/alice/preferences", {"categories": {"social": True}})
    by = [line["by"] for line in other.get("/api/v1/users/alice/export").json["consent"][:3]]
    assert by == [f"Other, key {other.key[:16]}…", None, None]  # of no other producer's keys
    with pytest.raises(DBAPIError, match="append-only"), transaction() as session:
        session.execute(sa.update(ConsentEvent).values(source="api"))


def test_erasing_leaves_nothing_of_the_person(api: Any, cast: Any) -> None:
    notification = api.post(
        "/api/v1/notifications", {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
    ).json["notifications"][0]

    assert api.delete("/api/v1/users/alice").status_code == 204
    assert api.delete("/api/v1/users/alice").status_code == 404

    kept = api.get(f"/api/v1/notifications/{notification['id']}").json
    assert (kept["data"], {delivery["address"] for delivery in kept["deliveries"]}) == (None, {None})
    for table in (User, Address, ConsentEvent):
        column = User.id if table is User else table.user_id
        assert db.session.scalar(sa.select(sa.func.count()).select_from(table).where(column == "alice")) == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1
    assert api.get("/api/v1/users/alice").status_code == 404


def test_the_export_shows_a_producer_its_own_notifications_only(api: Any, client: Any, cast: Any) -> None:
    api.post("/api/v1/notifications", {"type": "one_time_code", "recipients": ["alice"], "data": {"code": "777123"}})
    neighbour = type(api)(client, keys.create_key(keys.create_producer("Neighbour").id, scopes=["users"])[1])

    assert neighbour.get("/api/v1/users/alice/export").json["notifications"] == []
    assert [n["data"] for n in api.get("/api/v1/users/alice/export").json["notifications"]] == [{"code": "777123"}]


@pytest.mark.parametrize(("role", "status"), [("admin", 409), ("operator", 409), ("person", 204)])
def test_nobody_who_runs_the_installation_is_erased_by_a_key(api: Any, role: str, status: int) -> None:
    accounts.create_account("erika@example.test", "a password", role, "erika")

    assert api.delete("/api/v1/users/erika").status_code == status
    assert (accounts.check_password("erika@example.test", "a password") is None) == (status == 204)


def test_a_profile_has_the_same_fields_wherever_they_are_listed() -> None:
    assert set(UserIn.model_fields) == {"id", "verified", *FIELDS}
    assert set(UserOut.model_fields) == set(Recipient.model_fields) == {"id", *FIELDS}
    assert set(GIVEN) < set(FIELDS)
