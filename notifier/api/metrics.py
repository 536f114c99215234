"""Metrics for Prometheus: counts and times of requests, and the lengths of queues, read from Redis and the database at
each scrape.
"""

import time
from collections.abc import Iterator

import redis
from flask import Flask, Response, current_app, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ledgers.event_readers import SINK
from notifier.queries import event_readers, overview
from notifier.signals import liveness, queueing

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One set for each app, since tests make several."""

    def __init__(self, client: redis.Redis) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "notifier_http_requests", "Requests answered", ["endpoint", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "notifier_http_request_seconds", "Time to answer", ["endpoint"], buckets=_BUCKETS, registry=self.registry
        )
        self.hooks = Counter(
            "notifier_hook_calls",
            "Calls of providers, by what became of them",
            ["account", "outcome"],
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(Queues(client))
        self.registry.register(HeldBack())
        self.registry.register(Unchecked())
        self.registry.register(Sink())


class Queues(Collector):
    """Depth and dead letters of every queue, workers and schedulers. An absent Redis is `notifier_redis_up 0`."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth = GaugeMetricFamily("notifier_queue_depth", "Jobs that wait for a worker", labels=["queue"])
        dead = GaugeMetricFamily("notifier_queue_dead_letters", "Jobs in the failed-job registry", labels=["queue"])
        names = queueing.all_queues()
        try:
            with self.client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.llen(f"rq:queue:{name}")
                for name in names:
                    pipe.zcard(f"rq:failed:{name}")
                counts = pipe.execute()
            workers, schedulers = liveness.count_workers(self.client), liveness.count_schedulers(self.client)
        except redis.RedisError:
            yield GaugeMetricFamily("notifier_redis_up", "Whether Redis answers", value=0)
            return
        for name, waiting, failed in zip(names, counts[: len(names)], counts[len(names) :], strict=True):
            depth.add_metric([name], waiting)
            dead.add_metric([name], failed)
        yield GaugeMetricFamily("notifier_redis_up", "Whether Redis answers", value=1)
        yield GaugeMetricFamily("notifier_workers", "Workers that have shown life lately", value=workers)
        yield GaugeMetricFamily("notifier_schedulers", "Schedulers that have shown life lately", value=schedulers)
        yield depth
        yield dead


class HeldBack(Collector):
    """Deliveries that are due and held back, read from the database. While it is down, the metric is missing."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        held = GaugeMetricFamily(
            "notifier_deliveries_held_back", "Deliveries that are due and wait for their turn", labels=["queue"]
        )
        try:
            counts = overview.held_back()
        except UNAVAILABLE:
            db.session.rollback()
            return
        for name in queueing.all_queues():
            held.add_metric([name], counts.get(name, 0))
        yield held


class Unchecked(Collector):
    """How often this process let a call or message pass because Redis could not be asked about its limit."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        passed = CounterMetricFamily(
            "notifier_limits_unchecked",
            "Passed without checking a limit, since Redis was unavailable",
            labels=["limit"],
        )
        for limit, count in current_app.extensions.get("unchecked", {}).items():
            passed.add_metric([limit], count)
        yield passed


class Sink(Collector):
    """How far behind EVENTS_SINK is, and what it has not had. Missing without one, and while the database is down."""

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        if current_settings().events_sink is None:
            return
        try:
            found = event_readers.standing(SINK)
        except UNAVAILABLE:
            db.session.rollback()
            return
        behind_s = (now() - found.unsent_since).total_seconds() if found.unsent_since else 0.0
        yield GaugeMetricFamily("notifier_sink_behind_seconds", "Age of the oldest event not sent yet", behind_s)
        yield CounterMetricFamily("notifier_sink_set_aside", "Events that were refused for good", found.set_aside)
        yield CounterMetricFamily("notifier_sink_missed", "Events deleted before they were sent", found.missed)


def init_app(app: Flask) -> None:
    metrics = app.extensions["metrics"] = Metrics(app.extensions["redis"])

    @app.before_request
    def start() -> None:
        g.started_at = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        metrics.requests.labels(endpoint, request.method if request.endpoint else "any", response.status_code).inc()
        metrics.seconds.labels(endpoint).observe(time.perf_counter() - g.get("started_at", time.perf_counter()))
        return response


def exposition(metrics: Metrics) -> tuple[bytes, str]:
    """→ (body, content type) of /metrics."""
    return generate_latest(metrics.registry), CONTENT_TYPE_LATEST
