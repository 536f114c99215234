"""The inbox's calls: who may make them, from where, and what they answer."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from notifier.access import keys, origins
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id, show
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import Account
from tests.conftest import subject_of

INBOX = "/api/v1/inbox"
READS = (INBOX, f"{INBOX}/changes?since=0")
WRITES = tuple(f"{INBOX}/{mark}" for mark in ("seen", "read", "unread", "archive", "unarchive", "snooze", "opened"))


class Person:
    """Makes the inbox's calls as one person. `by.read({"all": True})`."""

    def __init__(self, client: FlaskClient, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers

    def get(self, path: str = "", **query: Any) -> TestResponse:
        return self.client.get(INBOX + path, query_string=query, headers=self.headers)

    def post(self, mark: str, body: Any = None) -> TestResponse:
        return self.client.post(f"{INBOX}/{mark}", json=body, headers=self.headers)


@pytest.fixture
def by_token(app: APIFlask) -> Callable[[str], Person]:
    return lambda user_id: Person(
        app.test_client(), {"Authorization": f"Bearer {tokens.sign_user_token(subject_of(user_id), 60)[0]}"}
    )


@pytest.fixture
def by_cookie(signed_in: Any, csrf_token: str) -> Callable[[str], Person]:
    return lambda user_id: Person(signed_in(user_id), {"X-CSRFToken": csrf_token})


# --- who


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("way", ["by_token", "by_cookie"])
def test_a_person_reads_their_own_inbox(arrive: Any, request: pytest.FixtureRequest, way: str, path: str) -> None:
    [key] = arrive("alice")
    arrive("bob")
    person = request.getfixturevalue(way)("alice")
    response = person.client.get(path, headers=person.headers)
    assert response.status_code == 200
    body = response.json
    assert [item["id"] for item in body.get("data", body.get("changed"))] == [show("dlv", key)]
    assert (body["unread"], body["unseen"], body["seq"]) == (1, 1, 1)
    assert response.headers["Cache-Control"] == "no-store"


def _calls(client: FlaskClient, headers: dict[str, str]) -> list[TestResponse]:
    answers = [client.get(path, headers=headers) for path in READS]
    return answers + [client.post(path, json={"nonsense": 1}, headers=headers) for path in WRITES]


NO_IDENTITIES = ("Bearer", "Bearer ", "Bearer x.y", "Bearer ntf_live_unknown", "Basic YTpi", "Token x", "bearer \xff")


def test_nobody_is_let_in_without_an_identity_whatever_the_body(
    arrive: Any, client: FlaskClient, subtests: pytest.Subtests
) -> None:
    arrive("alice")
    for headers in ({}, *({"Authorization": authorization} for authorization in NO_IDENTITIES)):
        with subtests.test(headers=headers):
            for response in _calls(client, headers):
                assert response.status_code == 401
                assert response.content_type == "application/problem+json"
                assert response.json["code"] == "unauthenticated"


def test_a_producers_key_is_no_person(arrive: Any, client: FlaskClient, producer_key: str) -> None:
    arrive("alice")
    for response in _calls(client, {"Authorization": f"Bearer {producer_key}"}):
        assert (response.status_code, response.json["code"]) == (403, "producer_key_refused")


def test_an_expired_token_opens_nothing(app: APIFlask, arrive: Any, by_token: Any) -> None:
    arrive("alice")
    person = by_token("alice")
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert {response.status_code for response in _calls(person.client, person.headers)} == {401}


def test_a_token_for_unsubscribing_opens_nothing(app: APIFlask, arrive: Any) -> None:
    arrive("alice")
    headers = {"Authorization": f"Bearer {tokens.sign_unsubscribe(subject_of('alice'), 'marketing', 'email')}"}
    assert {response.status_code for response in _calls(app.test_client(), headers)} == {401}


def test_a_disabled_account_is_signed_out(app: APIFlask, arrive: Any, by_cookie: Any) -> None:
    arrive("alice")
    person = by_cookie("alice")
    with app.app_context():
        assert person.get().status_code == 200
    with transaction() as session:
        session.execute(db.update(Account).values(disabled_at=now()))
    with app.app_context():
        assert {response.status_code for response in _calls(person.client, person.headers)} == {401}


def test_a_bad_token_is_not_excused_by_a_good_cookie(arrive: Any, by_cookie: Any) -> None:
    arrive("alice")
    person = by_cookie("alice")
    assert person.client.get(INBOX, headers={"Authorization": "Bearer forged"}).status_code == 401


# --- CSRF


def test_a_write_by_cookie_needs_the_csrf_token(
    arrive: Any, signed_in: Any, csrf_token: str, subtests: pytest.Subtests
) -> None:
    [key] = arrive("alice")
    client = signed_in("alice")
    for path in WRITES:
        with subtests.test(path=path):
            body = {"ids": [show("dlv", key)]} | ({"until": None} if path.endswith("snooze") else {})
            before = client.get(INBOX).json["seq"]
            for headers in ({}, {"X-CSRFToken": "wrong"}, {"X-CSRFToken": csrf_token + "x"}):
                response = client.post(path, json=body, headers=headers)
                assert (response.status_code, response.json["code"]) == (403, "csrf_failed")
            assert client.get(INBOX).json["seq"] == before
            assert client.post(path, json=body, headers={"X-CSRFToken": csrf_token}).status_code == 200


def test_a_write_by_token_needs_no_csrf_token(arrive: Any, by_token: Any, subtests: pytest.Subtests) -> None:
    [key] = arrive("alice")
    person = by_token("alice")
    for path in WRITES:
        with subtests.test(path=path):
            body = {"ids": [show("dlv", key)]} | ({"until": None} if path.endswith("snooze") else {})
            assert person.client.post(path, json=body, headers=person.headers).status_code == 200


def test_our_service_worker_has_no_csrf_token_and_needs_none_for_its_one_call(
    arrive: Any, signed_in: Any, subtests: pytest.Subtests
) -> None:
    arrive("alice")
    client = signed_in("alice")
    for path, origin, status in (
        ("opened", "http://localhost", 200),
        ("opened", "https://evil.test", 403),
        ("opened", "null", 403),
        ("opened", None, 403),
        ("read", "http://localhost", 403),
    ):
        with subtests.test(path=path, origin=origin):
            headers = {"Origin": origin} if origin else {}
            assert client.post(f"{INBOX}/{path}", json={"ids": []}, headers=headers).status_code == status


# --- from where


SHOP, BLOG, EVIL = "https://shop.test", "https://blog.test", "https://evil.test"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def preflight_of(client: FlaskClient, path: str, origin: str) -> TestResponse:
    return client.options(path, headers={"Origin": origin, **ASKED})


@pytest.fixture
def of_producer(app: APIFlask) -> Callable[[list[str] | None], Person]:
    """`of_producer(["https://shop.test"])` → alice, by the token of a producer with that list."""

    def call(allowed: list[str] | None) -> Person:
        producer = keys.create_producer("Shop", allowed_origins=allowed)
        origins.forget_cached()
        return Person(
            app.test_client(),
            {"Authorization": f"Bearer {tokens.sign_user_token(subject_of('alice'), 60, producer_id=producer.id)[0]}"},
        )

    return call


def test_pages_of_other_origins_may_use_tokens_and_nothing_else(
    arrive: Any, client: FlaskClient, of_producer: Any, by_cookie: Any
) -> None:
    arrive("alice")
    token, cookie = of_producer(None), by_cookie("alice")
    for path in (INBOX, *WRITES):
        preflight = preflight_of(client, path, SHOP)
        assert preflight.status_code in (200, 204)
        assert preflight.headers["Access-Control-Allow-Origin"] == SHOP
        assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Credentials" not in preflight.headers
    answer = token.client.get(INBOX, headers=token.headers | {"Origin": SHOP})
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"  # the client for JavaScript waits so long
    assert "Origin" in answer.headers["Vary"]
    refusal = client.get(INBOX, headers={"Authorization": "Bearer forged", "Origin": SHOP})
    # So that the page can say why
    assert (refusal.status_code, refusal.headers["Access-Control-Allow-Origin"]) == (401, SHOP)
    for answer in (cookie.client.get(INBOX, headers={"Origin": SHOP}), client.get(INBOX, headers={"Origin": SHOP})):
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        (None, SHOP, True),
        (None, "null", True),
        ([SHOP], SHOP, True),
        ([SHOP, BLOG], BLOG, True),
        ([SHOP], EVIL, False),
        ([SHOP], "null", False),
        ([SHOP], "http://shop.test", False),
        ([SHOP], "https://shop.test:8443", False),
        ([SHOP], "https://shop.test.evil.test", False),
        ([], SHOP, False),
        ([SHOP], "http://localhost", True),  # a page of our own
        ([SHOP], None, True),  # a program, or a page of our own that reads
    ],
)
def test_a_token_is_good_on_the_sites_its_producer_allows(
    arrive: Any, client: FlaskClient, of_producer: Any, allowed: list[str] | None, origin: str | None, may: bool
) -> None:
    [key] = arrive("alice")
    alice = of_producer(allowed)
    if origin:
        alice.headers["Origin"] = origin
        opened = preflight_of(client, f"{INBOX}/read", origin).headers.get("Access-Control-Allow-Origin")
        assert opened == (origin if may else None)
    answers = [alice.get(), alice.get("/changes", since=0), alice.post("read", {"ids": [show("dlv", key)]})]
    assert {answer.status_code for answer in answers} == {200 if may else 403}
    assert {answer.headers.get("Access-Control-Allow-Origin") for answer in answers} == {origin if may else None}
    if not may:
        assert {answer.json["code"] for answer in answers} == {"origin_refused"}
        assert client.get(INBOX, headers={"Authorization": alice.headers["Authorization"]}).json["unread"] == 1


