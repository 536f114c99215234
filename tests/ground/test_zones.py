"""A time zone's name, from the doors to the clock."""

import pytest

from notifier.ground.zones import is_zone, zone_of


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (None, "UTC"),
        ("", "UTC"),
        ("Mars/Olympus", "UTC"),
        ("../../etc/passwd", "UTC"),
    ],
)
def test_a_stored_name_gives_its_zone_and_an_unknown_one_utc(name: str | None, zone: str) -> None:
    assert zone_of(name).key == zone


@pytest.mark.parametrize(("name", "is_one"), [("Asia/Tokyo", True), ("UTC", True), ("Mars/Olympus", False)])
def test_a_name_is_asked_for_in_the_database_of_zones(name: str, is_one: bool) -> None:
    assert is_zone(name) is is_one
