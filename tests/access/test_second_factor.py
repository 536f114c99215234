"""Codes of an authenticator app, and recovery codes: each works once, and nobody has many tries."""

from datetime import timedelta
from uuid import UUID

import pytest
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, second_factor, sessions
from notifier.core.errors import Rejected
from notifier.ground.clock import now

CLOCK = "2026-11-30T12:00:10+00:00"


@pytest.fixture
def account_id(app: APIFlask) -> UUID:
    return accounts.create_account("ann@example.test", None, "admin", "ann").id


def code(secret: str, steps: int = 0) -> str:
    """What the app shows so many steps from now."""
    at = int(now().timestamp()) + steps * second_factor.STEP_S
    return second_factor._totp(secret).generate(at).decode()


def set_up(account_id: UUID) -> tuple[str, list[str]]:
    """→ the app's secret, and the recovery codes. The code of now is used up."""
    secret = second_factor.begin(account_id)
    return secret, second_factor.confirm(account_id, code(secret), here="")


@pytest.mark.parametrize(("steps", "is_good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_codes_around_now_are_good(account_id: UUID, steps: int, is_good: bool) -> None:
    with time_machine.travel(CLOCK, tick=False):
        assert second_factor.check(account_id, code(second_factor.begin(account_id), steps)) == is_good


def test_a_code_works_once_and_so_does_none_before_it(account_id: UUID) -> None:
    with time_machine.travel(CLOCK, tick=False) as clock:
        secret, _ = set_up(account_id)
        assert [second_factor.check(account_id, code(secret, steps)) for steps in (0, -1)] == [False, False]
        clock.shift(second_factor.STEP_S)
        given = code(secret)
        assert second_factor.check(account_id, f" {given[:3]} {given[3:]} ")
        assert not second_factor.check(account_id, given)


@pytest.mark.parametrize("given", ["", "000000", "nonsense", "０" * 6, "1" * 10_000])
def test_nothing_else_is_a_code(account_id: UUID, given: str) -> None:
    set_up(account_id)
    assert not second_factor.check(account_id, given)


def test_after_some_wrong_ones_each_waits(account_id: UUID) -> None:
    """Whoever tries, from wherever: six digits are not many."""
    with time_machine.travel(CLOCK, tick=False) as clock:
        secret, codes = set_up(account_id)
        clock.shift(3600)
        for _ in range(second_factor.MOST_TRIES):
            assert not second_factor.check(account_id, "wrong")
        for given in (code(secret), codes[0]):
            with pytest.raises(Rejected, match="Too many attempts"):
                second_factor.check(account_id, given)
        clock.shift(second_factor.WAIT + timedelta(seconds=1))
        assert not second_factor.check(account_id, "wrong")
        with pytest.raises(Rejected):
            second_factor.check(account_id, code(secret))
        clock.shift(second_factor.WAIT + timedelta(seconds=1))
        assert second_factor.check(account_id, code(secret))
        assert not second_factor.check(account_id, "wrong")  # they are counted from none again


def test_a_recovery_code_works_once(account_id: UUID) -> None:
    _, codes = set_up(account_id)
    other = accounts.create_account("bob@example.test", None, "admin", "bob").id
    set_up(other)

    assert len(set(codes)) == second_factor.RECOVERY_CODES
    assert not second_factor.check(other, codes[0])
    assert [second_factor.check(account_id, given) for given in (codes[0].upper(), codes[0])] == [True, False]
    assert second_factor.codes_left(account_id) == second_factor.RECOVERY_CODES - 1


def test_setting_it_up_and_removing_it_ends_the_other_sessions(account_id: UUID) -> None:
    account = accounts.find(account_id)
    assert account is not None
    here, elsewhere = sessions.begin(account, "password"), sessions.begin(account, "password")
    secret = second_factor.begin(account_id)

    second_factor.confirm(account_id, code(secret), here=here)
    assert (sessions.find(here) is not None, sessions.find(elsewhere)) == (True, None)

    elsewhere = sessions.begin(account, "password")
    assert second_factor.remove(account_id, here=here)
    assert (sessions.find(here) is not None, sessions.find(elsewhere)) == (True, None)
    assert not second_factor.remove(account_id)


def test_a_secret_that_was_shown_long_ago_is_not_taken_up(account_id: UUID) -> None:
    """Somebody may have looked at it then."""
    with time_machine.travel(CLOCK, tick=False) as clock:
        first = second_factor.begin(account_id)
        assert second_factor.begin(account_id) == first
        clock.shift(sessions.FRESH_FOR + timedelta(seconds=1))
        assert second_factor.begin(account_id) != first


def test_there_is_one_at_a_time(account_id: UUID) -> None:
    set_up(account_id)
    with pytest.raises(Rejected, match="already"):
        second_factor.begin(account_id)
