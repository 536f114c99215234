"""Rows that go with another are found by an index: else each that is deleted costs a look at the whole table."""

import sqlalchemy as sa

from notifier.ground.extensions import db

FEW = {"broadcast_variant"}  # rows: one for each variant of a broadcast


def test_what_goes_with_another_row_is_found_by_an_index() -> None:
    unfound = [
        f"{table.name}.{key.parent.name}"
        for table in db.metadata.sorted_tables
        for key in table.foreign_keys
        if key.ondelete and table.name not in FEW and key.parent.name not in led_by(table)
    ]
    assert unfound == []


def led_by(table: sa.Table) -> set[str]:
    """The columns that an index begins with."""
    unique = [one for one in table.constraints if isinstance(one, sa.PrimaryKeyConstraint | sa.UniqueConstraint)]
    return {next(iter(one.columns)).name for one in (*table.indexes, *unique)}
