"""RFC 6901: where in a document something is."""

import pytest

from notifier.core.pointers import pointer_to

NAMES = {"a/b": "/a~1b", "a~b": "/a~0b", "~1": "/~01", "\ud800": "/\\ud800", "": "/", "é": "/é"}


@pytest.mark.parametrize(("path", "pointer"), [((), ""), (("data", 0, "a"), "/data/0/a"), ((0,), "/0")])
def test_a_path_is_written_step_by_step(path: tuple[str | int, ...], pointer: str) -> None:
    assert pointer_to(*path) == pointer


@pytest.mark.parametrize(("name", "pointer"), NAMES.items())
def test_a_name_is_escaped_so_that_every_pointer_can_be_read_and_sent(name: str, pointer: str) -> None:
    assert pointer_to(name) == pointer
    pointer.encode()
