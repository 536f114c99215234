"""How much room is enough."""

from pathlib import Path

import pytest

from notifier.programs.doctor.databases import room


@pytest.mark.parametrize(("free", "level"), [(100 * 1024**2, "fault"), (500 * 1024**2, "warning"), (2 * 1024**3, "ok")])
def test_a_disk_that_is_nearly_full_is_told(free: int, level: str) -> None:
    assert room(Path("/data"), free).level == level
