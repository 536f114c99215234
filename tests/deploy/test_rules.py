"""Each alert fires when it should and keeps still when it should, by promtool; each has a runbook and a page."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from notifier.ground.config import ROOT
from tests.metered import unknown_in
from tests.running import installed

RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
Series = dict[str, str]  # series → values, as promtool writes them, one every 15 seconds


def attempts(failed: str, taken: str, *, provider: str = "smtp", outcome: str = "retryable") -> Series:
    name = "notifier_attempts_total"
    return {
        f'{name}{{provider="{provider}",outcome="{outcome}"}}': failed,
        f'{name}{{provider="{provider}",outcome="taken"}}': taken,
    }


def hooks(refused: str, taken: str) -> Series:
    name = "notifier_hook_calls_total"
    return {f'{name}{{provider="ses",outcome="refused"}}': refused, f'{name}{{provider="ses",outcome="taken"}}': taken}


def requests(failed: str, answered: str) -> Series:
    name = "notifier_http_requests_total"
    return {f'{name}{{status="503"}}': failed, f'{name}{{status="200"}}': answered}


def breakers(state: str, **others: str) -> Series:
    states = dict.fromkeys(("closed", "open", "half_open", "forced_open", "forced_closed"), "0x40") | others
    return {
        f'notifier_breakers{{provider="smtp",state="{name}"}}': "1x1000" if name == state else values
        for name, values in states.items()
    }


def oldest(priority: str, age: str) -> Series:
    return {f'notifier_queue_oldest_seconds{{queue="sms.{priority}"}}': age}


HOUR = 240  # intervals
# alert → when it fires, when it does not, and how many minutes after the beginning
CASES: dict[str, list[tuple[Series, Series, int]]] = {
    "NotifierDown": [
        ({'up{job="notifier",instance="a"}': "1x4 0x40"}, {'up{job="notifier",instance="a"}': "1x4 0 1x40"}, 3),
        ({'up{job="other"}': "1x40"}, {'up{job="notifier",instance="a"}': "1x40"}, 3),
    ],
    "NotifierProcessDown": [
        ({'notifier_process_up{process="worker"}': "1 0x40"}, {'notifier_process_up{process="worker"}': "1 0 1x40"}, 3)
    ],
    "NotifierNoWorkers": [({"notifier_workers": "0x40"}, {"notifier_workers": "0 1x40"}, 3)],
    "NotifierNoSchedulers": [({"notifier_schedulers": "0x40"}, {"notifier_schedulers": "0 1x40"}, 3)],
    "NotifierSchedulerLate": [
        ({"notifier_scheduler_lag_seconds": "0+5x40"}, {"notifier_scheduler_lag_seconds": "0 30 0x40"}, 5)
    ],
    "NotifierSchedulerTaskFails": [
        (
            {'notifier_scheduler_task_failures_total{task="prune"}': "0+1x40"},
            {'notifier_scheduler_task_failures_total{task="prune"}': "0 1 2x40"},
            8,
        )
    ],
    "NotifierPartitionsRunOut": [
        (
            {'notifier_partition_ahead_seconds{table="event"}': "86400x60"},
            {'notifier_partition_ahead_seconds{table="event"}': "86400x4 259200x60"},
            12,
        )
    ],
    "NotifierFilesRunOut": [
        (
            {'process_open_fds{job="notifier"}': "900x40", 'process_max_fds{job="notifier"}': "1024x40"},
            {'process_open_fds{job="notifier"}': "90x40", 'process_max_fds{job="notifier"}': "1024x40"},
            8,
        )
    ],
    "NotifierRedisAway": [({"notifier_redis_up": "1 0x40"}, {"notifier_redis_up": "1 0 1x40"}, 3)],
    "NotifierDatabaseAway": [({"notifier_database_up": "1 0x40"}, {"notifier_database_up": "1 0 1x40"}, 3)],
    "NotifierReplicaNotUsed": [
        ({"notifier_database_replica_up": "1 0x40"}, {"notifier_database_replica_up": "1 0 0 1x40"}, 8)
    ],
    "NotifierDatabasePoolFull": [
        (
            {'notifier_database_connections{state="in_use"}': "29x40", "notifier_database_connections_most": "30x40"},
            {'notifier_database_connections{state="in_use"}': "9x40", "notifier_database_connections_most": "30x40"},
            5,
        )
    ],
    "NotifierDiskFills": [
        (
            {"notifier_disk_free_bytes": "5x40", "notifier_disk_size_bytes": "100x40"},
            {"notifier_disk_free_bytes": "50x40", "notifier_disk_size_bytes": "100x40"},
            8,
        )
    ],
    "NotifierErrorRate": [
        (attempts("0+1x40", "0+10x40"), attempts("0+1x40", "0+100x40"), 8),
        (attempts("0+1x40", "0+10x40", outcome="template_error"), attempts("0 1 1x40", "0 1 1x40"), 8),  # hardly any
        (
            attempts("0+1x40", "0+10x40", outcome="misconfigured"),
            {**attempts("0+9x40", "0+1x40", provider="sandbox"), **attempts("0x40", "0+10x40")},
            8,
        ),
        (attempts("0+1x40", "0+10x40", outcome="permanent"), attempts("0+9x40", "0+9x40", outcome="opted_out"), 8),
    ],
    "NotifierProviderFails": [
        (
            attempts(f"0x{HOUR} 0+5x40", f"0+10x{HOUR + 40}"),
            attempts(f"0+5x{HOUR + 40}", f"0+10x{HOUR + 40}"),  # as it always does
            66,
        ),
        (
            attempts(f"_x{HOUR} 0+5x40", f"0+10x{HOUR + 40}"),  # it has never failed before
            attempts(f"0x{HOUR} 0+1x40", f"0+10x{HOUR + 40}"),
            64,
        ),
        (
            attempts(f"0x{HOUR} 0+5x40", f"0x{HOUR + 40}"),  # nothing was sent in the hour before
            attempts(f"0x{HOUR} 0 1 2 2x40", f"0x{HOUR + 40}"),  # hardly any
            64,
        ),
    ],
    "NotifierBreakerOpen": [
        (breakers("open"), breakers("closed"), 3),
        (breakers("half_open"), breakers("closed", open="2x40"), 3),  # two of many hosts
        ({**breakers("", open="1 0 1 0 1 0 1x40", half_open="0 1 0 1 0 1 0x40")}, breakers("forced_closed"), 2),
    ],
    "NotifierBreakerForced": [
        (breakers("forced_open"), {**breakers("", forced_open=f"1x{3 * HOUR} 0x{HOUR}")}, 242),
        (breakers("forced_closed"), breakers("closed"), 242),
    ],
    "NotifierQueueLate": [
        (oldest("urgent", "2x40"), oldest("urgent", "0.5x40"), 3),
        (oldest("high", "6x40"), oldest("high", "4x40"), 3),
        (oldest("medium", "31x40"), oldest("medium", "29x40"), 5),
        (oldest("low", "1801x40"), oldest("low", "1799x40"), 8),
    ],
    "NotifierHeldBackGrows": [
        (
            {'notifier_deliveries_held_back{queue="sms.low"}': "1000+200x120"},
            {'notifier_deliveries_held_back{queue="sms.low"}': "30000-200x120"},
            25,
        )
    ],
    "NotifierDeadLettersGrow": [
        (
            {'notifier_queue_dead_letters{queue="sms.low"}': "5x40 20x40"},
            {'notifier_queue_dead_letters{queue="sms.low"}': "500x40 505x40"},
            12,
        ),
        (
            {'notifier_queue_dead_letters{queue="sms.low"}': "0x20 500x60"},
            {
                'notifier_queue_dead_letters{queue="sms.low"}': "500x20 stale _x3 500x60"
            },  # nobody could ask for a minute
            6,
        ),
        (
            {'notifier_queue_dead_letters{queue="sms.low"}': "500x20 stale _x3 500x18 520x60"},
            {'notifier_queue_dead_letters{queue="sms.low"}': "500x20 stale _x3 500x60"},
            16,
        ),
    ],
    "NotifierUnknownFates": [
        (
            {'notifier_deliveries_total{channel="sms",provider="twilio",outcome="unknown"}': "0x10 1x40"},
            {'notifier_deliveries_total{channel="sms",provider="twilio",outcome="sent"}': "0x10 9x40"},
            5,
        )
    ],
    "NotifierReceiptsRefused": [(hooks("0+1x40", "0x40"), hooks("0+1x40", "0+5x40"), 8)],
    "NotifierRequestsFail": [
        (requests("0+1x40", "0+10x40"), requests("0+1x40", "0+100x40"), 8),
        (requests("0+10x40", "0x40"), requests("0 1 1x40", "0 1 1x40"), 8),  # hardly any
    ],
    "NotifierCertificateEnds": [
        (
            {'probe_ssl_earliest_cert_expiry{job="notifier-public"}': f"{13 * 86_400}x1000"},
            {'probe_ssl_earliest_cert_expiry{job="notifier-public"}': f"{30 * 86_400}x1000"},
            90,
        )
    ],
    "NotifierSubscriptionsLag": [
        ({"notifier_subscriptions_behind_seconds": "0+20x80"}, {"notifier_subscriptions_behind_seconds": "20x80"}, 12)
    ],
    "NotifierCellAway": [
        ({'notifier_cell_away{region="us"}': "0x10 1x40"}, {'notifier_cell_away{region="us"}': "0 1 1 0x40"}, 10)
    ],
    "NotifierCellRefuses": [
        (
            {'notifier_cell_forwards{region="us",state="refused"}': "0x10 2x40"},
            {'notifier_cell_forwards{region="us",state="refused"}': "2x50"},
            10,
        )
    ],
    "NotifierSinkLag": [({"notifier_sink_behind_seconds": "0+20x80"}, {"notifier_sink_behind_seconds": "20x80"}, 12)],
    "NotifierSinkLoses": [
        ({"notifier_sink_set_aside_total": "0x10 1x40"}, {"notifier_sink_set_aside_total": "4x50"}, 5),
        ({"notifier_sink_missed_total": "0x10 9x40"}, {"notifier_sink_missed_total": "9x50"}, 5),
    ],
    "NotifierBusBehind": [
        (
            {'notifier_bus_age_seconds{bus="kafka:orders"}': "0+20x80"},
            {'notifier_bus_age_seconds{bus="kafka:orders"}': "50x80"},
            6,
        )
    ],
    "NotifierBusDeadLetters": [
        (
            {'notifier_bus_messages_total{bus="kafka:orders",outcome="dead"}': "0x10 1x40"},
            {'notifier_bus_messages_total{bus="kafka:orders",outcome="accepted"}': "0+9x50"},
            5,
        ),
        (
            {'notifier_bus_messages_total{bus="pubsub:orders",outcome="refused"}': "0x10 1x40"},
            {'notifier_bus_messages_total{bus="pubsub:orders",outcome="refused"}': "4x50"},
            5,
        ),
    ],
    "NotifierSyntheticFails": [
        (
            {'notifier_synthetic_checks{channel="sms",provider="twilio",state="missing"}': "0x4 1x40"},
            {'notifier_synthetic_checks{channel="sms",provider="twilio",state="ok"}': "40x50"},
            5,
        )
    ],
    "NotifierSyntheticOverdue": [
        ({"notifier_synthetic_overdue_seconds": "0+20x80"}, {"notifier_synthetic_overdue_seconds": "20x80"}, 12)
    ],
    "NotifierAlertsNotTold": [
        (
            {'alertmanager_notifications_failed_total{integration="webhook"}': "0x10 2x40"},
            {'alertmanager_notifications_failed_total{integration="webhook"}': "3x50"},
            4,
        )
    ],
}


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_keeps_still_when_it_should(tmp_path: Path) -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    files = []
    for alert, cases in CASES.items():
        tests = [
            case(f"{alert} {number}: {'fires' if fires else 'keeps still'}", alert, series, minutes, fires=fires)
            for number, (on, off, minutes) in enumerate(cases)
            for fires, series in ((True, on), (False, off))
        ]
        rules = tmp_path / f"{alert}.yml"  # JSON is YAML
        rules.write_text(json.dumps({"groups": without_other_alerts(groups, alert)}))
        files.append(tmp_path / f"{alert}_test.yml")
        files[-1].write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests}))
    run = [installed("promtool"), "test", "rules", *map(str, files)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def without_other_alerts(groups: list[dict[str, Any]], alert: str) -> list[dict[str, Any]]:
    """With this alert, and with the figures it may be made of: promtool evaluates all that it is given at every step of
    every case.
    """
    left = [
        {**group, "rules": [rule for rule in group["rules"] if rule.get("alert", alert) == alert]} for group in groups
    ]
    return [group for group in left if group["rules"]]


def case(name: str, alert: str, series: Series, minutes: int, *, fires: bool) -> dict[str, Any]:
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "name": name,
        "interval": "15s",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{minutes}m", "exp_samples": samples}],
    }


def test_each_alert_has_its_cases(alerts: list[dict[str, Any]]) -> None:
    assert set(CASES) == {alert["alert"] for alert in alerts}


def test_each_alert_says_how_pressing_it_is_where_to_look_and_what_to_do(alerts: list[dict[str, Any]]) -> None:
    runbooks = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE))
    assert runbooks == set(CASES)
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning")
        annotations = alert["annotations"]
        assert annotations.keys() == {"summary", "description", "page", "runbook"}
        assert annotations["runbook"] == f"docs/runbooks.md#{alert['alert'].lower()}"


def test_each_rule_asks_for_metrics_and_labels_that_there_are() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    expressions = [rule["expr"] for group in groups for rule in group["rules"]]
    assert {name for expression in expressions for name in unknown_in(expression)} == set()
    assert unknown_in('sum by (host) (notifier_workers{user="x"}) + notifier_nothing') == {
        "host",
        "user",
        "notifier_nothing",
    }


def test_the_buttons_that_runbooks_name_are_those_of_the_console() -> None:
    named = set(re.findall(r"\*\*([A-Z][^*]*)\*\*", (ROOT / "docs" / "runbooks.md").read_text()))
    pages = " ".join(file.read_text() for file in (ROOT / "templates" / "admin").glob("*.html"))
    assert named - {button for button in named if button.removesuffix(" …") in pages} == set()
    assert len(named) > 5


def test_the_configurations_are_valid_and_tell_of_an_outage_within_a_minute(alerts: list[dict[str, Any]]) -> None:
    place = RULES.parent
    for command in (("promtool", "check", "config", "prometheus.yml"), ("amtool", "check-config", "alertmanager.yml")):
        done = subprocess.run(
            [installed(command[0]), *command[1:]], cwd=place, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    route = yaml.safe_load((place / "alertmanager.yml").read_text())["route"]
    [open_breaker] = [alert for alert in alerts if alert["alert"] == "NotifierBreakerOpen"]
    assert seconds(open_breaker["for"]) + seconds(route["group_wait"]) <= 60


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


# label values → the receivers
ROUTES = [
    ("alertname=NotifierDown severity=critical", "outside,notifier"),
    ("alertname=NotifierQueueLate severity=critical", "outside,notifier"),
    ("alertname=NotifierQueueLate severity=warning", "notifier"),
    ("alertname=NotifierDeadLettersGrow severity=warning", "notifier"),
    ("alertname=AnotherOne severity=critical", "notifier"),
]


@pytest.mark.parametrize(("labels", "receivers"), ROUTES)
def test_what_notifier_may_be_unable_to_tell_goes_another_way_too(labels: str, receivers: str) -> None:
    command = [installed("amtool"), "config", "routes", "test", f"--config.file={RULES.parent / 'alertmanager.yml'}"]
    done = subprocess.run([*command, *labels.split()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, receivers)
