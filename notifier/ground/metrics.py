"""What a process counts for Prometheus, whatever its kind; docs/metrics.md explains every metric (a test compares).

Counting needs no app. What the installation has as a whole (queues, breakers) is read from its stores at each scrape,
by `api.metrics`. No label holds a person, an address, a host or an id, and of names that people make up (types,
producers, accounts) the first MOST_NAMES are told apart: the number of series is bounded.
"""

import functools
import hmac
import platform
import shutil
import threading
from collections import Counter as Occurrences
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, Summary
from prometheus_client import disable_created_metrics as _disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, QueuePool

from notifier.ground import clock
from notifier.ground.version import VERSION

CONTENT_TYPE = CONTENT_TYPE_LATEST
MOST_NAMES = 200
OTHER = "other"

_disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing here asks for

# The targets of the priorities (1, 5, 30 s, 30 min) are among the bounds.
_UNTIL_SENT_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_UNTIL_DELIVERED_S = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)
_OF_A_CALL_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_OF_A_REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

REGISTRY = CollectorRegistry()

M = TypeVar("M", Counter, Gauge, Histogram, Summary)


def _counter(name: str, help: str, *labels: str) -> Counter:
    return Counter(name, help, labels, registry=REGISTRY)


def _histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, help, labels, buckets=buckets, registry=REGISTRY)


def _gauge(name: str, help: str, *labels: str) -> Gauge:
    return Gauge(name, help, labels, registry=REGISTRY)


# ---- requests
requests = _counter("notifier_http_requests", "Requests answered", "endpoint", "method", "status")
request_seconds = _histogram("notifier_http_request_seconds", "Time to answer", _OF_A_REQUEST_S, "endpoint")
producer_requests = _counter("notifier_producer_requests", "Requests with a producer's key", "producer", "status")
unchecked = _counter(
    "notifier_limits_unchecked", "Passed without checking a limit, since Redis was unavailable", "limit"
)
limited = _counter("notifier_limits_exceeded", "Calls and messages that a limit has stopped", "limit")

# ---- notifications
accepted = _counter("notifier_notifications_accepted", "Notifications stored, one a person", "type", "category")
producer_deliveries = _counter(
    "notifier_producer_deliveries", "Deliveries, by the producer that asked for them", "producer", "outcome"
)
deliveries = _counter(
    "notifier_deliveries", "What became of deliveries; one counts for every state", "channel", "provider", "outcome"
)
sent_seconds = _histogram(
    "notifier_delivery_sent_seconds",
    "From the request, or the time it is due, until a provider has taken it",
    _UNTIL_SENT_S,
    *("channel", "priority"),
)
delivered_seconds = _histogram(
    "notifier_delivery_delivered_seconds",
    "From the request until a provider says that it has arrived",
    _UNTIL_DELIVERED_S,
    *("channel", "priority"),
)
attempts = _counter("notifier_attempts", "Calls of providers", "provider", "outcome")
attempt_seconds = _histogram("notifier_attempt_seconds", "How long calls of providers took", _OF_A_CALL_S, "provider")
retries = _counter("notifier_retries", "Deliveries that are to be tried again", "channel", "provider")
failovers = _counter("notifier_failovers", "Deliveries passed on from a provider to the next", "channel", "provider")
fallbacks = _counter("notifier_fallbacks", "Deliveries begun because an earlier channel did not do", "channel")
receipts = _counter("notifier_receipts", "Events that providers told of messages", "provider", "kind")
hook_calls = _counter("notifier_hook_calls", "Calls of providers, by what became of them", "provider", "outcome")

# ---- queues and batches
arrivals = _counter("notifier_queue_arrivals", "Jobs put into a queue", "queue")
served = _counter("notifier_queue_served", "Jobs of a queue that a worker has ended", "queue")
batch_items = _histogram("notifier_batch_items", "How many items were done together", _ITEMS, "stage")
lanes = _gauge("notifier_worker_lanes", "How many sends a worker may have in flight")
lanes_in_use = _gauge("notifier_worker_lanes_in_use", "How many sends a worker has in flight")

