"""What there is for watching an installation: its metrics and their document."""

import dataclasses
import math
import subprocess

import pytest
from apiflask import APIFlask

from notifier.api.metrics import collectors
from notifier.channels import serving
from notifier.channels.serving import Account
from notifier.ground import metrics
from notifier.ground.cells import Cells
from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.replica import Replica
from notifier.ground.sink_urls import HttpSink
from notifier.models import SyntheticTurn
from tests.metered import documented
from tests.running import installed

_SUFFIX = {"counter": "_total", "info": "_info"}


@pytest.fixture
def told(app: APIFlask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """/metrics of a web process with all there is to be told of."""
    everything = dataclasses.replace(
        settings,
        events_sink=HttpSink("https://collector.example/"),
        region=Cells("eu", {"us": "http://127.0.0.1:1"}, ("k" * 40,)),
    )
    monkeypatch.setitem(app.extensions, "settings", everything)
    copy = Replica(db.engine)
    copy._ask_again_at = math.inf  # SQLite has none
    monkeypatch.setitem(app.extensions, "replica", copy)
    serving.registry().configure([Account("slow", "smtp", {"SMTP_URL": "smtp://127.0.0.1:1"})])
    serving.registry().accounts()[-1][1].per_second = 5
    heard = {"channel": "email", "state": "ok", "ms": 7, "why": None}
    with transaction() as session:
        session.add(SyntheticTurn(key="like", due_at=now(), results=[heard], so_far=[]))
    return metrics.exposition(*collectors()).decode()


def labels() -> dict[str, list[str]]:
    """Metric → its labels, in their order; of the process, and of the collectors that read the stores."""
    found: dict[str, list[str]] = {}
    for collector in (*metrics.REGISTRY._collector_to_names, *collectors()):
        for family in collector.collect():
            declared = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
            seen = {name: None for sample in family.samples for name in sample.labels if name != "le"}
            found[family.name + _SUFFIX.get(family.type, "")] = list(declared or seen)
    return found


@pytest.mark.usefixtures("told")
def test_the_document_has_every_metric_with_its_labels_and_no_other() -> None:
    assert documented() == labels()


def test_the_metrics_are_as_prometheus_wants_them(told: str) -> None:
    checked = subprocess.run(
        [installed("promtool"), "check", "metrics"], input=told, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_no_label_names_a_person_an_address_a_host_or_an_id(told: str) -> None:
    names = {name for of in labels().values() for name in of}
    assert names == {
        *("endpoint", "method", "status", "limit"),
        *("producer", "type", "category", "channel", "provider", "outcome", "kind", "priority"),
        *("queue", "bus", "region", "stage", "namespace", "table", "task", "state", "version", "python"),
    }
