"""What `/metrics` says of the synthetic person; nothing without one. `channel` and `provider` (an account, `sandbox` or
`inbox`) are as many as are configured.
"""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from notifier.core.synthetic import STATES
from notifier.ground import metrics
from notifier.queries import synthetic


def gauges() -> Iterator[Metric]:
    found = synthetic.standing()
    if found is None:
        return
    checks = GaugeMetricFamily(
        "notifier_synthetic_checks",
        "Types that the synthetic person hears, by how the last message fared",
        labels=["channel", "provider", "state"],
    )
    seconds = GaugeMetricFamily(
        "notifier_synthetic_seconds",
        "From the trigger until sent or in the inbox, the slowest of the last round",
        labels=["channel", "provider"],
    )
    for way in found.ways:
        through = metrics.bounded("provider", way.through)
        if through == metrics.OTHER:
            continue
        for state in STATES:
            checks.add_metric([way.channel, through, state], way.states.get(state, 0))
        if way.slowest_ms is not None:
            seconds.add_metric([way.channel, through], way.slowest_ms / 1000)
    yield from (checks, seconds)
    yield GaugeMetricFamily(
        "notifier_synthetic_overdue_seconds",
        "How late the next message to the synthetic person is",
        value=found.overdue.total_seconds(),
    )
