"""An installation to be examined: a database and a Redis, a web server, signs of life; and the command itself, run in
this process.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from apiflask import APIFlask
from pytest_flask.live_server import LiveServer
from werkzeug.serving import make_server

from notifier.batchworker import BatchWorker
from notifier.programs.worker import source
from notifier.signals import liveness, queueing
from tests.commands import run_here

PASSWORD = "hunter2-is-secret"


@dataclass
class Told:
    """`findings`: (check, level, what, remedy)."""

    code: int
    text: str
    findings: list[tuple[str, str, str, str | None]]

    def of(self, level: str) -> list[str]:
        return [f"{check}: {what}" for check, found, what, _ in self.findings if found == level]


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """`serve(wsgi_app)` → the URL of a server that runs it."""
    running = []

    def call(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.port}"

    yield call
    for server, thread in running:
        server.shutdown()
        thread.join()


@pytest.fixture
def url(live_server: LiveServer) -> str:
    return live_server.url()


@pytest.fixture
def worker(app: APIFlask) -> BatchWorker:
    """Registered and alive, for all queues."""
    client = app.extensions["redis"]
    worker = BatchWorker(
        [source(name) for name in queueing.all_queues()],
        connection=client,
        handlers={},
        worker_ttl=liveness.WORKER_TTL_S,
    )
    worker.register_birth()
    client.hset(worker.key, "lanes", 8)
    liveness.beat_scheduler(client, "here:1")
    return worker


Doctor = Callable[..., Told]


@pytest.fixture
def doctor(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """`doctor("redis", SMTP_URL="…")`: that check on the installation of the tests, changed so. `None` leaves a setting
    out.
    """

    def call(*checks: str, **changes: str | None) -> Told:
        for name, value in {**environment, **changes}.items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        code = run_here(["doctor", "--json", *checks])
        text = capsys.readouterr().out
        assert PASSWORD not in text
        document = json.loads(text)
        findings = [tuple(found.values()) for found in document["findings"]]
        assert (document["faults"], document["warnings"]) == tuple(
            sum(found[1] == level for found in findings) for level in ("fault", "warning")
        )
        return Told(code, text, findings)

    return call
