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

from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.queries import overview
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
