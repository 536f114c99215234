"""GET /api/v1/events: what became of messages, to whom it is told, and what is refused."""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys
from notifier.core import events as names
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.ledgers import events as stream
from notifier.models import Event, EventStream, Producer
from notifier.people import profiles
from notifier.queries import events as queries
from notifier.queries import shown_events
from notifier.signals import news
from tests.conftest import Api
from tests.stored import sent_statements

ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "channels": ["inapp"]}


@pytest.fixture(autouse=True)
def _nothing_is_pruned(app: APIFlask) -> Iterator[None]:
    yield
    with transaction() as session:
        session.execute(sa.update(EventStream).values(pruned=0))


def lines(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.content_type == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/x-ndjson"),
        ("application/json", "application/x-ndjson"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/plain, application/x-ndjson;q=0.1", "application/x-ndjson"),
    ],
)
def test_who_wants_text_gets_the_same_lines_as_such(api: Api, accept: str, kind: str) -> None:
    told(kind="delivery.sent")
    response = api.get("/api/v1/events", headers={"Accept": accept})
    assert (response.content_type, response.text.count("\n")) == (kind, 1)


def key_of(name: str, *scopes: str, is_test: bool = False) -> str:
    producer = db.session.scalar(sa.select(Producer).where(Producer.name == name)) or keys.create_producer(name)
    return keys.create_key(producer.id, scopes=scopes, is_test=is_test)[1]


def told(**columns: Any) -> int:
    with transaction() as session:
        row = {"kind": "delivery.sent", "at": now(), "is_test": False, **columns}
        return int(session.execute(sa.insert(Event).returning(Event.id), row).scalar_one())


def test_a_notification_is_followed_from_acceptance_to_reading(api: Api, cast: dict[str, str]) -> None:
    made = api.post("/api/v1/notifications", ORDER, headers={"Idempotency-Key": "order-1"}).json
    [notification] = made["notifications"]
    [delivery] = notification["deliveries"]
    marks.read("alice", Chosen())

    first, *others = found = lines(api.get("/api/v1/events"))

    assert [event["type"] for event in found] == ["delivery.delivered", "inbox.read", "delivery.opened"]
    assert first == {
        "id": f"evt_{first['cursor']}",
        "type": "delivery.delivered",
        "timestamp": first["timestamp"],
        "data": {
            "notification": notification["id"],
            "submission": made["id"],
            "user": "alice",
            "test": False,
            "notification_type": "order_shipped",
            "category": "transactional",
            "channel": "inapp",
            "delivery": {
                "id": delivery["id"],
                "channel": "inapp",
                "address": None,
                "provider": "inapp",
                "code": None,
            },
            "reason": None,
            "key": "order-1",
        },
        "cursor": first["cursor"],
    }
    assert lines(api.get(f"/api/v1/events?after={first['cursor']}")) == others
    assert lines(api.get(f"/api/v1/events?after={others[-1]['cursor']}")) == []


def test_pages_join_without_gap_or_repeat(api: Api) -> None:
    positions = [told() for _ in range(7)]
    seen, url = [], "/api/v1/events?limit=3"
    while found := lines(response := api.get(url)):
        seen += [shown_events.position_of(event["cursor"]) for event in found]
        url = response.headers["Link"].removeprefix("<").partition(">")[0]
    assert seen == positions


def test_the_next_link_goes_on_where_nothing_was_found(api: Api) -> None:
    told()
    response = api.get("/api/v1/events?types=inbox.*")
    assert lines(response) == []
    url = response.headers["Link"].removeprefix("<").partition(">")[0]
    told(kind="inbox.read")
    assert [event["type"] for event in lines(api.get(url))] == ["inbox.read"]