def test_one_producers_sites_are_not_anothers(arrive: Any, client: FlaskClient, of_producer: Any) -> None:
    arrive("alice")
    shop, blog = of_producer([SHOP]), of_producer([BLOG])
    assert [
        preflight_of(client, INBOX, origin).headers.get("Access-Control-Allow-Origin") for origin in (SHOP, BLOG, EVIL)
    ] == [SHOP, BLOG, None]
    shop.headers["Origin"] = blog.headers["Origin"] = BLOG
    assert (shop.get().status_code, blog.get().status_code) == (403, 200)


def test_a_token_from_before_tokens_named_their_producer_stays_good(
    arrive: Any, by_token: Any, of_producer: Any
) -> None:
    arrive("alice")
    of_producer([SHOP])
    alice = by_token("alice")
    alice.headers["Origin"] = EVIL
    assert alice.get().status_code == 200


def test_the_token_of_a_producer_that_is_gone_is_good_nowhere(arrive: Any, by_token: Any) -> None:
    arrive("alice")
    headers = {
        "Authorization": f"Bearer {tokens.sign_user_token(subject_of('alice'), 60, producer_id=new_id())[0]}",
        "Origin": SHOP,
    }
    assert by_token("alice").client.get(INBOX, headers=headers).json["code"] == "unauthenticated"


