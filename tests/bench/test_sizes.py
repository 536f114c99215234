"""What a row takes on PostgreSQL's disk is measured for every table, partitioned ones too."""

import pytest
from apiflask import APIFlask

from bench import sizes

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")


def test_every_table_that_is_measured_has_a_size(app: APIFlask) -> None:
    assert set(sizes._counts()) <= set(sizes._sizes())
