"""How many workers a group is said to need, by promtool."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from notifier.ground.config import ROOT
from tests.metered import unknown_in
from tests.running import installed

RULES = ROOT / "deploy" / "prometheus" / "scaling.yml"


def worker(number: int, *, cpu: float = 0.0, lanes: int = 0, served: int = 0) -> dict[str, str]:
    """One of the urgent group: CPU seconds and jobs a second, and lanes in use of 400."""
    own = f'component="worker-urgent",instance="{number}"'
    labels = f"{{{own}}}"
    return {
        f"process_cpu_seconds_total{labels}": f"0+{cpu * 15}x40",
        f"notifier_worker_lanes{labels}": "400x40",
        f"notifier_worker_lanes_in_use{labels}": f"{lanes}x40",
        f'notifier_queue_served_total{{{own},queue="sms.high"}}': f"0+{served * 15}x40",
    }


def waiting(jobs: int, queue: str = "sms.high") -> dict[str, str]:
    """As each of two web processes says."""
    return {f'notifier_queue_depth{{instance="web-{n}",queue="{queue}"}}': f"{jobs}x40" for n in (1, 2)}


@pytest.mark.parametrize(
    ("series", "needed"),
    [
        pytest.param([worker(1), worker(2), waiting(0)], 0, id="idle ones are taken away"),
        pytest.param([worker(1, cpu=0.7), worker(2, cpu=0.7), waiting(0)], 2, id="busy for 70 % is as it should be"),
        pytest.param([worker(1, cpu=0.98), worker(2, cpu=0.98), waiting(0)], 2.8, id="busier: one more"),
        pytest.param([worker(1, cpu=0.1, lanes=280), waiting(0)], 1, id="waiting for providers is being busy, too"),
        pytest.param([worker(1, cpu=0.7, served=100), waiting(6_000)], 2, id="what waits is to be gone in a minute"),
        pytest.param(
            [worker(1, cpu=0.7), waiting(0), waiting(600, "sms.low")],
            1,
            id="what waits for the others is not theirs",
        ),
    ],
)
def test_so_many_workers_are_needed(series: list[dict[str, str]], needed: float, tmp_path: Path) -> None:
    inputs = [{"series": name, "values": values} for part in series for name, values in part.items()]
    expected = {"labels": 'notifier_workers_needed{component="worker-urgent"}', "value": needed}
    asked = {
        "expr": 'round(notifier_workers_needed{component="worker-urgent"}, 0.01)',
        "eval_time": "8m",
        "exp_samples": [{**expected, "labels": '{component="worker-urgent"}'}],
    }
    file = tmp_path / "test.json"
    tests = [{"interval": "15s", "input_series": inputs, "promql_expr_test": [asked]}]
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run([installed("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_metrics_are_there_and_its_groups_are_those_of_the_manifests() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    recorded = {rule["record"] for rule in rules}
    unknown = {name for rule in rules for name in unknown_in(rule["expr"])}
    assert unknown - recorded == {"component"}  # which the scrape job puts there
    groups = {rule["labels"]["component"] for rule in rules if "labels" in rule}
    documents = [*yaml.safe_load_all((ROOT / "deploy/kubernetes/workers.yaml").read_text())]
    scalers = [one["spec"]["metrics"] for one in documents if one["kind"] == "HorizontalPodAutoscaler"]
    assert groups == {metric["external"]["metric"]["selector"]["matchLabels"]["component"] for (metric,) in scalers}
