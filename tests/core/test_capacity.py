"""What a load takes, with costs that are easy to reckon with: every operation 100 µs here, 10 in Redis, 200 there."""

from dataclasses import replace

import pytest

from notifier.core.capacity import SECONDS_A_DAY, Cost, Load, Measured, parse_count, parse_share, plan

EACH = Cost(100, 10, 200)
BYTES = {
    "submission_bytes": 100.0,
    "notification_bytes": 200.0,
    "delivery_bytes": 300.0,
    "attempt_bytes": 50.0,
    "inbox_item_bytes": 400.0,
    "event_bytes": 10.0,
    "events_a_delivery": 1.0,
    "rest_bytes": 1.0,
    "person_bytes": 1_000.0,
}
MEASURED = Measured(dict.fromkeys(("single", "bulk", "broadcast", "receipt", "email", "webhook"), EACH), BYTES)
LOAD = Load(1_000, 10, {"inapp": 1.0, "email": 0.5}, database_cores=4)


def test_the_peak_decides_on_processes_and_the_average_on_the_disk() -> None:
    found = plan(LOAD, MEASURED)
    # 10,000 accepted (1.0), 5,000 receipts (0.5): 1.5 cores at half load; 5,000 mails 0.5
    assert (found.web_cores, found.web, found.worker_cores) == (1.5, 3, 0.5)
    # 5,000 mails of 100 ms are 500 in flight, 200 a process
    assert found.workers == 3
    # 20,000 operations of 200 µs
    assert (found.database_cores, found.databases, found.redises, found.schedulers) == (4.0, 2, 2, 4)
    assert found.redis_cores == 0.2
    one = 100 + 200 + 1 + 1.5 * 300 + 0.5 * 50 + 400
    # An event for each delivery, and one for each receipt of a mail
    events = (1.5 + 0.5) * 10
    assert found.bytes_a_day == pytest.approx((one + events) * 1_000 * SECONDS_A_DAY)
    assert found.kept_bytes == pytest.approx((one * 90 + events * 14) * 1_000 * SECONDS_A_DAY)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calls": "broadcast"}, {"web_cores": 0.5, "worker_cores": 1.5}),  # workers expand
        ({"channels": {"inapp": 1.0}}, {"web_cores": 1.0, "worker_cores": 0.0, "workers": 1}),
        ({"channels": {"inapp": 1.0, "email": 1.0, "slack": 1.0}}, {"web_cores": 2.5, "worker_cores": 2.0}),
        ({"peak": 1.0}, {"web_cores": pytest.approx(0.15), "databases": 1}),
        ({"answer_s": 0.001}, {"workers": 1}),
        ({"database_cores": 16}, {"databases": 1, "redises": 1}),
    ],
)
def test_what_changes_with_the_load(changes: dict[str, object], expected: dict[str, object]) -> None:
    found = plan(replace(LOAD, **changes), MEASURED)  # type: ignore[arg-type]
    assert {name: getattr(found, name) for name in expected} == expected


def test_people_are_stored_too() -> None:
    more = plan(replace(LOAD, people=7), MEASURED).kept_bytes - plan(LOAD, MEASURED).kept_bytes
    assert more == pytest.approx(7_000)


@pytest.mark.parametrize(
    ("text", "count"), [("250M", 250e6), ("10k", 10e3), ("1.5G", 1.5e9), ("100,000", 100e3), ("7", 7.0)]
)
def test_counts_are_written_as_people_write_them(text: str, count: float) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "ten", "1e99", "nan", "5X"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="250M"):
        parse_count(text)


@pytest.mark.parametrize(("text", "share"), [("email=0.6", ("email", 0.6)), ("sms=5%", ("sms", 0.05))])
def test_shares_are_parts_or_per_cent(text: str, share: tuple[str, float]) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["email", "email=", "=1", "email=-1", "email=x", "email=99"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="email=60%"):
        parse_share(text)