def test_the_tokens_a_producer_makes_carry_its_name(arrive: Any, api: Any, client: FlaskClient) -> None:
    arrive("alice")
    token = api.post("/api/v1/users/alice/token").json["token"]
    opened = tokens.open_user_token(token)
    assert opened is not None
    assert opened.producer_id is not None
    origins.limit(opened.producer_id, [SHOP])
    answers = [
        client.get(INBOX, headers={"Authorization": f"Bearer {token}", "Origin": origin}).status_code
        for origin in (SHOP, EVIL)
    ]
    assert answers == [200, 403]


# --- the list


def test_the_list_is_paged_and_says_what_follows(arrive: Any, by_token: Any) -> None:
    for number in range(3):
        arrive("alice", title=f"{number}")
    person = by_token("alice")
    first = person.get(limit=2).json
    second = person.get(limit=2, after=first["next"]).json
    assert [item["title"] for item in first["data"] + second["data"]] == ["2", "1", "0"]
    assert second["next"] is None


def test_the_list_takes_filter_category_and_words(arrive: Any, by_token: Any) -> None:
    arrive("alice", title="Half price", category="marketing")
    [key] = arrive("alice", title="Half way", category="marketing")
    arrive("alice", title="Half a parcel")
    person = by_token("alice")
    person.post("read", {"ids": [show("dlv", key)]})
    assert [item["title"] for item in person.get(filter="unread", category="marketing", q="half").json["data"]] == [
        "Half price"
    ]


