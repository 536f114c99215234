"""Codes of an authenticator app, and recovery codes: each works once, and nobody has many tries."""

import threading
import time
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from flask import current_app

from notifier.access import accounts, recovery_codes, second_factor, sessions
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account, Authenticator

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


def takes(account_id: UUID, given: str) -> bool:
    try:
        second_factor.confirm(account_id, given, here="")
    except Rejected:
        return False
    return True


@pytest.mark.parametrize(("steps", "is_good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_the_codes_around_now_are_good(account_id: UUID, steps: int, is_good: bool) -> None:
    with time_machine.travel(CLOCK, tick=False):
        given = code(second_factor.begin(account_id), steps)
        assert not second_factor.use(account_id, given)  # it is only being set up
        assert takes(account_id, given) == is_good


def test_a_code_works_once_and_so_does_none_before_it(account_id: UUID) -> None:
    with time_machine.travel(CLOCK, tick=False) as clock:
        secret, _ = set_up(account_id)
        assert [second_factor.use(account_id, code(secret, steps)) for steps in (0, -1)] == [False, False]
        clock.shift(second_factor.STEP_S)
        given = code(secret)
        assert second_factor.use(account_id, f" {given[:3]} {given[3:]} ")
        assert not second_factor.use(account_id, given)


@pytest.mark.parametrize("given", ["", "000000", "nonsense", "０" * 6, "1" * 10_000])
def test_nothing_else_is_a_code(account_id: UUID, given: str) -> None:
    set_up(account_id)
    assert not second_factor.use(account_id, given)


def test_a_recovery_code_works_once(account_id: UUID) -> None:
    _, codes = set_up(account_id)
    other = accounts.create_account("bob@example.test", None, "admin", "bob").id
    set_up(other)

    assert len(set(codes)) == recovery_codes.COUNT
    assert not second_factor.use(other, codes[0])
    assert [second_factor.use(account_id, given) for given in (codes[0].upper(), codes[0])] == [True, False]
    assert recovery_codes.left(account_id) == recovery_codes.COUNT - 1


def test_setting_it_up_and_removing_it_ends_the_other_sessions(account_id: UUID) -> None:
    account = accounts.find(account_id)
    assert account is not None
    here, elsewhere = sessions.begin(account, "password"), sessions.begin(account, "password")
    secret = second_factor.begin(account_id)

    second_factor.confirm(account_id, code(secret), here=here)
    assert (sessions.find(here) is not None, sessions.find(elsewhere)) == (True, None)

    elsewhere = sessions.begin(account, "password")
    assert second_factor.remove_app(account_id, here=here)
    assert (sessions.find(here) is not None, sessions.find(elsewhere)) == (True, None)
    assert not second_factor.remove_app(account_id, here=here)
    assert not second_factor.remove(account_id)


def test_a_secret_that_was_shown_long_ago_is_not_taken_up(account_id: UUID) -> None:
    """Somebody may have looked at it then."""
    with time_machine.travel(CLOCK, tick=False) as clock:
        first = second_factor.begin(account_id)
        assert second_factor.begin(account_id) == first
        clock.shift(sessions.FRESH_FOR + timedelta(seconds=1))
        assert second_factor.begin(account_id) != first


def test_new_recovery_codes_take_the_place_of_those_before(account_id: UUID) -> None:
    assert second_factor.renew_codes(account_id) == []  # there is nothing to recover
    _, old = set_up(account_id)
    new = second_factor.renew_codes(account_id)
    assert [second_factor.use(account_id, given) for given in (old[0], new[0])] == [False, True]


def test_there_is_one_at_a_time(account_id: UUID) -> None:
    set_up(account_id)
    with pytest.raises(Rejected, match="already"):
        second_factor.begin(account_id)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
def test_whoever_changes_it_locks_the_account_before_what_it_has(account_id: UUID) -> None:
    """An admin's removal locks them in that order too: none of the two waits for one who waits for it."""
    set_up(account_id)
    app, ended = current_app._get_current_object(), []  # type: ignore[attr-defined]

    def take_it_away() -> None:
        with app.app_context():
            ended.append(second_factor.remove_app(account_id, here=""))

    with db.engine.connect() as other:
        other.execute(sa.select(Account.id).where(Account.id == account_id).with_for_update()).one()
        waiting = threading.Thread(target=take_it_away)
        waiting.start()
        waits = sa.text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        deadline = time.monotonic() + 60
        while not other.scalar(waits) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert other.execute(sa.select(Authenticator.account_id).with_for_update(nowait=True)).one()
    waiting.join(60)
    assert ended == [True]
