"""Two cells as real processes, with people of both: one is killed under load, and comes back."""

from collections import Counter
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.faults.installation import Installation
from tests.faults.load import Load
from tests.faults.sink import Sink
from tests.running import Redis, eventually, free_port

pytestmark = [pytest.mark.faults, pytest.mark.processes]

KEY = "a key that all cells have, and nobody else"
EACH = 10  # people
ENOUGH = 60  # submissions, for all people each


@pytest.fixture
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Installation]]:
    ports = {name: free_port() for name in ("eu", "us")}
    urls = ",".join(f"{name}=http://127.0.0.1:{port}" for name, port in ports.items())
    found, others = {}, list[Redis | Sink]()
    for name, port in ports.items():
        place = tmp_path_factory.mktemp(name)
        others += (own_redis := Redis(place), sink := Sink())
        own = {"REGION": name, "REGIONS": urls, "REGION_KEY": KEY}
        url = f"sqlite:///{place / 'notifier.db'}"
        found[name] = Installation(place / "home", url, own_redis, sink, port=port, users=(), **own)
    yield found
    for installation in found.values():
        installation.stop()
    for one in others:
        one.stop()


def heard(cell: Installation) -> Counter[str]:
    """Person → how many notifications they have."""
    with cell.engine.connect() as connection:
        return Counter(connection.scalars(sa.text("SELECT user_id FROM notification")))


def test_a_cell_that_is_killed_and_comes_back_has_lost_and_doubled_nothing(cells: dict[str, Installation]) -> None:
    eu, us = cells["eu"], cells["us"]
    people = {name: [f"{name}{number}" for number in range(EACH)] for name in cells}
    for name, users in people.items():
        for user in users:
            eu.call("PUT", f"/api/v1/users/{user}", {"home_region": name})
    assert not any(heard(cell) for cell in cells.values())

    load = Load(
        eu.url,
        [user for users in zip(*people.values(), strict=True) for user in users],
        is_wanted=lambda load: load.answered < ENOUGH,
        recipients=2 * EACH,
        channel="inapp",
    )
    eventually(lambda: load.answered >= ENOUGH // 3)
    us.web.kill()
    eventually(lambda: load.answered >= ENOUGH)
    load.stop()
    assert all(heard(eu)[user] == load.answered for user in people["eu"])
    us.restart_web()
    eventually(lambda: all(heard(us)[user] >= load.answered for user in people["us"]), within_s=120)
    assert heard(eu) == dict.fromkeys(people["eu"], load.answered)
    assert heard(us) == dict.fromkeys(people["us"], load.answered)
