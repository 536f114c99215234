"""How a dashboard of Grafana is written: from panels with expressions to the JSON that Grafana imports.

Classic panels only, so that Grafana 9 and later take them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SECONDS, PER_SECOND, SHARE, COUNT, BYTES = "s", "ops", "percentunit", "short", "bytes"
_WIDTH, _HEIGHT, _STAT_HEIGHT = 24, 8, 4


@dataclass(frozen=True)
class Panel:
    """`lines`: legend → expression. A single figure where it `is_stat`, else a chart; `per_row` stand side by side."""

    title: str
    unit: str
    lines: Mapping[str, str]
    is_stat: bool = False
    per_row: int = 2
    help: str = ""


@dataclass(frozen=True)
class Dashboard:
    """`variables`: name → the metric and label that its values come from."""

    uid: str
    title: str
    rows: Mapping[str, Sequence[Panel]]
    variables: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["notifier"],
        "schemaVersion": 36,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables(dashboard.variables))},
        "links": [
            {"type": "dashboards", "title": "Notifier", "tags": ["notifier"], "asDropdown": False, "keepTime": True}
        ],
        "panels": list(_panels(dashboard.rows)),
    }


def _variables(variables: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    for name, (metric, label) in variables.items():
        query = f"label_values({metric}, {label})"
        several = (
            {"multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}}
            if name == "queue"
            else {}
        )
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": "values"},
            "refresh": 2,
            "sort": 1,
            **several,
        }


def _panels(rows: Mapping[str, Sequence[Panel]]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "gridPos": {"x": 0, "y": y, "w": _WIDTH, "h": 1},
            "panels": [],
        }
        y += 1
        x = 0
        for place, panel in enumerate(panels):
            width, height = _WIDTH // panel.per_row, _STAT_HEIGHT if panel.is_stat else _HEIGHT
            number += 1
            yield {"id": number, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **_panel(panel)}
            x += width
            if x + width > _WIDTH or place == len(panels) - 1:
                x, y = 0, y + height


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expr, "legendFormat": legend or panel.title}
        for place, (legend, expr) in enumerate(panel.lines.items())
    ]
    return {
        "type": "stat" if panel.is_stat else "timeseries",
        "title": panel.title,
        **({"description": panel.help} if panel.help else {}),
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.is_stat else {"tooltip": {"mode": "multi"}},
    }
