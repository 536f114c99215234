"""The yardsticks, by name: what this machine can do at best, with nothing of the product in it.

Measured in turn with what they are to judge, since a rate says as much about the machine as about the product.
"""

from collections.abc import Callable

import sqlalchemy as sa

from bench import bare, rows
from bench.emptying import rq_simple_worker, rq_worker
from bench.processes import running
from bench.sample import PEOPLE
from bench.stage import LOCAL_CLIENTS, Found, Stage, loaded, micros
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Delivery
from notifier.pipeline.delivery.deliver import deliver

SLOW_IN_FLIGHT = 200  # as a worker has lanes for one channel
MANY_ROWS = 48
MANY_JOBS = 500


def bare_answer(stage: Stage) -> Found:
    """The requests of `singles` to a web process that does nothing with them."""
    with running(stage.installation.start("bench.bare_web")) as web:
        port = web.read_json()["port"]
        load = ("--channels", "inapp,email", "--clients", LOCAL_CLIENTS)
        loaded(stage, web, port, "singles", *load, "--requests", LOCAL_CLIENTS)  # warms up
        found = loaded(stage, web, port, "singles", *load, "--requests", stage.some(20_000))
    return {"operations/s": found.pop("rate"), **found}


def bare_post(stage: Stage) -> Found:
    """Requests of a webhook's size, one after the other."""
    return _looped(stage, "post", 8_000, "--url", f"http://127.0.0.1:{stage.quick_port}/hook")


def bare_slow_post(stage: Stage) -> Found:
    """The same to a receiver that answers after 100 ms, from as many threads as a worker has for webhooks."""
    url = f"http://127.0.0.1:{stage.slow_port}/hook"
    return _looped(stage, "post", 4_000, "--url", url, "--in-flight", SLOW_IN_FLIGHT)


def bare_mail(stage: Stage) -> Found:
    """A mail of ours, ready to go, again and again, to the server that `email` sends to."""
    here = stage.installation
    if not here.ready_mail.exists():
        deliver(rows.queue_up("email", "medium", 1, prefix=PEOPLE, users=1))
    return _looped(stage, "mail", 5_000, "--mail", here.ready_mail, "--port", here.mail_port)


def bare_row(stage: Stage) -> Found:
    """One row in a commit."""
    return _rows(stage, 3_000, 1)


def bare_rows(stage: Stage) -> Found:
    """48 rows in a commit."""
    return _rows(stage, 48_000, MANY_ROWS)


def bare_jobs(stage: Stage) -> Found:
    """Jobs of RQ's size, 500 in a round trip."""
    found = _looped(stage, "pipeline", 50_000, "--size", MANY_JOBS)
    for key in stage.installation.redis.scan_iter("bare:*", count=10_000):
        stage.installation.redis.unlink(key)
    return found


def _rows(stage: Stage, operations: int, size: int) -> Found:
    table = Delivery.__table__
    stored = [table.c[column["name"]] for column in sa.inspect(db.engine).get_columns(table.name)]  # in their order
    columns = [sa.Column(column.name, column.type, primary_key=column.primary_key) for column in stored]
    copy = sa.Table(bare.COPY, sa.MetaData(), *columns)
    with transaction() as session:
        copy.create(session.connection())
    try:
        return _looped(stage, "rows", operations, "--size", size)
    finally:
        db.session.remove()
        with transaction() as session:
            copy.drop(session.connection())


def _looped(stage: Stage, kind: str, operations: int, *options: object) -> Found:
    found: Found = {}
    count = stage.some(operations)
    with stage.costs(found, lambda: count):
        answer = stage.installation.start("bench.bare", kind, "--operations", count, *options).answer()
    return {
        "operations/s": round(answer["operations"] / answer["seconds"], 1),
        "cpu_us": micros(answer["cpu_s"], answer["operations"]),
        **found,
    }


YARDSTICKS: dict[str, Callable[[Stage], Found]] = {
    yardstick.__name__: yardstick
    for yardstick in (
        bare_answer,
        bare_row,
        bare_rows,
        bare_post,
        bare_slow_post,
        bare_mail,
        bare_jobs,
        rq_worker,
        rq_simple_worker,
    )
}