def test_an_answer_looks_at_so_many_events_and_leads_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "WINDOW", 2)
    for kind in (*["delivery.sent"] * 5, "inbox.read", *["delivery.sent"] * 5):
        told(kind=kind)
    found, url = [], "/api/v1/events?types=inbox.*"
    for _ in range(4):
        response = api.get(url)
        found.append([event["type"] for event in lines(response)])
        url = response.headers["Link"].removeprefix("<").partition(">")[0]
    assert found == [[], ["inbox.read"], [], []]
    assert lines(api.get("/api/v1/events?types=inbox.*", headers={"Prefer": "wait=20"})) != []


@pytest.mark.slow
def test_who_has_looked_at_everything_waits(
    app: APIFlask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WINDOW", 2)
    for _ in range(4):
        told()
    with transaction() as session:  # the end is behind the last event: positions were given to what was undone
        if db.engine.dialect.name == "postgresql":
            session.execute(sa.text("SELECT nextval('event_id_seq')"))
        else:
            last = sa.select(sa.func.max(Event.id) + 1).scalar_subquery()
            session.execute(sa.update(EventStream).values(pruned=last))
    key = key_of("Shop", "read", "admin")
    with sent_statements() as sent:
        Api(client, key).get("/api/v1/events?types=inbox.*", headers={"Prefer": "wait=1"})
    assert len([statement for statement in sent if "next_ones" in statement]) < 10


@pytest.mark.parametrize(
    ("scopes", "is_test", "sees"),
    [
        (("read",), False, {"own", "own test"}),
        (("read", "users"), False, {"own", "own test", "nobody's"}),
        (("read", "admin"), False, {"own", "own test", "nobody's", "other's", "other's test"}),
        (("read",), True, {"own test"}),
        (("read", "admin"), True, {"own test", "other's test"}),
    ],
)
def test_keys_see_their_own(
    client: FlaskClient, scopes: tuple[str, ...], is_test: bool, sees: set[str], accept_json: Any
) -> None:
    key = key_of("Shop", *scopes, is_test=is_test)
    other = keys.create_producer("Bank")
    shop = db.session.scalar(sa.select(Producer.id).where(Producer.name == "Shop"))
    told(producer_id=shop, reason="own")
    told(producer_id=shop, reason="own test", is_test=True, user_id="~alice")
    told(producer_id=other.id, reason="other's")
    told(producer_id=other.id, reason="other's test", is_test=True, user_id="~alice")
    told(reason="nobody's")
    found = lines(Api(client, key).get("/api/v1/events"))
    assert {event["data"]["reason"] for event in found} == sees


def test_a_key_without_the_scope_is_refused(client: FlaskClient, app: APIFlask) -> None:
    assert Api(client, key_of("Shop", "notify")).get("/api/v1/events").status_code == 403


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("types=delivery.eaten", 422, "validation_failed"),
        ("types=delivery", 422, "validation_failed"),
        ("types=*", 422, "validation_failed"),
        ("types=", 422, "validation_failed"),
        ("types=inbox.read,nothing.*", 422, "validation_failed"),
        ("limit=0", 422, "validation_failed"),
        ("limit=1001", 422, "validation_failed"),
        ("since=2026-01-01", 422, "validation_failed"),
        ("after=xyz", 422, "validation_failed"),
        ("after=" + "0" * 40, 422, "validation_failed"),
        ("after=%00", 422, "validation_failed"),
    ],
)
def test_what_cannot_be_meant_is_refused(api: Api, query: str, status: int, code: str) -> None:
    response = api.get(f"/api/v1/events?{query}")
    assert (response.status_code, response.json["code"]) == (status, code)


def test_a_cursor_of_another_database_is_refused(api: Api) -> None:
    told()
    [event] = lines(api.get("/api/v1/events"))
    with transaction() as session:
        name = session.scalar(sa.select(EventStream.name))
        session.execute(sa.update(EventStream).values(name=name[::-1]))
    response = api.get(f"/api/v1/events?after={event['cursor']}")
    assert (response.status_code, response.json["errors"][0]["code"]) == (422, "invalid_cursor")
    assert "another database" in response.json["detail"]


