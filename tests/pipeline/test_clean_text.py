"""What may leave in a message. Most of it is tested by what `render` makes (test_render.py)."""

import time

import pytest

from notifier.pipeline.clean_text import many_lines


@pytest.mark.parametrize(
    ("text", "clean"),
    [("a \t\nb  ", "a\nb"), ("a  b", "a  b"), ("  a\n \n\t\n b ", "a\n\n b"), ("a" + " " * 100_000 + "b", "a" + " " * 100_000 + "b")],
    ids=["at line ends", "within a line", "empty lines", "a very long run"],
)
def test_spaces_before_a_line_end_go_in_time_with_the_length_of_the_text(text: str, clean: str) -> None:
    begun = time.process_time()

    assert many_lines(text) == clean
    assert time.process_time() - begun < 5
