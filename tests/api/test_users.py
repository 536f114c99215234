"""Users, addresses, export, erasure and inbox tokens."""

from typing import Any

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook

from notifier.access import accounts, keys
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Address, ConsentEvent, Notification, User
from notifier.queries import valid_tokens
from tests.conftest import Api

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


STAFF_CHANGES: list[tuple[str, str, Any, int]] = [
    ("put", "", {"name": "Ann", "email": "evil@example.test"}, 403),
    ("put", "", {"name": "Ann"}, 403),  # which would take the address away
    ("put", "", {"name": "Ann", "email": "Ann@Example.test"}, 403),  # another one, to those who tell capitals apart
    ("put", "", {"name": "Ann", "email": "ann@example.test"}, 200),
    ("patch", "", {"phone": "+4915112345699"}, 403),
    ("patch", "", {"name": "Annie"}, 200),
    ("post", "/addresses", {"channel": "email", "value": "evil@example.test"}, 403),
    ("post", "/addresses", {"channel": "webhook", "value": "https://example.com/hook"}, 403),
    ("delete", "/addresses/{address}", None, 403),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), STAFF_CHANGES)
def test_addresses_of_those_who_run_the_installation_are_changed_by_themselves_or_an_admin(
    api: Any, method: str, path: str, body: Any, status: int
) -> None:
    ann = "/api/v1/users/ann"
    api.put(ann, {"email": "ann@example.test"})
    accounts.create_account("ann@example.test", None, "viewer", "ann")
    [address] = api.get(f"{ann}/addresses").json["data"]
    path = ann + path.format(address=address["id"])

    answer = getattr(key_with(api, "users"), method)(path, body)

    assert answer.status_code == status
    if status == 403:
        assert answer.json["code"] == "scope_missing"
        assert [(a["id"], a["value"]) for a in api.get(f"{ann}/addresses").json["data"]] == [
            (address["id"], "ann@example.test")
        ]
        assert getattr(api, method)(path, body).status_code < 300


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
    api.post("/api/v1/notifications", {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}})

    document = api.get("/api/v1/users/alice/export").json

    assert document["user"]["email"] == "alice@example.test"
    assert {address["value"] for address in document["addresses"]} == {"alice@example.test", "+4915112345678"}
    assert document["preferences"]["channels"]["sms"] is True
    assert {event["choice"] for event in document["consent"]} >= {"channels.sms"}
    assert [(n["type"], n["data"]) for n in document["notifications"]] == [("order_shipped", {"order_id": "A1"})]
    assert len(document["inbox"]) == 1


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
