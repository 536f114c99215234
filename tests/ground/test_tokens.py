"""What tokens end with: the table in `tokens`, each row by the door that the token opens."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient
from itsdangerous import URLSafeSerializer

from notifier.access import keys
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery, Producer, User
from notifier.models.producer import SCOPES
from notifier.people import profiles
from notifier.pipeline.delivery.claim import claim
from notifier.queries import valid_tokens
from notifier.queries.preferences import document
from tests.conftest import Api, Statements, subject_of


@dataclass(frozen=True)
class Shop:
    """A producer, its key, and what both have made for alice: a token for her inbox, and a mail with two links."""

    api: Api
    producer: Producer
    key_id: Any
    user_token: str
    preferences: str
    unsubscribe: str


@pytest.fixture
def shop(client: FlaskClient, cast: Any) -> Shop:
    producer = keys.create_producer("Shop")
    key, plain = keys.create_key(producer.id, scopes=SCOPES)
    api = Api(client, plain)
    assert api.patch("/api/v1/users/alice", {"email": "alice@example.test", "verified": True}).status_code == 200
    token = api.post("/api/v1/users/alice/token", {"expires_in": 7200}).json["token"]
    sent = api.post(
        "/api/v1/notifications",
        {"type": "like", "recipients": ["alice"], "channels": ["email"], "data": {"actor": "Bob"}},
    )
    assert sent.status_code == 202, sent.text
    [task], _ = claim(list(db.session.scalars(sa.select(Delivery.id))))
    assert not isinstance(task.message, str)
    preferences = re.search(r"/p/[\w.-]+", task.message.content.body)
    assert preferences is not None
    unsubscribe = str(task.message.unsubscribe_url).removeprefix("http://localhost")
    return Shop(api, producer, key.id, token, preferences[0], unsubscribe)


def erase_and_come_back(shop: Shop) -> None:
    profiles.erase("alice")
    subject_of("alice")


def rotate(shop: Shop) -> None:
    keys.rotate_key(shop.key_id, timedelta(0), networks=None, expires_at=None)


def end_on_request(shop: Shop) -> None:
    assert shop.api.delete("/api/v1/users/alice/tokens").status_code == 204


ALL = {"user token", "preferences", "unsubscribe"}


@pytest.mark.parametrize(
    ("cause", "left"),
    [
        (lambda shop: None, ALL),
        (lambda shop: keys.disable_producer(shop.producer.id), {"unsubscribe"}),
        (lambda shop: keys.revoke_key(shop.key_id), {"preferences", "unsubscribe"}),
        (rotate, {"preferences", "unsubscribe"}),
        (end_on_request, {"unsubscribe"}),
        (lambda shop: profiles.erase("alice"), set()),
        (erase_and_come_back, set()),
        (lambda shop: shop.api.delete("/api/v1/users/bob/tokens"), ALL),
        (lambda shop: shop.api.put("/api/v1/users/alice", {"name": "Alicia"}), ALL),
    ],
    ids=[
        "nothing",
        "producer disabled",
        "key revoked",
        "key rotated",
        "on request",
        "erased",
        "somebody new",
        "somebody else's",
        "a new name",
    ],
)
def test_a_token_ends_with_its_cause(
    client: FlaskClient, shop: Shop, cause: Callable[[Shop], object], left: set[str]
) -> None:
    cause(shop)
    assert lasting(client, shop) == left


def lasting(client: FlaskClient, shop: Shop) -> set[str]:
    """Which of them still act. One click answers 200 to whoever it is, so its effect is looked at."""
    statuses = {
        "user token": client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {shop.user_token}"}).status_code,
        "preferences": client.get(shop.preferences).status_code,
    }
    assert set(statuses.values()) <= {200, 401, 404}
    found = {name for name, status in statuses.items() if status == 200}
    if "preferences" not in found:
        assert client.post(shop.preferences, data={"part": "mute", "mute": "hour"}).status_code == 404
    assert client.post(shop.unsubscribe, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    db.session.rollback()
    if profiles.known_ids(["alice"]) and document("alice")["categories"] == {"social": {"email": False}}:
        found.add("unsubscribe")
    return found


def test_a_user_token_ends_with_its_time(client: FlaskClient, shop: Shop) -> None:
    with time_machine.travel(now() + timedelta(hours=2)):
        assert client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {shop.user_token}"}).status_code == 401


def test_a_producer_that_is_enabled_again_has_its_tokens_back(client: FlaskClient, shop: Shop) -> None:
    keys.disable_producer(shop.producer.id)
    keys.disable_producer(shop.producer.id, disabled=False)
    assert lasting(client, shop) == ALL


def test_a_token_made_after_all_were_ended_is_good(client: FlaskClient, shop: Shop) -> None:
    end_on_request(shop)
    fresh = shop.api.post("/api/v1/users/alice/token").json["token"]
    assert client.get("/api/v1/inbox", headers={"Authorization": f"Bearer {fresh}"}).status_code == 200


@pytest.mark.parametrize("scopes", [("notify", "read", "templates"), ("admin",)])
def test_ending_tokens_needs_the_scope_users(client: FlaskClient, shop: Shop, scopes: tuple[str, ...]) -> None:
    _, plain = keys.create_key(shop.producer.id, scopes=scopes)
    assert Api(client, plain).delete("/api/v1/users/alice/tokens").status_code == 403
    assert lasting(client, shop) == ALL


def test_nobodys_tokens_cannot_be_ended(shop: Shop) -> None:
    assert shop.api.delete("/api/v1/users/nobody/tokens").status_code == 404


def test_links_in_messages_from_before_people_had_generations_work_for_those_who_were_there(
    client: FlaskClient, shop: Shop
) -> None:
    with transaction() as session:
        session.execute(sa.update(User).where(User.id == "alice").values(generation=0))
    old = {
        purpose: _signed_as_before(shop, purpose, content)
        for purpose, content in (("preferences", "alice"), ("unsubscribe", ["alice", "social", "email"]))
    }
    assert client.get(f"/p/{old['preferences']}").status_code == 200
    assert client.post(f"/u/{old['unsubscribe']}").status_code == 200
    assert document("alice")["categories"] == {"social": {"email": False}}
    erase_and_come_back(shop)
    assert client.get(f"/p/{old['preferences']}").status_code == 404
    assert client.post(f"/u/{old['unsubscribe']}").status_code == 200
    assert document("alice")["categories"] == {}


def _signed_as_before(shop: Shop, purpose: str, content: Any) -> str:
    signer = tokens._signer(purpose)
    assert isinstance(signer, URLSafeSerializer)
    return str(signer.dumps(content))


def test_two_people_of_one_id_are_never_taken_for_each_other(app: APIFlask) -> None:
    seen = set()
    for _ in range(20):
        seen.add(subject_of("alice").generation)
        profiles.erase("alice")
    assert len(seen) == 20
    assert 0 not in seen


def test_a_dry_run_gives_away_no_link_of_the_person(client: FlaskClient, shop: Shop) -> None:
    body = {"type": "like", "recipients": ["alice"], "channels": ["email"], "data": {"actor": "Carol"}}
    shown = shop.api.post("/api/v1/notifications?dry_run=true", body).text
    links = re.findall(r"/([pu])/([\w.-]+)", shown)
    assert {kind for kind, _ in links} == {"p", "u"}
    for kind, token in links:
        assert client.get(f"/p/{token}").status_code == 404
        if kind == "u":
            client.post(f"/u/{token}")
    assert document("alice")["categories"] == {}


def test_the_check_is_part_of_the_statements_that_read_the_person(
    shop: Shop, client: FlaskClient, statements: Statements
) -> None:
    with statements() as asked:
        client.get(shop.preferences)
    [for_language_and_choices] = (text for text in asked if "generation" in text)
    assert "preference.document" in for_language_and_choices
    with statements() as asked:
        client.post(shop.unsubscribe)
    assert len([text for text in asked if "generation" in text]) == 2
    assert len([text for text in asked if re.search(r'FROM "?user\b', text)]) == 2


@pytest.mark.slow
def test_many_tokens_are_checked_in_a_constant_number_of_statements(
    app: APIFlask, shop: Shop, statements: Statements
) -> None:
    with transaction():
        profiles.upsert([InlineRecipient(f"p{number}") for number in range(300)])
    subjects = [subject_of(f"p{number}") for number in range(300)]
    some = {
        tokens.UserToken(subject, now() + timedelta(hours=1), shop.key_id, shop.producer.id) for subject in subjects
    }
    profiles.erase("p7")
    with statements() as asked:
        assert len(valid_tokens.holding(some)) == 299
    assert len([text for text in asked if text.startswith("SELECT")]) == 1


@pytest.mark.parametrize("fallback", [True, False], ids=["old key accepted", "old key taken out"])
def test_what_the_key_before_has_signed_is_accepted_until_it_is_taken_out(
    app: APIFlask, client: FlaskClient, shop: Shop, monkeypatch: pytest.MonkeyPatch, fallback: bool
) -> None:
    old = app.config["SECRET_KEY"]
    monkeypatch.setitem(app.config, "SECRET_KEY", "another key, for all that is signed from now on")
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [old] if fallback else [])
    opened = [tokens.open_user_token(shop.user_token), tokens.read_preferences(shop.preferences.removeprefix("/p/"))]
    assert [token is not None for token in opened] == [fallback, fallback]
    assert client.get(shop.preferences).status_code == (200 if fallback else 404)
    signed = tokens.sign_device("a@example.test")
    monkeypatch.setitem(app.config, "SECRET_KEY_FALLBACKS", [])
    assert tokens.read_device(signed) is not None  # the new key signs
