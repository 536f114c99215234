"""Grafana's dashboards: every expression is one, and asks for metrics and labels that there are."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.dashboards import DASHBOARDS, PLACE, grafana, share, text
from tests.metered import documented, unknown_in
from tests.running import installed

MADE = {dashboard.uid: grafana(dashboard) for dashboard in DASHBOARDS}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """As they are once Grafana has filled in its variables."""
    found = [t["expr"] for made in MADE.values() for panel in panels(made) for t in panel["targets"]]
    return [re.sub(r"\$\w+", "x", expression.replace("$__rate_interval", "5m")) for expression in found]


def test_the_files_are_made_of_the_tables_as_they_are() -> None:
    files = {file.name: file.read_text() for file in PLACE.glob("*.json")}
    assert files == {f"{d.uid}.json": text(d) for d in DASHBOARDS}, "python -m deploy.grafana.dashboards"


def test_every_expression_is_one(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [installed("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, f"{len(rules)} rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def test_every_expression_asks_for_metrics_and_labels_that_there_are() -> None:
    assert {name for expression in expressions() for name in unknown_in(expression)} == set()


@pytest.mark.parametrize(("failed", "shown"), [("_x40", 0), ("0+1x40", 0.1)])
def test_a_share_of_which_there_was_nothing_is_0(failed: str, shown: float, tmp_path: Path) -> None:
    """A series is there once something of it has happened: without one a panel said that there are no data."""
    given = {'calls{outcome="failed",of="a"}': failed, 'calls{outcome="taken",of="a"}': "0+9x40"}
    asked = share("calls", 'outcome="failed"', 'of="a"')
    test = {
        "interval": "15s",
        "input_series": [{"series": series, "values": values} for series, values in given.items()],
        "promql_expr_test": [
            {"expr": f"round({asked}, 0.001)", "eval_time": "8m", "exp_samples": [{"labels": "{}", "value": shown}]}
        ],
    }
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run([installed("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("uid", MADE)
def test_a_dashboard_is_as_grafana_takes_it(uid: str) -> None:
    made = MADE[uid]
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)
    assert all(target["datasource"]["uid"] == "${datasource}" for p in panels(made) for target in p["targets"])
    named = {variable["name"]: variable for variable in made["templating"]["list"]}
    asked = set(re.findall(r"\$(\w+)", " ".join(t["expr"] for p in panels(made) for t in p["targets"])))
    assert asked - {"__rate_interval"} == named.keys() - {"datasource"}
    for variable in named.values():
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])[0]
            assert label in documented()[metric]


@pytest.mark.parametrize("uid", MADE)
def test_no_two_panels_lie_on_each_other_or_beside_the_page(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MADE[uid]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
