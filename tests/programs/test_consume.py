"""`python -m notifier consume`: what it says when it cannot begin, and how it ends. The loop: `test_consume_loop`."""

import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.ground.extensions import db
from notifier.models import Notification, Producer
from tests.bus.brokers import Streams, new_queue, order
from tests.bus.conftest import redis_broker  # noqa: F401
from tests.bus.consuming import Consume
from tests.commands import Program, run_command
from tests.running import eventually, free_port

pytestmark = [pytest.mark.slow]

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ON_SQLITE
def test_what_is_wrong_is_said_in_a_sentence(
    app: APIFlask,
    environment: dict[str, str],
    redis_broker: Streams,  # noqa: F811
    tmp_path: Path,
) -> None:
    stream = redis_broker.url(new_queue())
    redis_broker.client.set("text", "no stream")
    bad_map, unknown_field = tmp_path / "bad.toml", tmp_path / "unknown.toml"
    bad_map.write_text("{")
    unknown_field.write_text('colour = "x"')
    producer = keys.create_producer("Limited").id
    reader = keys.create_key(producer, scopes=["read"])[1]
    cases: list[tuple[list[str], dict[str, str], int, str]] = [
        (["nats://h/orders"], {}, 1, "The bus's URL must start with kafka://"),
        (["amqp://h/"], {}, 1, "must name a host and a queue"),
        ([], {"CONSUME_URL": "sqs://orders"}, 2, "CONSUME_URL must name a region and a queue"),
        ([redis_broker.url("text")], {}, 1, "is no stream but a string: correct the URL."),
        ([stream, "--map", str(tmp_path / "missing")], {}, 1, "cannot be read: No such file"),
        ([stream, "--map", str(bad_map)], {}, 1, "is not TOML"),
        ([stream, "--map", str(unknown_field)], {}, 1, "'colour' is no field of ours"),
        ([stream], {"NOTIFIER_ENV": "production"}, 1, "Set CONSUME_KEY to the key of the producer"),
        ([stream], {"CONSUME_KEY": "ntf_live_unknown"}, 1, "the key is unknown, expired or revoked"),
        ([stream], {"CONSUME_KEY": reader}, 1, "the key lacks the scope notify"),
        ([], {"PUBSUB_ACCOUNT": "a@b.example"}, 2, "PUBSUB_ACCOUNT needs CONSUME_KEY"),
    ]
    for words, changes, code, sentence in cases:
        done = run_command(["consume", *words], {**environment, **changes})
        assert (done.returncode, sentence in done.stderr) == (code, True), (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_without_its_library_a_sentence_says_what_to_install(environment: dict[str, str], tmp_path: Path) -> None:
    process = Program(["amqp://h?queue=q"], environment, log := tmp_path / "log", module="tests.bus.lacking")
    assert (process.wait(60), log.read_text().splitlines()[-1]) == (
        1,
        "amqp://h:5672/?queue=q needs pika: pip install -r requirements-rabbitmq.lock",
    )


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@ON_SQLITE
def test_it_makes_itself_a_producer_counts_and_ends_when_told(
    app: APIFlask,
    environment: dict[str, str],
    cast: Any,
    redis_broker: Streams,  # noqa: F811
    started: ExitStack,
    tmp_path: Path,
) -> None:
    queue, port = new_queue(), free_port()
    redis_broker.send(queue, [order(1), order(2), b"nonsense"])
    process = Consume({**environment, "METRICS_PORT": str(port)}, tmp_path / "log", redis_broker.url(queue))
    started.callback(process.kill)
    eventually(lambda: redis_broker.letters(queue) and redis_broker.unacknowledged(queue) == 0, within_s=60)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 2
    assert db.session.scalars(sa.select(Producer.name)).all() == ["Message bus"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        told = answer.read().decode()
    assert f'notifier_bus_messages_total{{bus="redis:{queue}",outcome="accepted"}} 2.0' in told
    assert f'notifier_bus_messages_total{{bus="redis:{queue}",outcome="dead"}} 1.0' in told
    assert process.end() == 0
    (group,) = redis_broker.client.xinfo_groups(queue)
    assert group["consumers"] == 0  # it has signed off


@ON_SQLITE
def test_without_a_bus_it_says_so_and_waits(
    app: APIFlask, environment: dict[str, str], started: ExitStack, tmp_path: Path
) -> None:
    process = Program(["consume"], environment, tmp_path / "log")
    started.callback(process.wait)
    started.callback(process.kill)
    eventually(lambda: "set CONSUME_URL" in (tmp_path / "log").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
