"""`notifier-client`, from its wheel, against a served installation."""

import re
import sys
import time
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from pytest_flask.live_server import LiveServer

from notifier.ground.config import ROOT
from notifier.ground.extensions import db
from notifier.models import Submission
from tests.clients.test_python_alone import BODY, SECRET, signed
from tests.wire import AGAIN, CLOSED, LOST, Wire

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

WireTo = Callable[[str | None], Wire]


@pytest.fixture
def wire(live_server: LiveServer, wire_to: WireTo) -> Wire:
    return wire_to(live_server.url().rstrip("/"))


@pytest.fixture
def notifier(client_package: Any, wire: Wire, producer_key: str) -> Any:
    return client_package.Client(wire.url, key=producer_key)


def submissions() -> int:
    db.session.rollback()
    return db.session.scalar(sa.select(sa.func.count(Submission.id))) or 0


@pytest.mark.slow
def test_a_day_with_it(notifier: Any, client_package: Any, cast: dict[str, str]) -> None:
    sent = notifier.send("like", ["alice", {"id": "zoe", "name": "Zoe"}], {"actor": "Bob"}, channels=["inapp"])
    assert [one["user"] for one in sent["notifications"]] == ["alice", "zoe"]
    assert notifier.wait(sent["id"], timeout_s=0)["notifications"][0]["deliveries"][0]["status"] == "delivered"
    told = notifier.notification(sent["notifications"][0]["id"])
    assert (told["type"], told["data"]) == ("like", {"actor": "Bob"})
    [rehearsed] = notifier.preview("like", "alice", {"actor": "Bob"})
    assert rehearsed["user"] == "alice"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = notifier.send("like", "alice", {"actor": "Carol"}, send_at=tomorrow, idempotency_key="like-7")
    assert notifier.send("like", "alice", {"actor": "Carol"}, send_at=tomorrow, idempotency_key="like-7") == later
    with pytest.raises(TimeoutError):
        notifier.wait(later["id"], timeout_s=0)
    [waiting] = [one["id"] for one in later["notifications"]]
    assert {one["status"] for one in notifier.cancel(waiting)["deliveries"]} <= {"cancelled", "skipped"}
    with pytest.raises(client_package.Conflict) as refused:
        notifier.cancel(waiting)
    assert refused.value.code == "nothing_to_cancel"
    assert {one["user"] for one in notifier.notifications(user="alice,zoe")} == {"alice", "zoe"}
    assert notifier.put_user("ann+b@c", email="ann@example.test")["id"] == "ann+b@c"
    assert notifier.user_token("zoe")["token"]
    assert notifier.call("GET", "/api/v1/types/like")["key"] == "like"
    assert "like" in {one["key"] for one in notifier.pages("/api/v1/types")}


@pytest.mark.slow
def test_the_same_is_sent_once_whatever_breaks(notifier: Any, wire: Wire, cast: dict[str, str]) -> None:
    wire.faults = [CLOSED, AGAIN, LOST, (429, {"Retry-After": "0"}), (502, {})]
    sent = notifier.send("like", "alice", {"actor": "Bob"})
    assert sent["notifications"][0]["user"] == "alice"
    assert (len(wire.seen), submissions()) == (6, 1)
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in wire.seen}) == 1
    wire.faults = [CLOSED]
    assert notifier.submission(sent["id"])["recipients"] == 1


@pytest.mark.slow
def test_what_may_not_be_repeated_is_not(client_package: Any, notifier: Any, wire: Wire, cast: dict[str, str]) -> None:
    wire.faults = [CLOSED]
    with pytest.raises(client_package.Unreachable) as failed:
        notifier.call("POST", "/api/v1/broadcasts/brd_x/retry-failed")
    assert failed.value.idempotency_key is None
    wire.faults = [AGAIN]  # says itself that nothing was done
    with pytest.raises(client_package.NotFound):
        notifier.call("POST", "/api/v1/broadcasts/brd_x/retry-failed")
    assert len(wire.seen) == 3


