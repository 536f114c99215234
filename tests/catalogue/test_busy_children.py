"""Whoever keeps the child processes busy, with templates or with data, holds up nobody else's submissions."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.catalogue import templates, types
from notifier.catalogue.known import load_types
from notifier.core.errors import Rejected
from notifier.core.wording import Words
from notifier.ground import process_pool
from notifier.ground.process_pool import ProcessPool
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Accepted, Caller, Item
from tests.submitting import submission

CHEAP = {"order_id": "A1"}
DEAR = {"order_id": "A2", "items": [{"name": f"thing {number}", "quantity": number} for number in range(200)]}
DEEP = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object"}}}}
Busy = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def busy(app: APIFlask, tmp_path: Path) -> Iterator[Busy]:
    """`with busy(process_pool.AUTHORS):` all children of that pool have something to do."""
    pools = {
        name: ProcessPool(1, longest_call_s=60, longest_wait_s=0.1)
        for name in (process_pool.AUTHORS, process_pool.MESSAGES)
    }
    before, app.extensions["process_pools"] = app.extensions["process_pools"], pools

    @contextmanager
    def keep(name: str) -> Iterator[None]:
        gate = tmp_path / name
        os.mkfifo(gate)
        thread = threading.Thread(target=pools[name].run, args=(Path.read_text, gate))
        thread.start()
        opened = os.open(gate, os.O_WRONLY)  # returns when a child reads there
        try:
            yield
        finally:
            os.close(opened)
            thread.join()

    yield keep
    app.extensions["process_pools"] = before
    for pool in pools.values():
        pool.close()


@pytest.fixture
def deep_schema(app: APIFlask) -> Iterator[None]:
    """`order_placed` with a schema that goes deeper than a look."""
    placed = load_types(["order_placed"])["order_placed"]
    fields = {name: getattr(placed, name) for name in types.FIELDS}
    types.put("order_placed", {**fields, "schema": DEEP})
    yield
    types.put("order_placed", fields)


def answers(caller: Caller, *data: dict[str, Any]) -> list[str]:
    """What becomes of submissions that came at the same time."""
    found = accept([Item(caller, submission("alice", type="order_placed", data=one)) for one in data])
    return ["accepted" if isinstance(answer, Accepted) else answer.code for answer in found]


def test_submissions_do_not_wait_for_those_who_write_templates(busy: Busy, cast: Any, caller: Caller) -> None:
    with busy(process_pool.AUTHORS):
        with pytest.raises(Rejected) as refused:
            templates.create("order_placed", {("*", "en"): Words("Placed: {{ order_id }}")})
        assert refused.value.code == "unavailable"
        assert answers(caller, CHEAP, DEAR) == ["accepted", "accepted"]


@pytest.mark.slow
@pytest.mark.usefixtures("cast", "deep_schema")
def test_what_nobody_is_free_to_check_is_refused_alone_and_may_come_again(busy: Busy, caller: Caller) -> None:
    with busy(process_pool.MESSAGES):
        [first, second] = accept(
            [Item(caller, submission("alice", type="order_placed", data=data)) for data in (CHEAP, DEAR)]
        )
        assert isinstance(first, Accepted)
        assert isinstance(second, Rejected)
        assert (second.code, second.retry_after is not None) == ("unavailable", True)
    assert answers(caller, DEAR) == ["accepted"]
