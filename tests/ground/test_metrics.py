"""What every process says of itself to Prometheus."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine

from notifier.ground import metrics
from notifier.ground.clock import host_began_at, of_this_host
from notifier.ground.metrics import MOST_NAMES, OTHER, Disk, Pool, Process, bounded, exposition, shows
from tests.metered import growth


def test_names_that_people_make_up_are_told_apart_up_to_a_number() -> None:
    names = [bounded("of this test", f"n{number}") for number in range(MOST_NAMES + 3)]
    assert names[-4:] == [f"n{MOST_NAMES - 1}", OTHER, OTHER, OTHER]
    assert bounded("of this test", "n0") == "n0"
    assert bounded("of that test", "n900") == "n900"


@pytest.mark.parametrize(
    ("authorization", "is_shown"),
    [
        ("Bearer a-token-for-tests", True),
        ("bearer  a-token-for-tests ", True),
        ("Bearer a-token-for-test", False),
        ("Basic a-token-for-tests", False),
        ("Bearer ä", False),
        ("", False),
        (None, False),
    ],
)
def test_the_token_is_shown_as_a_bearer(authorization: str | None, is_shown: bool) -> None:
    assert shows("a-token-for-tests", authorization) is is_shown


def test_each_name_of_a_batch_is_counted_once_with_how_often_it_came() -> None:
    with growth() as grown:
        metrics.count_accepted([("like", "social"), ("like", "social"), ("follow", "social")])
    assert {grown[f"notifier_notifications_accepted_total{{category=social,type={t}}}"] for t in ("like",)} == {2}


def test_it_tells_of_its_database_connections_and_its_disk(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}", pool_size=3, max_overflow=4)
    with engine.connect():
        lines = exposition(Pool(engine), Disk(tmp_path), Disk(tmp_path / "gone")).decode().splitlines()
    assert 'notifier_database_connections{state="in_use"} 1.0' in lines
    assert 'notifier_database_connections{state="idle"} 0.0' in lines
    assert "notifier_database_connections_most 7.0" in lines
    free, size = (float(line.split()[1]) for line in lines if line.startswith("notifier_disk_"))
    assert 0 < free <= size


def test_it_tells_of_its_process_where_proc_shows_nothing_but_processes(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("/proc/self")
    told = {
        sample.name: sample.value
        for family in Process(proc=str(tmp_path), registry=None).collect()
        for sample in family.samples
    }
    names = ("cpu_seconds_total", "max_fds", "open_fds", "resident_memory_bytes", "start_time_seconds")
    assert told.keys() == {*(f"process_{name}" for name in names), "process_virtual_memory_bytes"}
    now = of_this_host()
    assert host_began_at().timestamp() < told["process_start_time_seconds"] <= now.timestamp() + 1
