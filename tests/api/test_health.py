"""Liveness, readiness, metrics."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from apiflask import APIFlask
from rq import Queue, SimpleWorker

from notifier.channels import serving
from notifier.channels.serving import Account
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.sink_urls import HttpSink
from notifier.ledgers.event_readers import SINK
from notifier.models import Event, EventReader, Subscription
from notifier.providers import health
from notifier.signals import liveness
from tests.metered import growth


def test_alive_is_alive(client: Any) -> None:
    response = client.get("/healthz")

    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert response.headers["Notifier-Forwarded"] == "0"
    through = client.get("/healthz", headers={"X-Forwarded-For": "203.0.113.9, 10.0.0.1"})
    assert through.headers["Notifier-Forwarded"] == "2"


def test_without_workers_or_schedulers_it_is_degraded_but_ready(client: Any) -> None:
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (
        200,
        {"status": "degraded", "database": "ok", "redis": "ok", "workers": 0, "schedulers": 0},
    )


def test_with_all_of_them_it_is_ok(client: Any, app: APIFlask) -> None:
    worker = SimpleWorker([Queue("email.high", connection=redis_store.client)], connection=redis_store.client)
    worker.register_birth()
    liveness.beat_scheduler(redis_store.client, "one")
    liveness.beat_scheduler(redis_store.client, "two")

    assert client.get("/readyz").json == {
        "status": "ok",
        "database": "ok",
        "redis": "ok",
        "workers": 1,
        "schedulers": 2,
    }


@pytest.fixture
def without_redis(app: APIFlask) -> Iterator[None]:
    client = app.extensions["redis"]
    pool = client.connection_pool
    client.connection_pool = redis.ConnectionPool(host="127.0.0.1", port=1)
    yield
    client.connection_pool = pool


@pytest.mark.usefixtures("without_redis")
def test_without_redis_it_is_degraded_but_ready(client: Any) -> None:
    response = client.get("/readyz")

    assert (response.status_code, response.json) == (
        200,
        {"status": "degraded", "database": "ok", "redis": "unavailable", "workers": 0, "schedulers": 0},
    )


def test_metrics_count_requests_and_queues(client: Any, api: Any, cast: Any) -> None:
    with growth() as grown:
        api.post(
            "/api/v1/notifications",
            {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "channels": ["email"]},
        )
    of_request = "{endpoint=api_notifications.submit_notification,method=POST,status=202}"
    assert grown[f"notifier_http_requests_total{of_request}"] == 1
    assert grown["notifier_producer_requests_total{producer=Shop,status=202}"] == 1
    assert grown["notifier_queue_arrivals_total{queue=email.high}"] == 1
    assert grown["notifier_batch_items_count{stage=submissions}"] == 1

    response = client.get("/metrics")

    assert (response.status_code, response.mimetype) == (200, "text/plain")
    lines = response.text.splitlines()
    assert 'notifier_queue_depth{queue="email.high"} 1.0' in lines
    assert 'notifier_deliveries_held_back{queue="email.high"} 0.0' in lines
    assert {"notifier_redis_up 1.0", "notifier_database_up 1.0"} <= set(lines)
    [age] = [line.split()[1] for line in lines if line.startswith('notifier_queue_oldest_seconds{queue="email.high"}')]
    assert 0 <= float(age) < 3600


def test_with_a_token_metrics_are_for_those_who_show_it(
    client: Any, app: APIFlask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-for-tests"
    monkeypatch.setitem(app.extensions, "settings", dataclasses.replace(settings, metrics_token=token))
    refused = client.get("/metrics", headers={"Authorization": "Bearer another"})
    assert (refused.status_code, refused.json["code"]) == (401, "unauthenticated")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_breakers_are_told_by_provider_and_never_by_host(client: Any, app: APIFlask, configure: Any) -> None:
    configure(main="smtp://127.0.0.1:1")
    serving.registry().configure([*(a for a, _ in serving.registry().accounts()), Account("hook", "webhook", {})])
    health.force("main", "open")
    bad = {f"hook:h{n}.example:443": health.Tally(bad=20) for n in range(3)}
    health.report({**bad, "hook:well.example:443": health.Tally(good=1), "gone": health.Tally(good=1)})
    lines = set(client.get("/metrics").text.splitlines())
    assert 'notifier_breakers{provider="main",state="forced_open"} 1.0' in lines
    assert 'notifier_breakers{provider="hook",state="open"} 3.0' in lines
    assert 'notifier_breakers{provider="hook",state="closed"} 2.0' in lines  # that of all others, too
    assert not [line for line in lines if "example" in line or '"gone"' in line]
    [blocked] = [x.split()[1] for x in lines if x.startswith('notifier_provider_blocked_seconds{provider="hook"}')]
    assert 0 < float(blocked) <= health.OPEN_MS / 1000


def test_one_dead_server_of_somebody_s_is_no_breaker_of_the_provider(client: Any, app: APIFlask) -> None:
    """An alert that nothing goes out by a provider waits until none of its breakers is closed."""
    health.report({"webhook:dead.example:443": health.Tally(bad=20)})
    lines = set(client.get("/metrics").text.splitlines())
    for state in ("open", "closed"):
        assert f'notifier_breakers{{provider="webhook",state="{state}"}} 1.0' in lines


def test_metrics_tell_how_far_behind_status_webhooks_are(client: Any, app: APIFlask, caller: Any) -> None:
    with transaction() as session:
        row = {"kind": "delivery.sent", "at": now() - timedelta(hours=1), "is_test": False}
        session.execute(sa.insert(Event), [{**row, "producer_id": caller.producer_id}, {**row, "producer_id": None}])
        mine = {"producer_id": caller.producer_id, "secret": "s", "kinds": ["*"], "position": 0}
        session.add(Subscription(url="https://a.example/", **mine))
        session.add(Subscription(url="https://b.example/", **mine, disabled_at=now()))
    assert 3600 <= behind(client) < 7200
    with transaction() as session:
        session.execute(sa.update(Subscription).values(position=sa.select(sa.func.max(Event.id)).scalar_subquery()))
    assert behind(client) == 0


def behind(client: Any) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(x.split()[1] for x in lines if x.startswith("notifier_subscriptions_behind_seconds ")))


def test_metrics_tell_how_far_behind_the_sink_is(
    client: Any, app: APIFlask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "notifier_sink" not in client.get("/metrics").text
    monkeypatch.setitem(
        app.extensions, "settings", dataclasses.replace(settings, events_sink=HttpSink("https://collector.example/"))
    )
    with transaction() as session:
        session.execute(sa.insert(Event), {"kind": "delivery.sent", "at": now() - timedelta(hours=1), "is_test": False})
        row = {"name": SINK, "position": 0, "set_aside": 3, "missed": 4}
        session.execute(sa.insert(EventReader), row)
    lines = client.get("/metrics").text.splitlines()
    assert {"notifier_sink_set_aside_total 3.0", "notifier_sink_missed_total 4.0"} <= set(lines)
    [behind] = [line.split()[1] for line in lines if line.startswith("notifier_sink_behind_seconds ")]
    assert float(behind) >= 3600


@pytest.mark.usefixtures("without_redis")
def test_metrics_say_that_redis_is_away(client: Any) -> None:
    lines = client.get("/metrics").text.splitlines()
    assert "notifier_redis_up 0.0" in lines
    assert not [line for line in lines if line.startswith(("notifier_queue_depth", "notifier_workers"))]