SENSELESS_QUESTIONS = [
    ({"limit": "0"}, "/limit"),
    ({"limit": "201"}, "/limit"),
    ({"limit": "ten"}, "/limit"),
    ({"limit": "1.5"}, "/limit"),
    ({"filter": "some"}, "/filter"),
    ({"category": "nonsense"}, "/category"),
    ({"q": "x" * 201}, "/q"),
    ({"q": "\0"}, "/q"),
    ({"after": "a b"}, "/after"),
    ({"after": "%"}, "/after"),
    ({"colour": "red"}, "/colour"),
]


def test_a_question_that_makes_no_sense_is_refused_at_its_place(by_token: Any, subtests: pytest.Subtests) -> None:
    person = by_token("alice")
    for query, pointer in SENSELESS_QUESTIONS:
        with subtests.test(**query):
            response = person.get(**query)
            assert response.status_code == 422
            assert [fault["pointer"] for fault in response.json["errors"]] == [pointer]


def test_what_is_no_cursor_is_refused(by_token: Any) -> None:
    response = by_token("alice").get(after="nonsense")
    assert (response.status_code, response.json["code"]) == (422, "validation_failed")
    assert [fault["code"] for fault in response.json["errors"]] == ["invalid_cursor"]


def test_changes_are_asked_for_by_number(by_token: Any) -> None:
    person = by_token("alice")
    questions: list[dict[str, str]] = [{}, *({"since": since} for since in ("", "-1", "x", "1.0"))]
    assert [question for question in questions if person.get("/changes", **question).status_code != 422] == []


def test_a_number_too_high_means_reading_again(by_token: Any) -> None:
    assert by_token("alice").get("/changes", since="999999999999999999").json == {"reset": True}


# --- marks


