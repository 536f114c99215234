"""Several hosts: two schedulers, and clocks that differ."""

import pytest

from tests.faults.conftest import Trial
from tests.faults.installation import Installation
from tests.faults.sink import SOON_S

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("running", ["sqlite", "postgresql"], indirect=True, scope="session")
def test_two_schedulers_ring_nothing_twice(running: Installation, trial: Trial) -> None:
    second = running.start("scheduler")
    trial.start_worker()
    trial.submit()
    for _ in range(2):
        trial.until_delivered(500)
        running.client.flushall()
    trial.until_delivered(500)
    trial.settle()
    second.tell_to_stop()
    assert second.wait(30) == 0


# SQLite lives on one host, which has one clock.
@pytest.mark.parametrize("running", ["postgresql"], indirect=True, scope="session")
# Further than what is sent is good for
@pytest.mark.parametrize("off_s", [30 * 3600.0, -30 * 3600.0], ids=["fast", "slow"])
def test_a_host_whose_clock_is_wrong_sends_nothing_twice_and_expires_nothing(
    running: Installation, trial: Trial, off_s: float
) -> None:
    running.sink.answers_after_s = 3.0  # every send is in flight while the scheduler looks
    scheduler = running.start("scheduler", clock_off_s=off_s)
    trial.start_worker(clock_off_s=off_s)
    trial.start_worker()
    trial.submit()
    trial.until_delivered(1_500)
    running.sink.answers_after_s = SOON_S
    trial.settle()
    scheduler.tell_to_stop()
    assert scheduler.wait(30) == 0