@pytest.mark.slow
def test_many_are_sent_in_as_few_calls_as_the_api_allows(notifier: Any, wire: Wire, cast: dict[str, str]) -> None:
    items = [{"type": "like", "recipients": ["alice"], "data": {"actor": f"{n}"}} for n in range(5)]
    items[3] = {**items[3], "type": "liek"}
    wire.faults = [LOST]
    results = notifier.send_many(iter(items), chunk=2)
    assert [(one.index, one.id is None) for one in results] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
        (4, False),
    ]
    [fault] = results[3].error.errors
    assert (results[3].error.status, fault.pointer, fault.suggestion) == (422, "/type", "like")
    assert (len(wire.seen), submissions()) == (4, 4)
    keys_seen = [headers["Idempotency-Key"] for _, _, headers, _ in wire.seen]
    assert (keys_seen[0], len(set(keys_seen))) == (keys_seen[1], 3)


@pytest.mark.slow
def test_an_access_token_is_kept_renewed_and_got_again_when_it_is_refused(
    client_package: Any, wire: Wire, cast: dict[str, str], producer_key: str
) -> None:
    notifier = client_package.Client(
        wire.url, client_id=producer_key[:16], client_secret=producer_key, scope="notify read"
    )

    def tokens_got() -> int:
        return [path for _, path, _, _ in wire.seen].count("/oauth/token")

    wire.faults = [AGAIN]
    sent = notifier.send("like", "alice", {"actor": "Bob"})
    notifier.submission(sent["id"])
    assert tokens_got() == 2  # the first was answered with 503
    wire.faults = [(401, {})]
    notifier.submission(sent["id"])
    assert tokens_got() == 3
    wire.faults = [(401, {}), AGAIN, (401, {})]  # with the new one, too
    with pytest.raises(client_package.Unauthenticated):
        notifier.submission(sent["id"])
    assert tokens_got() == 5
    notifier._transport._token.renew_at = time.monotonic()
    notifier.submission(sent["id"])
    assert tokens_got() == 6
    with pytest.raises(client_package.Forbidden) as refused:
        notifier.broadcasts.create("Sale", "promotional_offer", {"all": True})
    assert refused.value.code == "scope_missing"
    wrong = client_package.Client(wire.url, client_id=producer_key[:16], client_secret="wrong")
    with pytest.raises(client_package.Unauthenticated) as unknown:
        wrong.submission(sent["id"])
    assert unknown.value.code == "invalid_client"


@pytest.mark.slow
def test_a_broadcast_is_made_paused_and_cancelled(notifier: Any, wire: Wire, cast: dict[str, str]) -> None:
    wire.faults = [LOST]
    made = notifier.broadcasts.create("Sale", "promotional_offer", {"users": ["alice", "bob"]}, data={"title": "Blue"})
    assert (made["audience"], len(list(notifier.broadcasts.list()))) == (2, 1)
    assert notifier.broadcasts.pause(made["id"])["status"] == "paused"
    assert notifier.broadcasts.wait(made["id"], timeout_s=0)["status"] == "paused"
    assert notifier.broadcasts.resume(made["id"])["status"] in ("scheduled", "running")
    assert notifier.broadcasts.cancel(made["id"])["status"] == "cancelled"
    assert notifier.broadcasts.get(made["id"])["counts"]["notifications"] == 0
    assert list(notifier.broadcasts.recipients(made["id"], status="failed")) == []