@pytest.mark.parametrize(
    ("calls", "answer"),
    [
        ([("seen", None)], (3, 0, 6)),
        ([("seen", {})], (3, 0, 6)),
        ([("seen", {"ids": [0]})], (3, 2, 4)),
        ([("read", {"ids": [0, 1]})], (1, 1, 5)),
        ([("read", {"all": True})], (0, 0, 6)),
        ([("read", {"all": True, "category": "marketing"})], (2, 2, 4)),
        ([("read", {"all": True}), ("unread", {"ids": [2]})], (1, 0, 7)),
        ([("archive", {"ids": [0]})], (2, 2, 4)),
        ([("archive", {"all": True}), ("unarchive", {"all": True})], (3, 3, 9)),
        ([("archive", {"ids": [0, 1]}), ("unarchive", {"ids": [1]})], (2, 2, 6)),
        ([("snooze", {"ids": [0], "until": "tomorrow"})], (2, 2, 4)),
        ([("snooze", {"ids": [0], "until": "tomorrow"}), ("snooze", {"ids": [0], "until": None})], (3, 3, 5)),
        ([("snooze", {"all": True, "category": "marketing", "until": "tomorrow"})], (2, 2, 4)),
        ([("snooze", {"all": True, "until": None})], (3, 3, 3)),
        ([("snooze", {"all": True, "until": "tomorrow"}), ("snooze", {"all": True, "until": None})], (3, 3, 9)),
        ([("read", {"ids": ["bob's", "unknown", "nonsense", "ntf_1", ""]})], (3, 3, 3)),
        ([("read", {"ids": []})], (3, 3, 3)),
    ],
)
def test_a_mark_answers_with_the_counts(
    arrive: Any, by_token: Any, calls: list[tuple[str, Any]], answer: tuple[int, int, int]
) -> None:
    shown = [show("dlv", key) for key in arrive("alice", "alice") + arrive("alice", category="marketing")]
    names: dict[Any, str] = dict(enumerate(shown)) | {
        "bob's": show("dlv", arrive("bob")[0]),
        "unknown": show("dlv", new_id()),
    }
    person = by_token("alice")
    for mark, body in calls:
        if body and "ids" in body:
            body = body | {"ids": [names.get(name, name) for name in body["ids"]]}
        if body and body.get("until"):
            body = body | {"until": (now() + timedelta(days=1)).isoformat()}
        response = person.post(mark, body)
        assert response.status_code == 200, response.json
    assert tuple(response.json[name] for name in ("unread", "unseen", "seq")) == answer
    page = person.get().json
    assert (page["unread"], page["unseen"], page["seq"]) == answer
    assert by_token("bob").get().json["unread"] == 1


SENSELESS_MARKS: list[tuple[str, Any]] = [
    ("read", {}),
    ("read", {"all": False}),
    ("read", {"all": "yes"}),
    ("read", {"ids": "dlv_1"}),
    ("read", {"ids": [1]}),
    ("read", {"ids": [None]}),
    ("read", {"ids": ["dlv_0"] * 1001}),
    ("read", {"ids": [f"dlv_{number:032x}" for number in range(10_000)]}),
    ("read", {"ids": ["x" * 65]}),
    ("read", {"ids": ["\0"]}),
    ("read", {"ids": [], "all": True}),
    ("read", {"ids": [], "category": "social"}),
    ("read", {"all": True, "category": "nonsense"}),
    ("read", {"all": True, "colour": "red"}),
    ("read", []),
    ("read", "all"),
    ("seen", {"ids": [], "all": True}),
    ("snooze", {"ids": []}),
    ("snooze", {"until": "2999-01-01T00:00:00Z"}),
    ("snooze", {"ids": [], "until": "2999-01-01T00:00:00Z"}),
    ("snooze", {"ids": [], "until": "2020-01-01T00:00:00Z"}),
    ("snooze", {"ids": [], "until": "2026-12-01T09:00:00"}),
    ("snooze", {"ids": [], "until": 5}),
    ("snooze", {"all": True}),
    ("snooze", {"until": None}),
    ("snooze", {"ids": [], "filter": "unread", "until": None}),
]


def test_a_mark_that_makes_no_sense_changes_nothing(arrive: Any, by_token: Any, subtests: pytest.Subtests) -> None:
    arrive("alice")
    person = by_token("alice")
    for mark, body in SENSELESS_MARKS:
        with subtests.test(mark=mark, body=str(body)[:80]):
            response = person.post(mark, body)
            assert (response.status_code, response.json["code"]) == (422, "validation_failed")
            assert response.json["errors"]
            assert person.get().json["seq"] == 1


def test_malformed_json_is_named_as_such(by_token: Any) -> None:
    person = by_token("alice")
    for text in ("{", "", "NaN", '{"ids": ['):
        response = person.client.post(
            f"{INBOX}/read", data=text, headers=person.headers, content_type="application/json"
        )
        assert (response.status_code, response.json["code"]) == (400, "malformed_json")


