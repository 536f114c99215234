"""Counts sends, and what providers tell of them later, for Prometheus; a batch at a time, after its commit.

Called by `delivery.record` and `delivery.receipts`. Messages of test keys are not counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier.core import lifecycle
from notifier.core.latency import seconds_since
from notifier.core.receipts import Folded
from notifier.core.retry import RetryAt
from notifier.ground import metrics
from notifier.ledgers import meters
from notifier.pipeline.delivery.consequences import Word
from notifier.pipeline.delivery.finished import Finished, outcome_of
from notifier.pipeline.delivery.task import Try

TAKEN = "taken"  # the outcome of a call that the provider accepted
_OUR_FAULT = ("template_error", "internal_error")  # there was no call


def count_sends(finished: Iterable[Finished]) -> None:
    """Grouped first: looking up the series of labels takes as long as counting."""
    called: Counter[tuple[str, str]] = Counter()
    reached: Counter[tuple[str, str, str]] = Counter()
    of_producers: Counter[tuple[UUID | None, str]] = Counter()
    calls: defaultdict[str, list[float]] = defaultdict(list)
    sent: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    delivered: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one in finished:
        task = one.task
        if task.notification.is_test:
            continue
        channel, provider = task.delivery.channel, ""
        for each in task.tries:
            if provider:
                metrics.series(metrics.failovers, channel, provider).inc()
            provider = metrics.bounded("provider", each.adapter.name)
            called[provider, _outcome(each)] += 1
            calls[provider].append(each.duration_ms / 1000)
        for outcome in _outcomes(one):
            reached[channel, provider, outcome] += 1
            of_producers[task.notification.producer_id, outcome] += 1
        if one.has_gone_out:
            place = channel, task.delivery.priority
            sent[place].append(one.took_s)
            if one.status == lifecycle.DELIVERED:
                delivered[place].append(one.took_s)
        elif isinstance(one.follows, RetryAt):
            metrics.series(metrics.retries, channel, provider).inc()
    for of_call, number in called.items():
        metrics.series(metrics.attempts, *of_call).inc(number)
    for provider, took in calls.items():
        metrics.observe(metrics.series(metrics.attempt_seconds, provider), took)
    for histogram, groups in ((metrics.sent_seconds, sent), (metrics.delivered_seconds, delivered)):
        for place, took in groups.items():
            metrics.observe(metrics.series(histogram, *place), took)
    _count_deliveries(reached)
    meters.of_producers(of_producers)


def _outcomes(one: Finished) -> tuple[str, ...]:
    if one.status == lifecycle.DELIVERED:
        return lifecycle.SENT, lifecycle.DELIVERED
    return (one.status,) if one.has_gone_out or one.status in lifecycle.DEAD else ()


def _outcome(latest: Try) -> str:
    if latest.error is None:
        return TAKEN
    return latest.error.code if latest.error.code in _OUR_FAULT else outcome_of(latest.error)


def count_told(told: Sequence[tuple[Any, Folded]], now: datetime) -> None:
    """(row of `matching.DELIVERY`, what its events made of it) of deliveries that have moved."""
    reached: Counter[tuple[str, str, str]] = Counter()
    for row, folded in told:
        reached.update((row.channel, _provider(row.provider or row.channel), outcome) for outcome in _told(folded))
        if folded.has_arrived:
            at = folded.times.get("delivered_at", now)
            took_s = seconds_since(row.created_at, row.due_at, row.failures, at)
            metrics.series(metrics.delivered_seconds, row.channel, row.priority).observe(took_s)
    _count_deliveries(reached)
    meters.of_producers((row.producer_id, outcome) for row, folded in told for outcome in _told(folded))


def count_receipts(words: Iterable[Word]) -> None:
    """Events that were stored just now."""
    for (provider, kind), number in Counter((word.provider, word.kind) for word in words).items():
        metrics.series(metrics.receipts, _provider(provider), kind).inc(number)


def _told(folded: Folded) -> Iterator[str]:
    if folded.has_gone_out:
        yield lifecycle.SENT
    if folded.has_arrived:
        yield lifecycle.DELIVERED
    if folded.has_been_read:
        yield lifecycle.OPENED
    if folded.has_failed and folded.old not in lifecycle.DEAD:
        yield folded.status


def _count_deliveries(reached: Counter[tuple[str, str, str]]) -> None:
    for of_delivery, number in reached.items():
        metrics.series(metrics.deliveries, *of_delivery).inc(number)


def _provider(name: str) -> str:
    return metrics.bounded("provider", name)