@pytest.mark.slow
def test_lists_and_events_come_page_by_page(notifier: Any, wire: Wire, cast: dict[str, str]) -> None:
    notifier.send_many(
        {"type": "like", "recipients": ["alice"], "data": {"actor": f"{n}"}, "channels": ["inapp"]} for n in range(3)
    )
    wire.seen.clear()
    assert len(list(notifier.pages("/api/v1/notifications", limit=2))) == 3
    assert len(wire.seen) == 2
    found = _until(lambda: list(notifier.events(types="delivery.*")), lambda events: len(events) == 3)
    assert [event["type"] for event in found] == ["delivery.delivered"] * 3
    assert list(notifier.events(found[-1]["cursor"])) == []
    followed = notifier.events(found[0]["cursor"], types="delivery.*", follow=True, wait_s=1)
    assert [next(followed)["id"] for _ in range(2)] == [event["id"] for event in found[1:]]


def _until(ask: Callable[[], Any], is_there: Callable[[Any], bool]) -> Any:
    """Events of the last moment take up to two seconds."""
    give_up_at = time.monotonic() + 120
    while not is_there(found := ask()):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_a_refusal_says_what_is_wrong_and_what_may_be_meant(
    notifier: Any, client_package: Any, cast: dict[str, str]
) -> None:
    with pytest.raises(client_package.Invalid) as refused:
        notifier.send("order_shiped", "alice")
    problem = refused.value
    assert (problem.status, problem.code, problem.suggestion) == (422, "unknown_type", "order_shipped")
    assert problem.errors[0].pointer == "/type"
    assert problem.request_id
    assert problem.detail in str(problem)
    with pytest.raises(client_package.Unauthenticated):
        client_package.Client(notifier._transport.base, key="ntf_live_wrong").send("like", "alice")


# The class of the client → the component of the document, where it is called otherwise
NAMED = {
    "Recipient": "Recipient",
    "Submission": "SubmissionIn",
    "Accepted": "SubmissionOut",
    "SubmissionStatus": "SubmissionStatusOut",
    "DecisionLine": "DecisionLine",
    "NotificationSummary": "NotificationSummary",
    "NotificationInFull": "NotificationInFull",
    "BroadcastCounts": "BroadcastCounts",
    "BroadcastRecipient": "BroadcastRecipient",
    "UserToken": "TokenOut",
    "RegionalPart": "RegionalPart",
    "RegionalProgress": "RegionalProgress",
}


def test_its_types_have_the_fields_that_the_document_has(client_package: Any, client: FlaskClient) -> None:
    shapes = sys.modules["notifier_client.shapes"]
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]
    classes = {name: made for name, made in vars(shapes).items() if typing.is_typeddict(made)}
    given = {
        "BroadcastOptions": set(schemas["BroadcastIn"]["properties"]) - {"name", "type", "audience", "idempotency_key"}
    }
    given["Options"] = set(schemas["SubmissionIn"]["properties"]) - {"type", "recipients", "data", "idempotency_key"}
    for name, made in classes.items():
        expected = given.get(name) or set(schemas[NAMED.get(name, f"{name}Out")]["properties"])
        assert set(typing.get_type_hints(made)) == expected, name
    for alias, field in (("Priority", "priority"), ("Routing", "routing")):
        [listed] = [one for one in schemas["SubmissionIn"]["properties"][field]["anyOf"] if "enum" in one]
        assert list(typing.get_args(getattr(shapes, alias))) == listed["enum"]
    assert list(typing.get_args(shapes.BroadcastStatus)) == schemas["BroadcastOut"]["properties"]["status"]["enum"]
    most = schemas["BulkIn"]["properties"]["notifications"]["maxItems"]
    assert most == sys.modules["notifier_client.client"].MOST_IN_BULK  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_readme_says_how_it_works(
    client_package: Any, live_server: LiveServer, producer_key: str, cast: dict[str, str]
) -> None:
    """Its snippets run, one after another."""
    text = (ROOT / "clients" / "python" / "README.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) >= 5
    place = {"URL": live_server.url().rstrip("/"), "KEY": producer_key, "SECRET": SECRET}
    place |= {"body": BODY.encode(), "headers": signed()}
    for snippet in snippets:
        exec(snippet, place)
