"""A person's own preferences as switches: who may see and set them, and that no switch opts in by accident."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys, origins
from notifier.ground import tokens
from notifier.people import preferences as choosing
from notifier.people import profiles
from notifier.queries import preferences as queries
from tests.conftest import subject_of

PATH = "/api/v1/inbox/preferences"
SHOP = "https://shop.test"

SignIn = Callable[[str], FlaskClient]


class Own:
    def __init__(self, client: FlaskClient, user_id: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {tokens.sign_user_token(subject_of(user_id), 60)[0]}"}

    def get(self, **query: str) -> Any:
        answer = self.client.get(PATH, query_string=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json

    def put(self, **choice: Any) -> Any:
        return self.client.post(PATH, json=choice, headers=self.headers)


@pytest.fixture
def alice(app: APIFlask, cast: dict[str, str]) -> Own:
    choosing.change("alice", {}, replace=True, source="test")
    return Own(app.test_client(), "alice")


def cell(shown: Any, type: str, channel: str) -> bool:
    [found] = [
        cell["on"]
        for section in shown["sections"]
        for row in section["rows"]
        for cell in row["cells"]
        if (row["type"], cell["channel"]) == (type, channel)
    ]
    return bool(found)


def chosen() -> dict[str, Any]:
    document = queries.document("alice")
    return {name: document[name] for name in ("channels", "categories", "types", "quiet_hours") if document[name]}


def test_a_token_shows_and_sets_its_own_persons_switches(alice: Own) -> None:
    shown = alice.get(language="de-AT")
    assert {row["description"] for section in shown["sections"] for row in section["rows"]} >= {
        "Rabatte und Sonderangebote."
    }
    assert [section["category"] for section in shown["sections"]] == ["transactional", "marketing", "social", "system"]
    assert cell(shown, "like", "email")
    saved = alice.put(switch={"on": False, "type": "like", "channel": "email"}).json
    assert not cell(saved, "like", "email")
    assert chosen() == {"types": {"like": {"email": False}}}
    [line] = queries.history("alice", limit=1)
    assert line["source"] == "embedded"
    assert alice.put(undo=saved["undo"]).status_code == 200
    assert chosen() == {}


def test_a_switch_over_several_goes_off_when_mixed_and_never_opts_in(alice: Own) -> None:
    alice.put(switch={"on": False, "type": "like", "channel": "email"})
    refused = alice.put(switch={"on": True, "category": "social", "channel": "email"})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "not_open")
    assert alice.put(switch={"on": False, "category": "social"}).status_code == 200
    shown = alice.put(switch={"on": True, "category": "social"}).json
    assert cell(shown, "like", "email")
    assert not cell(shown, "like", "sms")
    assert alice.put(switch={"on": True, "channel": "sms"}).status_code == 422


@pytest.mark.parametrize(
    "choice",
    [
        {"switch": {"on": False, "type": "security_alert", "channel": "email"}},
        {"switch": {"on": False, "type": "nothing", "channel": "email"}},
        {"switch": {"on": False, "category": "social", "channel": "pigeon"}},
        {"switch": {"on": False, "type": "like"}},
        {"switch": {"on": False}},
        {"switch": None},
        {"switch": {"on": False, "channel": "email"}, "mute_until": None},
        {},
        {"undo": [1]},
        {"quiet_hours": {"start": "22:00", "end": "22:00"}},
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_and_changes_nothing(alice: Own, choice: dict[str, Any]) -> None:
    assert alice.put(**choice).status_code == 422
    assert chosen() == {}


def test_mute_and_quiet_hours_are_set_and_taken_back(alice: Own) -> None:
    hours = {"start": "22:00", "end": "07:00", "days": [1, 2]}
    saved = alice.put(quiet_hours=hours).json
    assert saved["quiet_hours"] == hours
    assert alice.put(undo=saved["undo"]).json["quiet_hours"] is None


def test_nobody_undoes_what_another_has_chosen(app: APIFlask, alice: Own) -> None:
    saved = alice.put(switch={"on": False, "type": "like", "channel": "email"}).json
    assert Own(app.test_client(), "bob").put(undo=saved["undo"]).json["undo"] is None
    assert chosen() == {"types": {"like": {"email": False}}}


def test_a_token_takes_back_only_what_was_chosen_embedded(alice: Own) -> None:
    choosing.change("alice", {"do_not_track": True, "categories": {"marketing": False}}, replace=False, source="page")
    assert alice.put(undo=[0, 10**18 - 1]).json["undo"] is None
    assert queries.document("alice")["do_not_track"]
    assert chosen() == {"categories": {"marketing": {"*": False}}}


def test_strangers_see_and_set_nothing(app: APIFlask, cast: dict[str, str]) -> None:
    client = app.test_client()
    assert client.get(PATH).status_code == 401
    assert client.post(PATH, json={"mute_until": None}).status_code == 401


def test_a_choice_by_cookie_needs_the_csrf_token(alice: Own, signed_in: SignIn, csrf_token: str) -> None:
    client = signed_in("alice")
    off = {"switch": {"on": False, "type": "like", "channel": "email"}}
    for headers in ({}, {"X-CSRFToken": "wrong"}, {"Origin": "http://localhost"}):
        refused = client.post(PATH, json=off, headers=headers)
        assert (refused.status_code, refused.json["code"]) == (403, "csrf_failed")
    assert chosen() == {}
    assert client.post(PATH, json=off, headers={"X-CSRFToken": csrf_token}).status_code == 200
    assert chosen() == {"types": {"like": {"email": False}}}


@pytest.mark.parametrize(("origin", "may"), [(SHOP, True), ("https://evil.test", False), ("null", False)])
def test_a_token_sets_choices_on_the_sites_of_its_producer_alone(
    app: APIFlask, alice: Own, origin: str, may: bool
) -> None:
    producer = keys.create_producer("Shop", allowed_origins=[SHOP])
    origins.forget_cached()
    token, _ = tokens.sign_user_token(subject_of("alice"), 60, producer_id=producer.id)
    alice.headers = {"Authorization": f"Bearer {token}", "Origin": origin}
    answer = alice.put(switch={"on": False, "type": "like", "channel": "email"})
    assert answer.status_code == (200 if may else 403)
    assert answer.headers.get("Access-Control-Allow-Origin") == (origin if may else None)
    assert bool(chosen()) is may


def test_pages_of_other_sites_read_nothing_by_cookie(alice: Own, signed_in: SignIn) -> None:
    answer = signed_in("alice").get(PATH, headers={"Origin": SHOP})
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_erased_person_has_none(alice: Own) -> None:
    profiles.erase("alice")
    assert alice.client.get(PATH, headers=alice.headers).status_code in (401, 404)
