"""`/metrics` of the web process: what it counts itself (`ground.metrics`), and what the whole installation has.

That is read from Redis and the database at each scrape, so every web process says the same of it.
"""

import time
from collections import Counter
from collections.abc import Iterator

import redis
from flask import Flask, Response, current_app, g, request
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from notifier.api import synthetic_metrics
from notifier.channels import serving
from notifier.channels.contract import RECEIVER_MARK
from notifier.ground import metrics, replica
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ground.partitions import POSITIONS
from notifier.ledgers.event_readers import SINK
from notifier.providers import health
from notifier.queries import cells, event_readers, events, overview, queues, subscriptions
from notifier.signals import liveness, queueing

_STATES = (health.CLOSED, health.OPEN, health.HALF_OPEN, "forced_open", "forced_closed")


class InRedis(Collector):
    """Queues, breakers, workers and schedulers. An absent Redis is `notifier_redis_up 0`, and nothing else."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def collect(self) -> Iterator[Metric]:
        try:
            lines = queues.lines({})
            workers, schedulers = liveness.count_workers(self.client), liveness.count_schedulers(self.client)
            breakers = health.breakers()
        except redis.RedisError:
            yield GaugeMetricFamily("notifier_redis_up", "Whether Redis answers", value=0)
            return
        yield GaugeMetricFamily("notifier_redis_up", "Whether Redis answers", value=1)
        yield GaugeMetricFamily("notifier_workers", "Workers that have shown life lately", value=workers)
        yield GaugeMetricFamily("notifier_schedulers", "Schedulers that have shown life lately", value=schedulers)
        depth = GaugeMetricFamily("notifier_queue_depth", "Jobs that wait for a worker", labels=["queue"])
        oldest = GaugeMetricFamily("notifier_queue_oldest_seconds", "Age of the job at the head", labels=["queue"])
        dead = GaugeMetricFamily("notifier_queue_dead_letters", "Jobs in the failed-job registry", labels=["queue"])
        for line in lines:
            depth.add_metric([line.name], line.waiting)
            oldest.add_metric([line.name], line.oldest.total_seconds() if line.oldest else 0.0)
            dead.add_metric([line.name], line.failed)
        yield from (depth, oldest, dead)
        yield from _providers(breakers)


def _providers(breakers: dict[str, health.Breaker]) -> Iterator[Metric]:
    """A provider that calls people's own servers has a breaker for each of them: they are counted, and not named."""
    count = GaugeMetricFamily("notifier_breakers", "Breakers in each state", labels=["provider", "state"])
    blocked = GaugeMetricFamily(
        "notifier_provider_blocked_seconds", "How long nothing will be let through yet", labels=["provider"]
    )
    pace = GaugeMetricFamily(
        "notifier_provider_pace", "Most sends in a second, where there is such a limit", labels=["provider"]
    )
    names = {account.name: adapter for account, adapter in serving.registry().accounts()}
    states: Counter[tuple[str, str]] = Counter()
    until = dict.fromkeys(names, 0.0)
    for scope, breaker in breakers.items():
        name = next(
            (name for name in (scope, scope.partition(":")[0].partition(RECEIVER_MARK)[0]) if name in names), None
        )
        if name is not None:
            states[name, breaker.state] += 1
            left_s = (breaker.next_at - now()).total_seconds() if breaker.next_at else 0.0
            until[name] = max(until[name], left_s)
    for name, adapter in names.items():
        provider = metrics.bounded("provider", name)
        if provider == metrics.OTHER:
            continue
        if adapter.calls_peoples_hosts or not any(states[name, state] for state in _STATES):
            states[name, health.CLOSED] += 1  # one that nobody has needed lately; of servers there are always more
        for state in _STATES:
            count.add_metric([provider, state], states[name, state])
        blocked.add_metric([provider], until[name])
        if adapter.per_second is not None:
            pace.add_metric([provider], adapter.per_second)
    yield from (count, blocked, pace)


