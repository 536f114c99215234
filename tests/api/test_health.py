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

from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.sink_urls import HttpSink
from notifier.ledgers.event_readers import SINK
from notifier.models import Event, EventReader
from notifier.signals import liveness


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
    api.post(
        "/api/v1/notifications",
        {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}, "channels": ["email"]},
    )

    response = client.get("/metrics")

    assert (response.status_code, response.mimetype) == (200, "text/plain")
    lines = response.text.splitlines()
    assert any(
        line.startswith(
            'notifier_http_requests_total{endpoint="api_notifications.submit_notification",method="POST",status="202"}'
        )
        for line in lines
    )
    assert 'notifier_queue_depth{queue="email.high"} 1.0' in lines
    assert 'notifier_deliveries_held_back{queue="email.high"} 0.0' in lines
    assert "notifier_redis_up 1.0" in lines


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
    assert "notifier_redis_up 0.0" in client.get("/metrics").text.splitlines()
