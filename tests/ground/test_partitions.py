"""Partitions are there before the rows are, none is made twice, and what is old goes with its partition."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from sqlalchemy.exc import OperationalError, ProgrammingError

from notifier.ground import partitions
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")

BEGIN = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
LOG = sa.Table("log", sa.MetaData(), sa.Column("id", sa.Uuid, primary_key=True), sa.Column("at", sa.DateTime(True)))
STREAM = sa.Table(
    "stream", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("at", sa.DateTime(True))
)
TABLES = f"""
    CREATE TABLE log (id uuid PRIMARY KEY, at timestamptz NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE log_before PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('{first_at(BEGIN)}');
    CREATE TABLE log_rest PARTITION OF log DEFAULT;
    CREATE TABLE stream (id bigserial PRIMARY KEY, at timestamptz NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE stream_before PARTITION OF stream FOR VALUES FROM (MINVALUE) TO ({partitions.POSITIONS});
    CREATE TABLE stream_rest PARTITION OF stream DEFAULT"""


@pytest.fixture(autouse=True)
def clock(app: APIFlask) -> Iterator[time_machine.Traveller]:
    """The tables, and noon of the first day."""
    with transaction() as session:
        session.execute(sa.text(TABLES))
    with time_machine.travel(BEGIN + DAY / 2, tick=False) as traveller:
        yield traveller
    with transaction() as session:
        session.execute(sa.text("DROP TABLE log, stream"))


def key(at: datetime, number: int = 1) -> UUID:
    return UUID(int=first_at(at).int + number)


def add(*times: datetime) -> None:
    with transaction() as session:
        session.execute(sa.insert(LOG), [{"id": key(at), "at": at} for at in times])


def say(*times: datetime) -> list[int]:
    with transaction() as session:
        said = sa.insert(STREAM).returning(STREAM.c.id, sort_by_parameter_order=True)
        return list(session.scalars(said, [{"at": at} for at in times]))


def places(table: sa.Table = LOG) -> dict[str, int]:
    """Partition → how many rows; only those with any."""
    counted = sa.text(f"SELECT CAST(tableoid::regclass AS text), count(*) FROM {table.name} GROUP BY 1 ORDER BY 1")
    found = {row[0]: row[1] for row in db.session.execute(counted)}
    db.session.close()
    return found


def names(table: sa.Table = LOG) -> list[str]:
    found = [partition.name.removeprefix(f"{table.name}_") for partition in partitions.of(table)]
    db.session.close()
    return found


DAYS = [f"p2026120{number}" for number in range(1, 9)]


def test_there_is_one_for_each_day_of_the_next_week_and_each_is_made_once(clock: time_machine.Traveller) -> None:
    assert partitions.lay(LOG.c.id, 30 * DAY) == [f"log_{day}" for day in DAYS]
    assert partitions.lay(LOG.c.id, 30 * DAY) == []
    assert partitions.ahead(LOG) == timedelta(days=7.5)
    clock.shift(DAY)
    assert partitions.lay(LOG.c.id, 30 * DAY) == ["log_p20261209"]
    add(BEGIN, BEGIN + DAY - timedelta(milliseconds=1), BEGIN + DAY)
    assert places() == {"log_p20261201": 2, "log_p20261202": 1}


def test_they_begin_with_today_where_there_are_none() -> None:
    with transaction() as session:
        session.execute(sa.text("DROP TABLE log_before, stream_before"))
    assert partitions.ahead(LOG) == timedelta(days=-0.5)
    assert partitions.ahead_of_positions(STREAM.c.id) == timedelta(days=-1)
    assert partitions.lay(LOG.c.id, 30 * DAY) == [f"log_{day}" for day in DAYS]
    assert partitions.lay_positions(STREAM.c.id)[0] == "stream_p000000"


def test_what_is_kept_for_long_has_months() -> None:
    assert partitions.lay(LOG.c.id, None) == ["log_p20261201"]
    assert partitions.ahead(LOG) == timedelta(days=30.5)


def test_while_one_process_makes_them_another_makes_none() -> None:
    with db.engine.connect() as other:
        other.execute(sa.text("SELECT pg_advisory_xact_lock(7246002)"))
        assert partitions.lay(LOG.c.id, 30 * DAY) == []
        assert partitions.lay_positions(STREAM.c.id) == []
    assert names() == ["before"]


def test_rows_are_taken_in_without_a_partition_and_get_it_later(clock: time_machine.Traveller) -> None:
    late = BEGIN - DAY  # of a day whose partition is gone
    with transaction() as session:
        session.execute(
            sa.text(
                "DROP TABLE log_before; CREATE TABLE log_before PARTITION OF log "
                f"FOR VALUES FROM ('{first_at(late + DAY / 2)}') TO ('{first_at(BEGIN)}')"
            )
        )
    add(late, BEGIN, BEGIN + DAY, BEGIN + 9 * DAY)
    assert places() == {"log_rest": 4}
    assert partitions.ahead(LOG) < timedelta()
    partitions.lay(LOG.c.id, 30 * DAY)
    assert places() == {"log_p20261201": 1, "log_p20261202": 1, "log_rest": 2}
    clock.shift(5 * DAY)
    partitions.lay(LOG.c.id, 30 * DAY)
    assert places() == {"log_p20261201": 1, "log_p20261202": 1, "log_p20261210": 1, "log_rest": 1}


def test_nobody_waits_long_behind_it_for_a_table_that_is_in_use() -> None:
    with db.engine.connect() as reader:
        reader.execute(sa.select(LOG))
        with pytest.raises(OperationalError, match="lock timeout"):
            partitions.lay(LOG.c.id, 30 * DAY)
    assert names() == ["before"]


def test_a_table_in_the_way_is_an_error_and_leaves_everything_as_it_was() -> None:
    with transaction() as session:
        session.execute(sa.text("CREATE TABLE log_p20261203 (id uuid)"))
    with pytest.raises(ProgrammingError, match="already exists"):
        partitions.lay(LOG.c.id, 30 * DAY)
    assert names() == ["before"]
    add(BEGIN)
    assert places() == {"log_rest": 1}
    with transaction() as session:
        session.execute(sa.text("DROP TABLE log_p20261203"))


def test_old_partitions_are_dropped_but_for_those_in_which_something_is_young() -> None:
    partitions.lay(LOG.c.id, 30 * DAY)
    add(BEGIN - DAY, BEGIN, BEGIN + DAY, BEGIN + 2 * DAY)
    with transaction() as session:  # of an old key, which was written later
        session.execute(sa.insert(LOG), {"id": key(BEGIN, 2), "at": BEGIN + 5 * DAY})
    assert partitions.drop(LOG.c.id, BEGIN + 2 * DAY - timedelta(seconds=1)) == 1
    assert places() == {"log_p20261201": 2, "log_p20261202": 1, "log_p20261203": 1}
    assert partitions.drop(LOG.c.id, BEGIN + 2 * DAY) == 1
    assert places() == {"log_p20261201": 2, "log_p20261203": 1}
    assert partitions.drop(LOG.c.id, BEGIN + 6 * DAY) == 5
    assert (places(), names()) == ({}, ["p20261207", "p20261208"])


def test_what_is_in_use_is_left_for_the_next_time() -> None:
    partitions.lay(LOG.c.id, 30 * DAY)
    add(BEGIN)
    with db.engine.connect() as reader:
        reader.execute(sa.select(LOG))
        assert partitions.drop(LOG.c.id, BEGIN + DAY) == 0
    assert partitions.drop(LOG.c.id, BEGIN + DAY) == 2


def test_another_process_may_drop_the_same(clock: time_machine.Traveller) -> None:
    def be_slow(partition: sa.TableClause) -> None:
        if partition.name == "stream_before":
            with db.engine.begin() as other:
                other.execute(sa.text("DROP TABLE stream_p000001"))

    for _ in range(3):
        partitions.lay_positions(STREAM.c.id)
        say(BEGIN)
        clock.shift(DAY)
    assert partitions.drop_positions(STREAM.c.id, BEGIN + DAY, be_slow) == 1
    assert names(STREAM)[0] == "p000002"


def test_nothing_is_written_into_one_between_the_look_and_the_drop(clock: time_machine.Traveller) -> None:
    insert = sa.text("INSERT INTO stream (id, at) VALUES (7, :at)")
    refused = list[str]()

    def write(_: sa.TableClause) -> None:
        with db.engine.connect() as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '20ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                other.execute(insert, {"at": BEGIN + 9 * DAY})
        refused.append("stream_before")

    partitions.lay_positions(STREAM.c.id)
    say(BEGIN)
    clock.shift(DAY)
    partitions.lay_positions(STREAM.c.id)
    say(BEGIN)
    assert partitions.drop_positions(STREAM.c.id, BEGIN + DAY, write) == 1
    assert refused == ["stream_before"]
    with transaction() as session:
        session.execute(insert, {"at": BEGIN + 9 * DAY})
    assert places(STREAM) == {"stream_p000001": 1, "stream_rest": 1}


def test_one_is_dropped_beside_those_who_write_to_what_its_rows_refer_to() -> None:
    metadata = sa.MetaData()
    sa.Table("owner", metadata, sa.Column("id", sa.Uuid, primary_key=True))
    call = sa.Table(
        "call",
        metadata,
        sa.Column("id", sa.Uuid, sa.ForeignKey("owner.id"), primary_key=True),
        sa.Column("at", sa.DateTime(True)),
        postgresql_partition_by="RANGE (id)",
    )
    metadata.create_all(db.engine)
    with transaction() as session:
        session.execute(sa.text("CREATE TABLE call_rest PARTITION OF call DEFAULT"))
    try:
        partitions.lay(call.c.id, DAY)
        with db.engine.connect() as other:
            other.execute(sa.text("LOCK TABLE owner IN ROW EXCLUSIVE MODE"))
            assert partitions.drop(call.c.id, BEGIN + DAY) == 1
    finally:
        metadata.drop_all(db.engine)


@pytest.mark.parametrize(
    ("kept", "spare"),
    [
        (timedelta(hours=6), timedelta()),
        (2 * DAY, timedelta()),
        (3 * DAY, DAY),
        (100 * DAY, DAY),
        (101 * DAY, 31 * DAY),
    ],
)
def test_rows_are_left_to_their_partition_where_that_is_soon_enough(kept: timedelta, spare: timedelta) -> None:
    assert partitions.spare(kept) == spare


def test_positions_go_on_in_another_partition_every_day(clock: time_machine.Traveller) -> None:
    size = partitions.POSITIONS
    partitions.lay_positions(STREAM.c.id)
    assert names(STREAM) == ["before", "p000001", "p000002", "p000003"]
    assert partitions.ahead_of_positions(STREAM.c.id) == timedelta(days=3)
    assert say(BEGIN, BEGIN) == [1, 2]
    partitions.lay_positions(STREAM.c.id)
    assert say(BEGIN) == [3]
    clock.shift(DAY)
    assert partitions.lay_positions(STREAM.c.id) == ["stream_p000004"]
    assert partitions.lay_positions(STREAM.c.id) == []
    assert say(BEGIN + DAY) == [size + 1]
    clock.shift(DAY)
    partitions.lay_positions(STREAM.c.id)
    clock.shift(DAY)  # nothing came on the day in between
    partitions.lay_positions(STREAM.c.id)
    assert say(BEGIN + 3 * DAY) == [2 * size + 1]
    assert places(STREAM) == {"stream_before": 3, "stream_p000001": 1, "stream_p000002": 1}


def test_positions_go_on_in_the_same_partition_while_there_is_no_other(clock: time_machine.Traveller) -> None:
    with transaction() as session:
        session.execute(sa.text("CREATE TABLE stream_p000002 (id bigint)"))
    say(BEGIN)
    clock.shift(DAY)
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="already exists"):
            partitions.lay_positions(STREAM.c.id)
        assert partitions.ahead_of_positions(STREAM.c.id) == timedelta(days=0)
    assert say(BEGIN + DAY) == [2]
    with transaction() as session:
        session.execute(sa.text("DROP TABLE stream_p000002"))


def test_positions_without_a_partition_are_taken_in_and_get_it_later() -> None:
    with transaction() as session:
        session.execute(sa.text("SELECT setval('stream_id_seq', :last)"), {"last": 5 * partitions.POSITIONS})
    say(BEGIN)
    assert (places(STREAM), partitions.ahead_of_positions(STREAM.c.id)) == ({"stream_rest": 1}, timedelta(days=-5))
    partitions.lay_positions(STREAM.c.id)
    assert (places(STREAM), partitions.ahead_of_positions(STREAM.c.id)) == ({"stream_p000005": 1}, timedelta(days=3))


def test_a_full_partition_of_positions_goes_on_in_the_next() -> None:
    partitions.lay_positions(STREAM.c.id)
    with transaction() as session:
        session.execute(sa.text("SELECT setval('stream_id_seq', :last)"), {"last": partitions.POSITIONS - 2})
    assert say(BEGIN, BEGIN) == [partitions.POSITIONS - 1, partitions.POSITIONS]
    assert places(STREAM) == {"stream_before": 1, "stream_p000001": 1}


def test_partitions_of_positions_are_dropped_in_their_order_and_never_the_one_in_use(
    clock: time_machine.Traveller,
) -> None:
    seen: list[Any] = []

    def look(partition: sa.TableClause) -> None:
        seen.append(db.session.scalars(sa.select(partition.c.id)).all())

    for day in range(4):
        partitions.lay_positions(STREAM.c.id)
        say(BEGIN + day * DAY, *([BEGIN + 5 * DAY] if day == 2 else []))
        clock.shift(DAY)
    assert partitions.drop_positions(STREAM.c.id, BEGIN + DAY / 2, look) == 1
    assert partitions.drop_positions(STREAM.c.id, BEGIN + 4 * DAY, look) == 1  # the third holds something young
    assert partitions.drop_positions(STREAM.c.id, BEGIN + 9 * DAY, look) == 1
    size = partitions.POSITIONS
    assert seen == [[1], [size + 1], [2 * size + 1, 2 * size + 2]]
    assert places(STREAM) == {"stream_p000003": 1}
