"""What Alertmanager says reaches every admin."""

from typing import Any

import pytest
import time_machine
from apiflask import APIFlask
from limits import parse

from notifier.access import accounts
from notifier.access.keys import create_key, create_producer
from notifier.ground.clock import now
from notifier.models import InboxItem, Notification
from tests.conftest import Api
from tests.stored import row_counts, rows

ALERT = {
    "status": "firing",
    "labels": {"alertname": "NotifierNoWorkers", "severity": "critical"},
    "annotations": {"summary": "No worker runs", "description": "Nothing is sent.", "page": "admin/queues"},
    "startsAt": "2026-11-20T09:15:00.123Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
    "fingerprint": "c0ffee",
}
# As Alertmanager 0.25 sends it
TOLD = {
    "receiver": "notifier",
    "status": "firing",
    "alerts": [ALERT],
    "groupLabels": {"alertname": "NotifierNoWorkers"},
    "commonLabels": ALERT["labels"],
    "commonAnnotations": ALERT["annotations"],
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="NotifierNoWorkers"}',
    "truncatedAlerts": 0,
}
OVER = {**TOLD, "status": "resolved", "alerts": [{**ALERT, "status": "resolved"}]}


@pytest.fixture
def alerting(client: Any, app: APIFlask) -> Api:
    """With a key that may do nothing else, and an admin to tell."""
    accounts.create_account("root@x.test", None, "admin", "root")
    return Api(client, create_key(create_producer("Alertmanager").id, scopes=["alerts"])[1])


def items() -> list[tuple[str, str, str | None]]:
    return [(item.title, item.body, item.action_url) for item in rows(InboxItem) if item.replaced_by is None]


def test_an_alert_is_in_the_inbox_of_every_admin(alerting: Api) -> None:
    accounts.create_account("second@x.test", None, "admin", "second")
    accounts.create_account("viewer@x.test", None, "viewer", "viewer")
    assert alerting.post("/api/v1/alerts", TOLD).status_code == 202
    assert {n.user_id for n in rows(Notification)} == {"root", "second"}
    [(title, body, url), _] = items()
    assert title == "Alert: No worker runs"
    assert body.startswith("Nothing is sent. Since ")
    assert url == "http://localhost/admin/queues"


# What is said → priority, title
SAID = [
    (TOLD, "urgent", "Alert: No worker runs"),
    (OVER, "medium", "Resolved: No worker runs"),
    ({**TOLD, "alerts": [{**ALERT, "labels": {"alertname": "A", "severity": "warning"}}]}, "high", None),
    ({**TOLD, "alerts": [{**ALERT, "annotations": {}}]}, "urgent", "Alert: NotifierNoWorkers"),
    ({**TOLD, "alerts": [ALERT, ALERT, OVER["alerts"][0]]}, "urgent", "Alert: No worker runs (2 alerts)"),
    (
        {**TOLD, "alerts": [{**ALERT, "annotations": {"summary": "x" * 5_000, "description": "y" * 5_000}}]},
        "urgent",
        None,
    ),
    ({"status": "firing", "alerts": [{"status": "firing", "labels": {}}]}, "high", "Alert: alert"),
]


@pytest.mark.parametrize(("told", "priority", "title"), SAID)
def test_what_is_said_decides_how_pressing_it_is(
    alerting: Api, told: dict[str, Any], priority: str, title: str | None
) -> None:
    assert alerting.post("/api/v1/alerts", told).status_code == 202
    assert [n.priority for n in rows(Notification)] == [priority]
    if title:
        assert [found for found, *_ in items()] == [title]


def test_what_is_over_takes_the_place_of_what_nobody_has_read(alerting: Api) -> None:
    for told in (TOLD, TOLD, OVER):
        alerting.post("/api/v1/alerts", told)
    assert [title for title, *_ in items()] == ["Resolved: No worker runs"]


# the annotation `page` → where the notification leads
PAGES = [
    ("admin/providers/smtp", "http://localhost/admin/providers/smtp"),
    ("/admin/", "http://localhost/admin"),
    ("https://evil.example/admin", "http://localhost/admin/"),
    ("//evil.example", "http://localhost/admin/"),
    ("admin/../login?next=x", "http://localhost/admin/"),
    ("", "http://localhost/admin/"),
]


@pytest.mark.parametrize(("page", "url"), PAGES)
def test_it_leads_to_a_page_of_the_console_and_nowhere_else(alerting: Api, page: str, url: str) -> None:
    alerting.post("/api/v1/alerts", {**TOLD, "alerts": [{**ALERT, "annotations": {"page": page}}]})
    assert [found for *_, found in items()] == [url]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**TOLD, "alerts": []},
        {**TOLD, "status": "maybe"},
        {**TOLD, "version": "5"},
        {**TOLD, "alerts": [{**ALERT, "labels": {"a": 1}}]},
        {**TOLD, "alerts": [{**ALERT, "annotations": {"summary": "a\0b"}}]},
        {**TOLD, "alerts": [ALERT] * 1_001},
    ],
)
def test_what_alertmanager_does_not_say_is_refused_and_stores_nothing(alerting: Api, told: dict[str, Any]) -> None:
    before = row_counts()
    assert alerting.post("/api/v1/alerts", told).status_code == 422
    assert row_counts() == before


def test_a_stolen_key_does_not_ring_all_night(alerting: Api, app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.extensions["alerts_limiter"], "item", parse("2/10 minutes"))
    with time_machine.travel(now(), tick=False):
        told = [alerting.post("/api/v1/alerts", {**TOLD, "groupKey": str(number)}) for number in range(3)]
    assert [answer.status_code for answer in told] == [202, 202, 429]
    assert told[-1].headers["RateLimit-Policy"] == '"alerts";q=2;w=600'
    assert int(told[-1].headers["Retry-After"]) <= 600
    assert len(rows(Notification)) == 2


def test_a_test_key_may_not_tell_anybody(client: Any, app: APIFlask) -> None:
    accounts.create_account("root@x.test", None, "admin", "root")
    tester = Api(client, create_key(create_producer("Trial").id, scopes=["alerts"], is_test=True)[1])
    assert tester.post("/api/v1/alerts", TOLD).status_code == 403
    assert rows(Notification) == []


def test_another_scope_does_not_open_it(api: Api) -> None:
    key = create_key(create_producer("Shop").id, scopes=["notify", "admin"])[1]
    assert Api(api.client, key).post("/api/v1/alerts", TOLD).json["code"] == "scope_missing"