def test_a_thousand_ids_are_not_too_many(arrive: Any, by_token: Any) -> None:
    [key] = arrive("alice")
    ids = [show("dlv", new_id()) for _ in range(999)] + [show("dlv", key)]
    assert by_token("alice").post("read", {"ids": ids}).json == {
        "unread": 0,
        "unseen": 0,
        "seq": 2,
        "changed_ids": [show("dlv", key)],
    }


@pytest.mark.parametrize(
    ("mark", "undo"),
    [("read", "unread"), ("unread", "read"), ("archive", "unarchive"), ("unarchive", "archive"), ("snooze", "snooze")],
)
def test_a_mark_names_what_it_has_changed_so_that_it_can_be_undone(
    arrive: Any, by_token: Any, mark: str, undo: str
) -> None:
    [touched, untouched] = [show("dlv", key) for key in arrive("alice", "alice")]
    person = by_token("alice")
    until = {"until": (now() + timedelta(days=1)).isoformat()}
    before: dict[str, tuple[str, dict[str, Any]]] = {"unread": ("read", {}), "unarchive": ("archive", {})}
    if mark in before:  # the one is as the mark found it …
        person.post(before[mark][0], {"ids": [touched]})
    else:  # … or the other is already as the mark leaves it
        person.post(mark, {"ids": [untouched]} | (until if mark == "snooze" else {}))
    answer = person.post(mark, {"ids": [touched, untouched]} | (until if mark == "snooze" else {})).json
    assert answer["changed_ids"] == [touched]
    undone = person.post(undo, {"ids": answer["changed_ids"]} | ({"until": None} if undo == "snooze" else {})).json
    assert undone["changed_ids"] == [touched]


def test_seeing_names_nothing_since_nobody_takes_it_back(arrive: Any, by_token: Any) -> None:
    arrive("alice")
    assert by_token("alice").post("seen").json == {"unread": 1, "unseen": 0, "seq": 2}


def test_the_inbox_of_an_erased_person_is_empty(app: APIFlask, by_token: Any) -> None:
    person = by_token("ghost")
    assert person.get().json["data"] == []
    assert person.post("read", {"all": True}).json == {"unread": 0, "unseen": 0, "seq": 0, "changed_ids": []}


def test_what_one_tab_marks_every_tab_is_told(arrive: Any, by_token: Any, ear: Any) -> None:
    [key] = arrive("alice")
    ear.heard()
    by_token("alice").post("archive", {"ids": [show("dlv", key)]})
    [(user_id, event, payload)] = ear.heard()
    assert (user_id, event, payload["seq"], len(payload["changed"])) == ("alice", "state", 2, 1)
    marks.unarchive("alice", Chosen((key,)))
    assert by_token("alice").get("/changes", since=2).json["changed"][0]["archived_at"] is None


# --- why


def test_an_item_tells_its_person_why_it_came(api: Any, cast: Any, by_token: Any) -> None:
    submitted = api.post(
        "/api/v1/notifications",
        {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "channels": ["inapp"]},
    )
    key = submitted.json["notifications"][0]["deliveries"][0]["id"]

    answer = by_token("alice").get(f"/{key}/why")

    assert (answer.status_code, answer.json["language"]) == (200, "en")
    assert answer.json["title"]
    assert answer.json["sentences"][0] == "It was delivered."
    assert answer.json["description"] == "Your order has left our warehouse, with a link to track it."
    assert by_token("alice").get(f"/{key}/why", language="de").json["language"] == "en"  # her own
    assert api.patch("/api/v1/users/alice", {"locale": None}).status_code == 200
    german = by_token("alice").get(f"/{key}/why", language="de-AT").json
    assert (german["language"], german["sentences"][0]) == ("de", "Sie wurde zugestellt.")
    assert by_token("alice").get(f"/{key}/why", language="../en").status_code == 422
    assert by_token("bob").get(f"/{key}/why").status_code == 404
    assert by_token("alice").get(f"/{show('dlv', new_id())}/why").status_code == 404
    assert by_token("alice").get("/nonsense/why").status_code == 404