def test_what_is_too_old_is_pruned_and_who_missed_it_is_told(api: Api) -> None:
    kept = current_settings().retention["events"]
    told(at=now() - kept * 1.2)
    told(at=now() - kept * 1.1)
    new = told()
    first, second, third = (event["cursor"] for event in lines(api.get("/api/v1/events")))

    assert stream.prune() == 2

    assert [shown_events.position_of(event["cursor"]) for event in lines(api.get("/api/v1/events"))] == [new]
    assert len(lines(api.get(f"/api/v1/events?after={second}"))) == 1  # nothing that is gone was missed
    assert lines(api.get(f"/api/v1/events?after={third}")) == []
    response = api.get(f"/api/v1/events?after={first}")
    assert (response.status_code, response.json["code"]) == (410, "cursor_expired")


def test_who_had_no_events_for_long_has_missed_none(api: Api, app: APIFlask) -> None:
    """Its cursor moves on past the events of others, which are pruned before long."""
    quiet = {"headers": {"Authorization": f"Bearer {key_of('Quiet', 'read')}"}}
    told(at=now() - current_settings().retention["events"] * 1.1)
    told()
    answer = app.test_client().get("/api/v1/events", **quiet)
    assert lines(answer) == []
    following = re.search(r"<([^>]+)>", answer.headers["Link"])[1]
    assert stream.prune() == 1
    assert "after=" in following
    assert app.test_client().get(following, **quiet).status_code == 200


def test_erasure_leaves_the_events_without_the_person(api: Api, cast: dict[str, str]) -> None:
    api.post("/api/v1/notifications", {**ORDER, "channels": ["inapp", "email"]}, headers={"Idempotency-Key": "alice-1"})
    api.post("/api/v1/notifications", {**ORDER, "recipients": ["bob"]})
    profiles.erase("alice")
    found = lines(api.get("/api/v1/events"))
    assert [(event["type"], event["data"]["user"]) for event in found] == [
        ("delivery.delivered", None),
        ("delivery.delivered", "bob"),
        ("delivery.cancelled", None),  # the mail that had not gone out
    ]
    assert all("alice" not in json.dumps(event) for event in found)
    assert found[0]["data"]["notification_type"] == "order_shipped"


# ---- long polls -----------------------------------------------------------------------------------------------------


def test_who_waits_is_answered_when_there_is_something(app: APIFlask, api: Api) -> None:
    waiting: Counter[Any] = app.extensions.setdefault("waiting_for_events", Counter())

    def tell() -> None:
        with app.app_context():
            while not waiting:
                time.sleep(0.01)
            told()
            news.tell()

    teller = threading.Thread(target=tell)
    teller.start()
    response = api.get("/api/v1/events", headers={"Prefer": "respond-async, wait=25"})
    teller.join()
    assert [event["type"] for event in lines(response)] == ["delivery.sent"]
    assert response.headers["Preference-Applied"] == "wait=25"
    assert not waiting


@pytest.mark.slow
def test_who_waits_in_vain_is_told_so(api: Api) -> None:
    response = api.get("/api/v1/events", headers={"Prefer": "wait=1"})
    assert (lines(response), response.headers["Preference-Applied"]) == ([], "wait=1")


@pytest.mark.slow
def test_who_waits_holds_no_connection(app: APIFlask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    monkeypatch.setattr(news, "wait", lambda _known, most_s: (held.append(db.engine.pool.checkedout()), time.sleep(1)))
    api.get("/api/v1/events", headers={"Prefer": "wait=1"})
    assert held
    assert set(held) == {0}


def test_of_many_that_wait_some_are_answered_at_once(app: APIFlask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notifier.api.events.MOST_OF_ONE", 0)
    response = api.get("/api/v1/events", headers={"Prefer": "wait=30"})
    assert lines(response) == []
    assert "Preference-Applied" not in response.headers


def test_the_names_in_the_document_are_those_that_are_told(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    assert tuple(schemas["EventOut"]["properties"]["type"]["enum"]) == names.KINDS
