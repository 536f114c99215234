"""The dashboards of Grafana, made of the tables below: `python -m deploy.grafana.dashboards` writes a file for each.

Import them in Grafana and choose the Prometheus that scrapes Notifier.
"""

import json
import sys
from pathlib import Path

from deploy.grafana.build import BYTES, COUNT, PER_SECOND, SECONDS, SHARE, Dashboard, Panel, grafana

PLACE = Path(__file__).parent


DELIVERIES, ATTEMPTS = "notifier_deliveries_total", "notifier_attempts_total"
REQUESTS, OF_PRODUCERS = "notifier_producer_requests_total", "notifier_producer_deliveries_total"
BATCH = "notifier_batch_items"
FAILED = 'outcome=~"retryable|permanent|misconfigured|template_error|internal_error"'
SENT, BAD = 'outcome="sent"', 'outcome=~"failed|unknown"'
ONE, SOME, MINE, OURS = 'provider="$provider"', 'queue=~"$queue"', 'producer="$producer"', 'job="notifier"'
PROCESS = "{{instance}} {{process}}"
TARGETS = "Targets: urgent 1 s, high 5 s, medium 30 s, low 30 min."


def rate(by: str, metric: str, labels: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def per(label: str, metric: str, labels: str = "") -> dict[str, str]:
    """A line for each value of the label: how fast the counter grows."""
    return {f"{{{{{label}}}}}": rate(label, metric, labels)}


def quantiles(metric: str, labels: str = "") -> dict[str, str]:
    of_all = rate("le", f"{metric}_bucket", labels)
    return {f"p{percent}": f"histogram_quantile({percent / 100}, {of_all})" for percent in (50, 95, 99)}


def of_priorities(state: str) -> dict[str, str]:
    """The time until deliveries were in that state, for 99 of 100."""
    return {
        "{{priority}}": f"histogram_quantile(0.99, {rate('le, priority', f'notifier_delivery_{state}_seconds_bucket')})"
    }


def share(metric: str, part: str, whole: str, over: str = "5m") -> str:
    """How much of a counter with the labels `whole` has those of the `part` too. A series that is not there is 0."""
    of_all = f"sum(rate({metric}{{{whole}}}[{over}]))"
    return f"(sum(rate({metric}{{{part}, {whole}}}[{over}])) or 0 * {of_all}) / {of_all}"


def latest(metric: str, by: str, labels: str = "") -> str:
    """What every web process says the same of."""
    return f"max by ({by}) ({metric}{{{labels}}})"


def latest_by(label: str, metric: str, labels: str) -> dict[str, str]:
    return {f"{{{{{label}}}}}": latest(metric, label, labels)}


OVERVIEW = Dashboard(
    "notifier-overview",
    "Notifier: overview",
    {
        "Now": [
            Panel("Accepted", PER_SECOND, {"": "sum(rate(notifier_notifications_accepted_total[5m]))"}, True, 6),
            Panel("Sent", PER_SECOND, {"": f"sum(rate({DELIVERIES}{{{SENT}}}[5m]))"}, True, 6),
            Panel("Calls that fail", SHARE, {"": share(ATTEMPTS, FAILED, 'provider!="sandbox"')}, True, 6),
            Panel("Waiting", COUNT, {"": f"sum({latest('notifier_queue_depth', 'queue')})"}, True, 6),
            Panel("Failed jobs", COUNT, {"": f"sum({latest('notifier_queue_dead_letters', 'queue')})"}, True, 6),
            Panel("Workers", COUNT, {"": "max(notifier_workers)"}, True, 6),
        ],
        "Deliveries": [
            Panel("Accepted", PER_SECOND, per("category", "notifier_notifications_accepted_total")),
            Panel("Sent", PER_SECOND, per("channel", DELIVERIES, SENT)),
            Panel("What became of them", PER_SECOND, per("outcome", DELIVERIES)),
            Panel("Failed", PER_SECOND, per("channel", DELIVERIES, BAD)),
            Panel("Request to provider, p99", SECONDS, of_priorities("sent"), help=TARGETS),
            Panel("Request to recipient, p99", SECONDS, of_priorities("delivered"), help=TARGETS),
        ],
        "Requests": [
            Panel("Requests, by status", PER_SECOND, per("status", "notifier_http_requests_total")),
            Panel("Time to answer", SECONDS, quantiles("notifier_http_request_seconds")),
        ],
        "Inboxes and events": [
            Panel("Open connections", COUNT, {"{{namespace}}": "sum by (namespace) (notifier_sockets)"}),
            Panel(
                "Events for browsers",
                PER_SECOND,
                {
                    "published": "sum(rate(notifier_events_published_total[$__rate_interval]))",
                    "heard": "sum(rate(notifier_events_heard_total[$__rate_interval]))",
                },
            ),
            Panel(
                "Age of the oldest event not told",
                SECONDS,
                {
                    "status webhooks": "max(notifier_subscriptions_behind_seconds)",
                    "EVENTS_SINK": "max(notifier_sink_behind_seconds)",
                },
            ),
            Panel("Event stream", PER_SECOND, {"events": "max(rate(notifier_event_stream_position[5m]))"}),
        ],
    },
)

PROVIDER = Dashboard(
    "notifier-provider",
    "Notifier: one provider",
    {
        "Health": [
            Panel("Breakers", COUNT, latest_by("state", "notifier_breakers", ONE)),
            Panel("Calls", PER_SECOND, per("outcome", ATTEMPTS, ONE)),
            Panel("How long a call takes", SECONDS, quantiles("notifier_attempt_seconds", ONE)),
            Panel(
                "Share of calls that fail",
                SHARE,
                {"5 minutes": share(ATTEMPTS, FAILED, ONE), "1 hour": share(ATTEMPTS, FAILED, ONE, "1h")},
            ),
            Panel("Nothing goes out for", SECONDS, latest_by("provider", "notifier_provider_blocked_seconds", ONE)),
            Panel(
                "Sends, and the most there may be",
                PER_SECOND,
                {
                    "sends": f"sum(rate({ATTEMPTS}{{{ONE}}}[$__rate_interval]))",
                    "limit": latest("notifier_provider_pace", "provider", ONE),
                },
            ),
        ],
        "Deliveries": [
            Panel("What became of them", PER_SECOND, per("outcome", DELIVERIES, ONE)),
            Panel(
                "Tried again, or passed on",
                PER_SECOND,
                {
                    "retries": f"sum(rate(notifier_retries_total{{{ONE}}}[$__rate_interval]))",
                    "failovers": f"sum(rate(notifier_failovers_total{{{ONE}}}[$__rate_interval]))",
                },
            ),
        ],
        "Receipts": [
            Panel("Events told", PER_SECOND, per("kind", "notifier_receipts_total", ONE)),
            Panel("Calls of its hook", PER_SECOND, per("outcome", "notifier_hook_calls_total", ONE)),
        ],
    },
    {"provider": (ATTEMPTS, "provider")},
)

QUEUES = Dashboard(
    "notifier-queues",
    "Notifier: queues and workers",
    {
        "Queues": [
            Panel("Waiting", COUNT, latest_by("queue", "notifier_queue_depth", SOME)),
            Panel("Age of the oldest", SECONDS, latest_by("queue", "notifier_queue_oldest_seconds", SOME)),
            Panel("Arrivals", PER_SECOND, per("queue", "notifier_queue_arrivals_total", SOME)),
            Panel("Served", PER_SECOND, per("queue", "notifier_queue_served_total", SOME)),
            Panel("Held back", COUNT, latest_by("queue", "notifier_deliveries_held_back", SOME)),
            Panel("Failed jobs", COUNT, latest_by("queue", "notifier_queue_dead_letters", SOME)),
        ],
        "Workers": [
            Panel("Alive", COUNT, {"workers": "max(notifier_workers)", "schedulers": "max(notifier_schedulers)"}),
            Panel(
                "Lanes",
                COUNT,
                {"in use": "sum(notifier_worker_lanes_in_use)", "there are": "sum(notifier_worker_lanes)"},
            ),
            Panel(
                "Items in a batch, on average",
                COUNT,
                {"{{stage}}": f"{rate('stage', f'{BATCH}_sum')} / {rate('stage', f'{BATCH}_count')}"},
            ),
            Panel("Fallbacks to another channel", PER_SECOND, per("channel", "notifier_fallbacks_total")),
        ],
        "Scheduler": [
            Panel("How late it is", SECONDS, {PROCESS: "notifier_scheduler_lag_seconds > 0"}),
            Panel(
                "Where its time goes",
                SHARE,
                {"{{task}}": f"topk(8, {rate('task', 'notifier_scheduler_task_seconds_sum')})"},
            ),
            Panel("Tasks that failed", PER_SECOND, per("task", "notifier_scheduler_task_failures_total")),
            Panel("Limits that could not be checked", PER_SECOND, per("limit", "notifier_limits_unchecked_total")),
        ],
        "Processes": [
            Panel("CPU", SHARE, {PROCESS: f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])"}),
            Panel("Memory", BYTES, {PROCESS: f"process_resident_memory_bytes{{{OURS}}}"}),
            Panel("Database connections", COUNT, {f"{PROCESS} {{{{state}}}}": "notifier_database_connections"}),
            Panel("Open files", SHARE, {PROCESS: f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}"}),
            Panel("Room on the disk", SHARE, {PROCESS: "notifier_disk_free_bytes / notifier_disk_size_bytes"}),
            Panel("Releases", COUNT, {"{{version}}": "count by (version) (notifier_build_info)"}),
        ],
    },
    {"queue": ("notifier_queue_depth", "queue")},
)

PRODUCER = Dashboard(
    "notifier-producer",
    "Notifier: one producer",
    {
        "What it asks": [
            Panel("Requests, by status", PER_SECOND, per("status", REQUESTS, MINE)),
            Panel("Share that was refused", SHARE, {"": share(REQUESTS, 'status=~"4.."', MINE)}),
        ],
        "What becomes of it": [
            Panel("Deliveries", PER_SECOND, per("outcome", OF_PRODUCERS, MINE)),
            Panel("In a day", COUNT, {"{{outcome}}": f"sum by (outcome) (increase({OF_PRODUCERS}{{{MINE}}}[1d]))"}),
            Panel(
                "Share that failed",
                SHARE,
                {"": share(OF_PRODUCERS, BAD, f'outcome=~"sent|failed|unknown", {MINE}')},
            ),
        ],
    },
    {"producer": (REQUESTS, "producer")},
)

DASHBOARDS = (OVERVIEW, PROVIDER, QUEUES, PRODUCER)


def text(dashboard: Dashboard) -> str:
    return json.dumps(grafana(dashboard), indent=2) + "\n"


def main() -> int:
    for dashboard in DASHBOARDS:
        (PLACE / f"{dashboard.uid}.json").write_text(text(dashboard))
    return 0


if __name__ == "__main__":
    sys.exit(main())
