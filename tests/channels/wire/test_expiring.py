"""A token that many threads share, and that is made anew before it ends."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from notifier.channels.wire import expiring
from notifier.channels.wire.expiring import Expiring


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The steady clock's seconds, to be set."""
    now = [1000.0]
    monkeypatch.setattr(expiring.time, "monotonic", lambda: now[0])
    return now


def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


def test_it_is_made_once_and_anew_before_it_ends(clock: list[float]) -> None:
    made = numbers()
    token = Expiring(lambda: (next(made), 3600))
    assert [token.get(), token.get()] == [1, 1]
    clock[0] += 3299
    assert token.get() == 1
    clock[0] += 1  # five minutes before the end
    assert [token.get(), token.get()] == [2, 2]


def test_what_the_provider_refused_is_made_anew_once(clock: list[float]) -> None:
    made = numbers()
    token = Expiring(lambda: (next(made), 3600))
    assert token.get() == 1
    token.forget(1)
    assert token.get() == 2
    token.forget(1)  # another thread's late answer
    assert token.get() == 2


def test_threads_that_need_it_at_once_wait_for_one_maker() -> None:
    begun, may_end, made = threading.Event(), threading.Event(), numbers()

    def make() -> tuple[int, float]:
        begun.set()
        assert may_end.wait(10)
        return next(made), 3600

    token, found = Expiring(make), list[int]()
    threads = [threading.Thread(target=lambda: found.append(token.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert found == [1] * 8


def test_the_old_one_serves_while_a_new_one_is_made(clock: list[float]) -> None:
    begun, may_end, made = threading.Event(), threading.Event(), numbers()

    def make() -> tuple[int, float]:
        number = next(made)
        if number > 1:
            begun.set()
            assert may_end.wait(10)
        return number, 3600

    token = Expiring(make)
    assert token.get() == 1
    clock[0] += 3400
    maker = threading.Thread(target=token.get)
    maker.start()
    assert begun.wait(10)
    assert token.get() == 1  # without waiting
    may_end.set()
    maker.join(10)
    assert token.get() == 2


def test_one_that_holds_still_serves_while_no_new_one_can_be_made(clock: list[float]) -> None:
    outcomes: list[Any] = [1, OSError("away"), OSError("away"), 2]

    def make() -> tuple[int, float]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome, 3600

    token = Expiring(make)
    assert token.get() == 1
    clock[0] += 3400  # it is to be renewed, and cannot be
    assert [token.get(), token.get()] == [1, 1]
    assert len(outcomes) == 2, "it is not tried again at once"
    clock[0] += 10
    assert token.get() == 1
    clock[0] += 10
    assert token.get() == 2


def test_a_failure_reaches_all_who_waited_for_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs holds them once, and not one after the other."""
    asked, all_have, ticks = set[int](), threading.Event(), numbers()
    tries, failed = list[int](), list[str]()

    def monotonic() -> float:
        asked.add(threading.get_ident())
        if len(asked) == 9:
            all_have.set()
        return next(ticks)

    def make() -> tuple[int, float]:
        tries.append(1)
        assert all_have.wait(10)
        raise OSError("away")

    def ask() -> None:
        try:
            token.get()
        except OSError as error:
            failed.append(str(error))

    monkeypatch.setattr(expiring, "time", SimpleNamespace(monotonic=monotonic))
    token = Expiring(make)
    threads = [threading.Thread(target=ask) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (failed, tries) == (["away"] * 9, [1])


def test_a_failure_is_of_the_one_who_tried(clock: list[float]) -> None:
    outcomes: list[Any] = [OSError("away"), (1, 3600)]

    def make() -> tuple[int, float]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    token = Expiring(make)
    with pytest.raises(OSError, match="away"):
        token.get()
    assert token.get() == 1
