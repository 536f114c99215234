import pytest

from bench import shares
from bench.installation import DATABASES


@pytest.mark.parametrize(("of_kept", "holds"), [(1.0, True), (0.71, True), (0.69, False)])
@pytest.mark.parametrize("database", DATABASES)
def test_a_share_below_seventy_per_cent_of_what_is_kept_fails(database: str, of_kept: float, holds: bool) -> None:
    kept = shares.kept(database)
    fell, *others = kept
    results = {name: {"cpu_share": kept[name]} for name in others} | {fell: {"cpu_share": kept[fell] * of_kept}}

    lines, have_held = shares.judged(database, results)

    assert have_held is holds
    assert [line.split()[:3] for line in lines if line.startswith("FELL")] == (
        [] if holds else [["FELL", database, fell]]
    )


@pytest.mark.parametrize("database", DATABASES)
def test_a_share_is_kept_only_of_what_has_a_yardstick(database: str) -> None:
    assert set(shares.kept(database)) <= set(shares.YARDSTICK_OF)


def test_the_cheapest_rounds_say_what_an_operation_costs() -> None:
    bare = [{"cpu_us": 300.0, "redis_cpu_us": 0.0}, {"cpu_us": 200.0, "redis_cpu_us": 20.0}]
    ours = [{"cpu_us": 800.0, "redis_cpu_us": 80.0}, {"cpu_us": 900.0, "redis_cpu_us": 90.0}]

    assert shares.cpu_share(ours, bare) == {"cpu_share": 0.25}