class InDatabase(Collector):
    """What stands in the database. While it is away, that is `notifier_database_up 0`, and nothing else."""

    def collect(self) -> Iterator[Metric]:
        try:
            db.session.execute(text("SELECT 1"))
            found = [*_held_back(), *_readers(), *_replica(), *_cells(), *synthetic_metrics.gauges()]
        except UNAVAILABLE:
            db.session.rollback()
            yield GaugeMetricFamily("notifier_database_up", "Whether the database answers", value=0)
            return
        yield GaugeMetricFamily("notifier_database_up", "Whether the database answers", value=1)
        yield from found


def _held_back() -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "notifier_deliveries_held_back", "Deliveries that are due and wait for their turn", labels=["queue"]
    )
    counts = overview.held_back()
    for name in queueing.all_queues():
        held.add_metric([name], counts.get(name, 0))
    yield held


def _replica() -> Iterator[Metric]:
    """Of the one that this process asks."""
    found = replica.standing()
    if found is None:
        return
    found.is_fit()
    yield GaugeMetricFamily("notifier_database_replica_up", "Whether the replica can be used", value=not found.fault)
    yield GaugeMetricFamily(
        "notifier_database_replica_lag_seconds", "How far the replica is behind, at least", value=found.at_least_s()
    )


def _readers() -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "notifier_event_stream_position", "The last event's position in its partition", value=events.end() % POSITIONS
    )
    since = subscriptions.oldest_unread()
    yield GaugeMetricFamily(
        "notifier_subscriptions_behind_seconds",
        "Age of the oldest event that a status webhook has not been told yet",
        value=(now() - since).total_seconds() if since else 0.0,
    )
    if current_settings().events_sink is None:
        return
    found = event_readers.standing(SINK)
    behind_s = (now() - found.unsent_since).total_seconds() if found.unsent_since else 0.0
    yield GaugeMetricFamily("notifier_sink_behind_seconds", "Age of the oldest event not sent yet", behind_s)
    yield CounterMetricFamily("notifier_sink_set_aside", "Events that were refused for good", found.set_aside)
    yield CounterMetricFamily("notifier_sink_missed", "Events deleted before they were sent", found.missed)


def _cells() -> Iterator[Metric]:
    ours = current_settings().region
    if ours is None or not ours.others:
        return
    away = GaugeMetricFamily("notifier_cell_away", "Whether a cell gave no answer when last asked", labels=["region"])
    forwards = GaugeMetricFamily(
        "notifier_cell_forwards", "Calls that wait for a cell, or were refused by it", labels=["region", "state"]
    )
    for one in cells.standing(ours):
        away.add_metric([one.region], one.away_since is not None)
        forwards.add_metric([one.region, "held"], one.held)
        forwards.add_metric([one.region, "refused"], one.refused)
    yield from (away, forwards)


def init_app(app: Flask) -> None:
    @app.before_request
    def start() -> None:
        g.started_at = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        asked, ours, status = request.endpoint, g._get_current_object(), response.status_code
        endpoint, at = asked or "none", time.perf_counter()
        metrics.series(metrics.requests, endpoint, request.method if asked else "any", status).inc()
        metrics.series(metrics.request_seconds, endpoint).observe(at - ours.get("started_at", at))
        if (key := ours.get("key")) is not None:
            producer = metrics.bounded("producer", key.producer)
            metrics.series(metrics.producer_requests, producer, status).inc()
        return response


def exposition() -> bytes:
    """The body of /metrics."""
    return metrics.exposition(*collectors())


def collectors() -> tuple[Collector, ...]:
    """Of this process, and of the installation."""
    installation = (
        InRedis(current_app.extensions["redis"]),
        InDatabase(),
        metrics.Disk(current_settings().notifier_home),
    )
    return (metrics.Pool(db.engine), *installation)
