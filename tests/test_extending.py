"""docs/add-a-channel.md and docs/add-a-provider.md: what they add to a copy of Notifier sends there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copytree, ignore_patterns
from threading import Thread
from typing import Any

import pytest

from tests.running import ROOT
from tests.snippets import blocks_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session"),
]

_PROGRAM = """
import sys
from flask_migrate import upgrade
from rq import SimpleWorker
from notifier import jobs
from notifier.access import keys
from notifier.app import create_app
from notifier.ground.extensions import redis_store
from notifier.models.producer import SCOPES
from notifier.operations import installation
from notifier.signals.queueing import SERIALIZER, all_queues, queue

app = create_app()
with app.app_context():
    upgrade()
    installation.prepare()
    key = keys.create_key(keys.create_producer("Shop").id, scopes=SCOPES)[1]
    client, caller = app.test_client(), {"Authorization": f"Bearer {key}"}
    base, ann = "/api/v1", {"name": "Ann", "phone": "+4915112345678"}
    client.put(f"{base}/users/ann", json=ann, headers=caller)
    topic = {"channel": "ntfy", "value": sys.argv[1] + "/topic"}
    made = client.post(f"{base}/users/ann/addresses", json=topic, headers=caller)
    assert made.status_code == 201, made.json
    chosen = client.patch(f"{base}/users/ann/preferences", json={"channels": {"sms": True}}, headers=caller)
    assert "ntfy" in chosen.json["effective"]["like"]
    sent = {"type": "like", "recipients": ["ann"], "channels": ["ntfy", "sms"], "data": {"actor": "Bob"}}
    answer = client.post(f"{base}/notifications", json=sent, headers=caller)
    assert answer.status_code == 202, answer.json
    jobs.app = lambda: app
    worker = SimpleWorker(all_queues(), connection=redis_store.client, serializer=SERIALIZER)
    for name in all_queues():
        for job_id in queue(name).job_ids:
            worker.execute_job(queue(name).fetch_job(job_id), queue(name))
    shown = client.get(f"{base}/notifications/{answer.json['notifications'][0]['id']}", headers=caller).json
    print(*sorted(f"{one['channel']}:{one['provider']}:{one['status']}" for one in shown["deliveries"]))
"""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes everything, and what it was sent: (path, body)."""
    heard: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"id": "m1"}')

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def test_what_the_pages_add_sends(
    environment: dict[str, str], receiver: tuple[str, list[tuple[str, bytes]]], tmp_path: Path
) -> None:
    url, heard = receiver
    copytree(ROOT / "notifier", tmp_path / "notifier", ignore=ignore_patterns("__pycache__"))
    for name in ("migrations", "static", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    added = ""
    for page in ("docs/add-a-channel.md", "docs/add-a-provider.md"):
        for block in blocks_of(page):
            assert block.asks
            if block.asks["file"].startswith("notifier/"):
                (tmp_path / block.asks["file"]).write_text(block.text)
            else:
                added += block.text
    registry = tmp_path / "notifier" / "channels" / "__init__.py"
    before, after = registry.read_text().split("# What `migrate` makes once")
    registry.write_text(f"{before}{added}\n# What `migrate` makes once{after}")

    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM, url],
        cwd=tmp_path,
        env={
            **environment,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'extended.db'}",
            "EXAMPLE_KEY": "4f1a9c",
            "EXAMPLE_URL": url,
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1] == "ntfy:ntfy:sent sms:example_sms:sent"
    posted = dict(heard)
    assert b"Bob" in posted["/topic"]
    assert json.loads(posted["/messages"])["to"] == "+4915112345678"
