"""Numbers in words."""

import pytest

from notifier.web.number_words import in_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (1_001, "one thousand and one"),
        (12_345, "twelve thousand three hundred and forty-five"),
        (300_070, "three hundred thousand and seventy"),
        (1_000_000, "one million"),
        (2_100_000_019, "two billion one hundred million and nineteen"),
    ],
)
def test_a_number_is_said_as_people_say_it(number: int, words: str) -> None:
    assert in_words(number) == words
