"""The whole way of an alert: a provider breaks, Prometheus sees it at the metrics' port of `up`, and Alertmanager tells
the admin by Notifier itself, and somebody else by the other way.

With the rules and configurations that are delivered, at a quicker pace: whether they are quick enough as they are is
asked in tests/deploy.
"""

import json
import re
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from notifier.ground.config import ROOT
from tests.running import KEY, Up, eventually, free_port, installed
from tests.submitting import Mailbox

PLACE = ROOT / "deploy" / "prometheus"
ALERT = "Alert: Nothing goes out by smtp"

pytestmark = pytest.mark.faults


class Outside:
    """Who hears of alerts when Notifier cannot tell them. `told`: names of alerts."""

    def __init__(self) -> None:
        self.told: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.told += [alert["labels"]["alertname"] for alert in said["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/"


@pytest.fixture
def outside() -> Iterator[Outside]:
    server = Outside()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts somebody else's program, until the test ends."""
    started: list[subprocess.Popen[bytes]] = []

    def _run(*command: str) -> None:
        log = (tmp_path / f"{Path(command[0]).name}.log").open("wb")
        started.append(subprocess.Popen([installed(command[0]), *command[1:]], stdout=log, stderr=log, cwd=tmp_path))

    yield _run
    for process in started:
        process.kill()
        process.wait()


def test_a_broken_provider_is_in_the_admins_inbox_within_a_minute(
    tmp_path: Path, mailbox: Mailbox, outside: Outside, run: Callable[..., None]
) -> None:
    ports = {name: free_port() for name in ("web", "metrics", "prometheus", "alertmanager")}
    programs = [installed(name) for name in ("prometheus", "prometheus-alertmanager")]  # before anything is started
    write_configuration(tmp_path, ports, outside)
    notifier = Up(
        tmp_path / "home", ports["web"], METRICS_PORT=str(ports["metrics"]), SMTP_URL=mailbox.url
    ).until_ready()
    try:
        watch(tmp_path, ports, run, programs)
        submit(notifier, "works", 3)
        eventually(lambda: len(mailbox.received) == 3)
        told = metrics(ports["metrics"])
        assert {f'notifier_process_up{{process="{name}"}} 1.0' for name in ("web", "worker", "scheduler")} <= set(told)
        sent = 'notifier_deliveries_total{channel="email",outcome="sent",process="worker",provider="smtp"} 3.0'
        eventually(lambda: sent in metrics(ports["metrics"]))
        checked = subprocess.run(
            [installed("promtool"), "check", "metrics"], input="\n".join(told) + "\n", text=True, capture_output=True
        )
        assert (checked.returncode, checked.stderr) == (0, "")

        mailbox.refusal = "421 4.3.2 out of order"
        broke_at = time.monotonic()
        submit(notifier, "fails", 15)
        eventually(lambda: ALERT in titles(tmp_path / "home" / "notifier.db"))
        assert time.monotonic() - broke_at < 60
        eventually(lambda: "NotifierBreakerOpen" in outside.told)
    finally:
        notifier.stop()


def write_configuration(place: Path, ports: dict[str, int], outside: Outside) -> None:
    rules = re.sub(r"for: 30s", "for: 0s", (PLACE / "rules.yml").read_text())
    (place / "rules.yml").write_text(rules)
    prometheus = yaml.safe_load((PLACE / "prometheus.yml").read_text())
    prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (place / "prometheus.yml").write_text(
        yaml.safe_dump(prometheus)
        .replace(":9100", f":{ports['metrics']}")
        .replace(":9093", f":{ports['alertmanager']}")
    )
    alertmanager = yaml.safe_load((PLACE / "alertmanager.yml").read_text())
    alertmanager["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    ours, others = alertmanager["receivers"]
    ours["webhook_configs"][0] |= {
        "url": f"http://127.0.0.1:{ports['web']}/api/v1/alerts",
        "http_config": {"authorization": {"credentials": KEY}},
    }
    del others["email_configs"]
    others["webhook_configs"] = [{"url": outside.url}]
    (place / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager))


def watch(place: Path, ports: dict[str, int], run: Callable[..., None], programs: list[str]) -> None:
    prometheus, alertmanager = programs
    run(
        *(prometheus, f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'tsdb'}"),
        f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
    )
    run(
        *(alertmanager, f"--config.file={place / 'alertmanager.yml'}", f"--storage.path={place / 'am'}"),
        *(f"--web.listen-address=127.0.0.1:{ports['alertmanager']}", "--cluster.listen-address="),
    )
    for name in ("prometheus", "alertmanager"):
        eventually(lambda name=name: is_ready(ports[name]))


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def metrics(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode()).splitlines()


def submit(notifier: Up, name: str, number: int) -> None:
    people = [{"id": f"{name}{n}", "email": f"{name}{n}@x.test"} for n in range(number)]
    body = {"type": "order_shipped", "recipients": people, "data": {"order_id": name}, "channels": ["email"]}
    notifier.call("/api/v1/notifications", body)


def titles(database: Path) -> set[str]:
    """Of what is in inboxes."""
    with sqlite3.connect(database) as connection:
        return {title for (title,) in connection.execute("SELECT title FROM inbox_item")}
