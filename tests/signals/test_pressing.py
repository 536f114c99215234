"""Urgent work is noticed, and others get as much time as was taken."""

import time

import pytest
from apiflask import APIFlask

from notifier.batchworker.take import PRESSING
from notifier.ground.extensions import redis_store
from notifier.signals.pressing import give_way, has_pressing


def test_there_is_urgent_work_as_long_as_a_worker_says_so(app: APIFlask) -> None:
    assert not has_pressing()
    redis_store.client.set(PRESSING, 1)
    assert has_pressing()


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.25, 0.25), (30.0, 1.0)])
def test_the_pause_is_as_long_as_the_work_but_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float], took_s: float, pause_s: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    give_way(100.0 - took_s)
    assert pauses == [pause_s]
