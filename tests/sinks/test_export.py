"""`python -m notifier export`: what stands in the file, and what is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.events import BROADCAST_FINISHED
from notifier.ground.clock import now
from notifier.ground.config import ROOT
from notifier.ground.database import transaction
from notifier.ground.ids import new_id
from notifier.models import Event, EventStream
from notifier.queries import events, shown_events
from notifier.sinks.files import Ndjson, whole
from notifier.sinks.parquet import SCHEMA, Parquet
from tests.commands import run_command

DAY = datetime(2026, 11, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(app: APIFlask, environment: dict[str, str]) -> Run:
    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        return run_command(("export", *words), {"PATH": os.environ["PATH"], **environment})

    return command


def told(*times: datetime, **columns: Any) -> list[int]:
    with transaction() as session:
        for at in times:
            session.execute(sa.insert(Event), {"kind": "delivery.sent", "at": at, "is_test": False, **columns})
        return list(session.scalars(sa.select(Event.id).order_by(Event.id)))


def positions(exported: Any) -> list[int]:
    return [shown_events.position_of(event["cursor"]) for event in exported]


WHOLE_EVENT = {
    "producer_id": new_id(),
    "submission_id": new_id(),
    "notification_id": new_id(),
    "delivery_id": new_id(),
    "user_id": "alice",
    "type": "order_shipped",
    "category": "transactional",
    "channel": "email",
    "address_masked": "a•••@example.test",
    "provider": "smtp",
    "reason": "cancelled",
    "code": "550",
}
OF_BROADCAST = {"kind": BROADCAST_FINISHED, "producer_id": new_id(), "submission_id": new_id()}


# ---- which events ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("since_h", "until_h", "expected"),
    [
        (-100, 100, range(10)),
        (0, 100, range(10)),
        (3, 6, range(3, 6)),  # from the one, to before the other
        (9, 100, [9]),
        (10, 100, []),
        (-100, 0, []),
    ],
)
def test_a_span_of_time_is_exported(since_h: int, until_h: int, expected: Any) -> None:
    ids = told(*(DAY + hour * HOUR for hour in range(10)))
    pages = list(shown_events.between(DAY + since_h * HOUR, DAY + until_h * HOUR))
    assert positions(event for page in pages for event in page) == [ids[number] for number in expected]


@pytest.mark.usefixtures("app")
def test_an_event_out_of_the_order_of_time_is_exported_too() -> None:
    """Transactions take positions and times in different orders, for as long as they last."""
    first, second, third = told(DAY + timedelta(minutes=50), DAY, DAY + timedelta(minutes=20))
    found = [event for page in shown_events.between(DAY, DAY + timedelta(minutes=30)) for event in page]
    assert positions(found) == [second, third]
    assert first not in positions(found)


@pytest.mark.usefixtures("app")
def test_pages_join_and_gaps_between_positions_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_events, "PAGE", 3)
    ids = told(*(DAY + hour * HOUR for hour in range(20)))
    with transaction() as session:
        session.execute(sa.delete(Event).where(Event.id.in_(ids[4:11])))
    found = [event for page in shown_events.between(DAY + 2 * HOUR, DAY + 15 * HOUR) for event in page]
    assert positions(found) == [*ids[2:4], *ids[11:15]]


# ---- the file -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_formats_hold_what_the_api_shows(run: Run, tmp_path: Path) -> None:
    told(DAY, **WHOLE_EVENT)
    told(DAY + timedelta(milliseconds=7))
    told(DAY + timedelta(milliseconds=9), **OF_BROADCAST)
    shown = shown_events.shown(events.read(0, 10).rows)
    for form in ("ndjson", "parquet"):
        done = run("--since", "2026-11-20", "--format", form, str(tmp_path / form))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "3 events.\n")
    assert [json.loads(line) for line in (tmp_path / "ndjson").read_text().splitlines()] == shown
    rows = pq.read_table(tmp_path / "parquet").to_pylist()
    for row in rows:
        row["timestamp"] = row["timestamp"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if row["data"]["delivery"] == dict.fromkeys(row["data"]["delivery"] or {}):
            row["data"]["delivery"] = None
        if row["data"]["broadcast"] is None:
            del row["data"]["broadcast"]
    assert rows == shown


@pytest.mark.usefixtures("app")
def test_parquet_has_a_column_for_everything_that_the_api_shows() -> None:
    told(DAY, **WHOLE_EVENT)
    told(DAY, **OF_BROADCAST)
    found = shown_events.shown(events.read(0, 10).rows)
    columns = fields(SCHEMA.field("data").type)
    for event in found:
        assert fields(SCHEMA) == [*event]
        assert [name for name in columns if name in event["data"]] == [*event["data"]]
    assert set(columns) == {name for event in found for name in event["data"]}
    assert fields(SCHEMA.field("data").type.field("delivery").type) == [*found[0]["data"]["delivery"]]


def fields(of: Any) -> list[str]:
    return [field.name for field in of]


@pytest.mark.slow
def test_the_standard_output_takes_either_format(run: Run, environment: dict[str, str], tmp_path: Path) -> None:
    [position] = told(DAY)
    done = run("--since", "2026-11-20", "-")
    assert positions([json.loads(done.stdout)]) == [position]
    command = [sys.executable, "-m", "notifier", "export", "--since", "2026-11-20", "--format", "parquet", "-"]
    piped = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True)
    assert pq.read_table(pa.BufferReader(piped.stdout)).num_rows == 1


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
def test_a_time_without_a_zone_is_utc(run: Run, zone: str) -> None:
    ids = told(*(DAY + hour * HOUR for hour in range(4)))
    done = run("--since", f"2026-11-20T02:00:00{zone}", "-")
    assert positions(map(json.loads, done.stdout.splitlines())) == ids[0 if "+" in zone else 2 :]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "events.ndjson"
    place.write_text("of yesterday")
    with pytest.raises(TypeError), whole(place) as out:
        out.writelines([b"half", None])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(place.name, "of yesterday")]
    with whole(place) as out:
        out.write(b"of today")
        assert place.read_text() == "of yesterday"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(place.name, "of today")]


def test_where_a_link_leads_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with whole(tmp_path / "link") as out:
        out.write(b"x")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "file").read_text()) == (True, "x")


def test_a_new_file_is_its_owners_alone_and_one_that_is_replaced_keeps_its_rights(tmp_path: Path) -> None:
    place = tmp_path / "events.ndjson"
    for given in (0o600, 0o640, 0o644):
        with whole(place) as out:
            out.write(b"x")
        assert place.stat().st_mode & 0o777 == given
        place.chmod({0o600: 0o640, 0o640: 0o644}.get(given, given))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "yesterday", "-"), "--since must be a date or time like"),
        (("--since", "2026-13-01", "-"), "--since must be a date or time like"),
        (("--since", "", "-"), "--since must be a date or time like"),
        (("--since", "2026-11-20", "--until", "soon", "-"), "--until must be a date or time like"),
        (("--since", "2026-11-20", "--until", "2026-11-20", "-"), "--since must be before --until"),
        (("--since", "9999-01-01", "-"), "--since must be before --until"),
        (("--since", "2026-11-20", "/nonexistent/file"), "/nonexistent/file cannot be written"),
        (("--since", "2026-11-20", "/tmp"), "/tmp cannot be written"),
        (("--since", "2026-11-20", "/dev/null"), "/dev/null cannot be written: it is not a regular file"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(run: Run, words: tuple[str, ...], sentence: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert sentence in done.stderr


@pytest.mark.slow
def test_without_pyarrow_a_sentence_says_what_to_install(environment: dict[str, str], app: APIFlask) -> None:
    without = "import sys; sys.modules['pyarrow'] = None; from notifier.__main__ import main; "
    program = f"{without}sys.exit(main(['export', '--since', '2026-11-20', '--format', 'parquet', '-']))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Parquet needs pyarrow, which is not installed: pip install -r requirements-parquet.lock\n"


def test_who_asks_for_events_that_are_gone_is_told_so(run: Run) -> None:
    told(DAY)
    with transaction() as session:
        session.execute(sa.update(EventStream).values(pruned=1))
    try:
        done = run("--since", "2026-11-01", "-")
    finally:
        with transaction() as session:
            session.execute(sa.update(EventStream).values(pruned=0))
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        0,
        "Events before 2026-11-20T00:00:00Z are no longer kept (RETENTION).",
    )


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("writer", [Ndjson, Parquet])
def test_memory_does_not_grow_with_the_number_of_events(writer: Any, tmp_path: Path) -> None:
    """Counted in rows that are alive at a time, which no machine changes."""
    at = now()
    with transaction() as session:
        row = {"kind": "delivery.sent", "at": at, "is_test": False}
        session.execute(sa.insert(Event), [row] * (3 * shown_events.PAGE + 1))
    with whole(tmp_path / "file") as out:
        writing = writer(out)
        sizes = []
        for page in shown_events.between(at, at + HOUR):
            writing.write(page)
            sizes.append(len(page))
        writing.end()
    assert sizes == [shown_events.PAGE] * 3 + [1]