# ---- message buses
bus_messages = _counter("notifier_bus_messages", "Messages of a bus, by what became of them", "bus", "outcome")
bus_lag = _gauge("notifier_bus_lag", "Messages of the bus that wait for this process, as far as it knows", "bus")
bus_age = _gauge("notifier_bus_age_seconds", "Age of the oldest message in hand", "bus")

# ---- browsers
sockets = _gauge("notifier_sockets", "Open Socket.IO connections", "namespace")
published = _counter("notifier_events_published", "Events for browsers that were published")
heard = _counter("notifier_events_heard", "Events for browsers that were heard, of all processes")

# ---- the scheduler
scheduler_lag = _gauge("notifier_scheduler_lag_seconds", "How late the task is that should have begun first")
task_seconds = Summary(
    "notifier_scheduler_task_seconds", "How long tasks of the scheduler took", ["task"], registry=REGISTRY
)
task_failures = _counter("notifier_scheduler_task_failures", "Tasks of the scheduler that failed", "task")
partition_ahead = _gauge(
    "notifier_partition_ahead_seconds", "For how long to come a table of PostgreSQL has partitions", "table"
)


class Process(ProcessCollector):
    """CPU, memory and open files of this process, also where /proc shows processes and nothing else (systemd's
    ProcSubset=pid): without the time at which the machine began, the library's own tells nothing at all.
    """

    def _boot_time(self) -> float:
        try:
            return float(super()._boot_time())  # type: ignore[no-untyped-call]
        except OSError:
            return clock.host_began_at().timestamp()


Process(registry=REGISTRY)
build = Info("notifier_build", "The release that runs", registry=REGISTRY)


class _Names:
    """The first MOST_NAMES of each kind; those that come later are one. From any thread."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def bounded(self, kind: str, name: str) -> str:
        known = self._known.setdefault(kind, set())
        if name in known:
            return name
        with self._lock:
            if len(known) >= MOST_NAMES:
                return OTHER
            known.add(name)
        return name


bounded = _Names().bounded


@functools.cache  # of as many as there are series: looking one up takes longer than counting
def series(metric: M, *labels: str | int) -> M:
    """That of these labels."""
    return metric.labels(*labels)


def observe(histogram: Histogram, values: Iterable[float]) -> None:
    """All values of a batch, of one series."""
    for value in values:
        histogram.observe(value)


def count_accepted(notifications: Iterable[tuple[str, str]]) -> None:
    """(type, category) of each."""
    for (type_, category), number in Occurrences(notifications).items():
        series(accepted, bounded("type", type_), category).inc(number)


class Pool(Collector):
    """The database connections of this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            found = GaugeMetricFamily("notifier_database_connections", "Connections to the database", labels=["state"])
            found.add_metric(["in_use"], pool.checkedout())
            found.add_metric(["idle"], pool.checkedin())
            yield found
            most = pool.size() + max(pool._max_overflow, 0)
            yield GaugeMetricFamily(
                "notifier_database_connections_most", "How many there may be of this process", value=most
            )


class Disk(Collector):
    """The disk that holds the state directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def collect(self) -> Iterator[Metric]:
        try:
            found = shutil.disk_usage(self._home)
        except OSError:
            return
        yield GaugeMetricFamily("notifier_disk_free_bytes", "Room left where NOTIFIER_HOME is", value=found.free)
        yield GaugeMetricFamily("notifier_disk_size_bytes", "Size of that disk", value=found.total)


class Several(Collector):
    """What several collectors have."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


def exposition(*collectors: Collector) -> bytes:
    """All that this process counts, and what the collectors have, as Prometheus reads it."""
    return generate_latest(Several((REGISTRY, *collectors)))


def shows(token: str, authorization: str | None) -> bool:
    """Whether a request's Authorization is that token."""
    scheme, _, given = (authorization or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


build.info({"version": VERSION, "python": platform.python_version()})
