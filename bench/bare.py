"""The yardsticks' clients: the least that a loop can do with the library, the server and the data of the product.

`python -m bench.bare post|mail|rows|pipeline|json …` prints `{"operations", "seconds", "cpu_s"}`. Nothing of the
product is imported.
"""

import argparse
import json
import os
import smtplib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import redis
import urllib3
from psycopg2.extras import Json, execute_values  # type: ignore[import-untyped]
from sqlalchemy import make_url
from uuid_utils.compat import uuid7

ROWS, COPY = "delivery", "bare_delivery"  # a table of the product, and its like without indexes and foreign keys
MAILS_A_CONNECTION = 100  # as the product does

# Each yields first when it is connected and warm, then the number of operations that one step has done.
Loop = Iterator[int]


def post(given: argparse.Namespace) -> Loop:
    """A webhook's body and headers to a receiver, by a pooled connection."""
    client = urllib3.PoolManager(maxsize=1)
    data = {"order_id": "A123", "carrier": "DHL", "tracking_url": "https://track.example/A123"}
    shown = {"id": f"ntf_{'0' * 32}", "user": "person1", "title": "Your order A123 is on its way", "body": "By DHL."}
    payload = {
        "type": "order_shipped",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {**data, "notification": {**shown, "url": data["tracking_url"]}},
    }
    body = json.dumps(payload, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "bare/1",
        "webhook-id": f"dlv_{'0' * 32}",
        "webhook-timestamp": "1767225600",
        "webhook-signature": f"v1,{'A' * 43}=",
    }
    while True:
        answer = client.request("POST", given.url, body=body, headers=headers, retries=False)
        assert answer.status == 200
        yield 1


def mail(given: argparse.Namespace) -> Loop:
    """The bytes of a mail, ready to go."""
    raw = Path(given.mail).read_bytes()
    while True:
        with smtplib.SMTP("127.0.0.1", given.port, "bare.example", timeout=60) as smtp:
            for number in range(MAILS_A_CONNECTION):
                smtp.sendmail("bare@bench.example", [f"person{number}@bench.example"], raw)
                yield 1


def rows(given: argparse.Namespace) -> Loop:
    """Rows of COPY, `size` in one commit: what the product stored once, under new keys."""
    url = make_url(os.environ["DATABASE_URL"])
    return (
        _into_postgresql(url, given.size) if url.get_backend_name() == "postgresql" else _into_sqlite(url, given.size)
    )


def _into_sqlite(url: Any, size: int) -> Loop:
    connection = sqlite3.connect(url.database, isolation_level=None, timeout=60)
    connection.execute("PRAGMA synchronous=FULL")  # as the product does
    _, *values = connection.execute(f"SELECT * FROM {ROWS} LIMIT 1").fetchone()
    statement = f"INSERT INTO {COPY} VALUES ({', '.join('?' * (len(values) + 1))})"
    while True:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, [(uuid7().hex, *values) for _ in range(size)])
        connection.execute("COMMIT")
        yield size


def _into_postgresql(url: Any, size: int) -> Loop:
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    cursor = connection.cursor()
    cursor.execute(f"SELECT * FROM {ROWS} LIMIT 1")
    _, *values = (Json(value) if isinstance(value, dict) else value for value in cursor.fetchone())
    while True:
        execute_values(cursor, f"INSERT INTO {COPY} VALUES %s", [(str(uuid7()), *values) for _ in range(size)])
        connection.commit()
        yield size


def pipeline(given: argparse.Namespace) -> Loop:
    """Jobs of RQ's shape and size, `size` in one round trip; the queue is emptied as it grows."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    at = "2026-01-01T00:00:00.000000Z"
    fields: dict[Any, Any] = {
        "created_at": at,
        "enqueued_at": at,
        "data": b"0" * 70,
        "description": f"dlv_{'0' * 32}",
        "status": "queued",
        "origin": "email.medium",
        "timeout": 180,
        "result_ttl": 0,
        "failure_ttl": 31_536_000,
        "worker_name": "",
    }
    while True:
        with client.pipeline(transaction=False) as pipe:
            ids = [f"dlv_{uuid7().hex}" for _ in range(given.size)]
            for key in ids:
                pipe.hset(f"bare:{key}", mapping=fields)
            pipe.rpush("bare:queue", *ids)
            pipe.execute()
        yield given.size


def encoded(given: argparse.Namespace) -> Loop:
    """Nothing but Python: a webhook's data to JSON and back."""
    data = {"order_id": "A123", "carrier": "DHL", "tracking_url": "https://track.example/A123"}
    while True:
        assert json.loads(json.dumps(data))
        yield 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("post", "mail", "rows", "pipeline", "json"))
    parser.add_argument("--operations", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=1, help="loops, each in a thread")
    parser.add_argument("--size", type=int, default=1, help="rows or jobs in one step")
    parser.add_argument("--url")
    parser.add_argument("--port", type=int)
    parser.add_argument("--mail", help="a file")
    given = parser.parse_args()
    begin = {"post": post, "mail": mail, "rows": rows, "pipeline": pipeline, "json": encoded}[given.kind]
    share = -(-given.operations // given.in_flight)
    counts: list[int] = []
    begun: list[float] = []
    all_warm = threading.Barrier(given.in_flight, action=lambda: begun.extend((time.monotonic(), time.process_time())))

    def run() -> None:
        loop = begin(given)
        next(loop)
        all_warm.wait()
        count = 0
        while count < share:
            count += next(loop)
        counts.append(count)

    threads = [threading.Thread(target=run) for _ in range(given.in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    at, cpu = begun
    took = {"operations": sum(counts), "seconds": time.monotonic() - at, "cpu_s": time.process_time() - cpu}
    print(json.dumps(took), flush=True)


if __name__ == "__main__":
    main()
