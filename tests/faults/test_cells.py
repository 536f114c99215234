"""Two cells as real processes, with people of both: one is killed under load, or no longer heard, and comes back."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa

from tests.conftest import new_postgres_database
from tests.faults.conftest import Postgres
from tests.faults.installation import Installation
from tests.faults.load import Load
from tests.faults.networks import Network
from tests.faults.sink import Sink
from tests.running import Redis, eventually, free_port

pytestmark = pytest.mark.faults

PORT = 5000  # of both, where each has a network of its own
KEY = "a key that all cells have, and nobody else"
EACH = 10  # people
FEW = 3
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


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory, own_postgres: Postgres) -> Iterator[dict[str, Installation]]:
    """Each in a network of its own, where its Redis and its web process are, and with a database of another kind: the
    cable between them is all that they share.
    """
    networks = {name: Network(f"10.77.0.{number}") for number, name in enumerate(("eu", "us"), 1)}
    found, others = {}, list[Redis | Sink]()
    try:
        networks["eu"].join(networks["us"])
        urls = ",".join(f"{name}=http://{network.address}:{PORT}" for name, network in networks.items())
        for name, network in networks.items():
            place = tmp_path_factory.mktemp(f"{name}-apart")
            url = f"sqlite:///{place / 'notifier.db'}"
            if name == "eu":
                url = new_postgres_database(own_postgres.uri, "notifier_apart")
            own = {"HOST": "0.0.0.0", "REGION": name, "REGIONS": urls, "REGION_KEY": KEY}
            with network.inside():
                others += (own_redis := Redis(place), sink := Sink())
                found[name] = Installation(
                    place / "home", url, own_redis, sink, port=PORT, users=(), network=network, **own
                )
        yield found
    finally:
        for installation in found.values():
            installation.stop()
        for one in others:
            one.stop()
        for network in networks.values():
            network.end()


def test_what_is_said_while_no_cell_hears_the_other_is_told_once(apart: dict[str, Installation]) -> None:
    people = {name: [f"{name}{number}" for number in range(FEW)] for name in apart}
    everybody = [user for users in people.values() for user in users]
    enough, loads = [FEW], list[Load]()
    with inside(apart["eu"]):
        for user in everybody:
            apart["eu"].call("PUT", f"/api/v1/users/{user}", {"home_region": user[:2]})
    for cell in apart.values():
        with inside(cell):
            loads.append(
                Load(
                    cell.url,
                    everybody,
                    is_wanted=lambda load: load.answered < enough[0],
                    recipients=len(everybody),
                    threads=1,
                    channel="inapp",
                )
            )
    eventually(lambda: all(load.answered >= enough[0] for load in loads))
    cable = apart["us"].network
    assert cable
    cable.pull()
    enough[0] = 3 * FEW
    eventually(lambda: all(load.answered >= enough[0] for load in loads))
    for load in loads:
        load.stop()
    all_of_it = sum(load.answered for load in loads)
    for load, (name, cell) in zip(loads, apart.items(), strict=True):
        counts = heard(cell)
        assert set(counts) == set(people[name])
        assert all(load.answered <= counts[user] < all_of_it for user in people[name])
    cable.plug_in()
    eventually(
        lambda: all(heard(cell) == dict.fromkeys(people[name], all_of_it) for name, cell in apart.items()),
        within_s=120,
    )


def inside(cell: Installation) -> AbstractContextManager[None]:
    assert cell.network
    return cell.network.inside()
