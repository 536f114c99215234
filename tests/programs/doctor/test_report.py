"""What is printed: for people a line for each finding and one for its remedy, aligned;
in colours on a terminal only.
"""

from notifier.programs.doctor.findings import fault, ok
from notifier.programs.doctor.report import lines


def test_findings_are_aligned_and_say_in_words_what_the_symbol_says() -> None:
    assert list(lines("redis", ok("it answers"))) == ["✓ ok       redis       it answers"]
    assert list(lines("public-url", fault("it is away", "Start it."))) == [
        "✗ fault    public-url  it is away",
        "                       → Start it.",
    ]


def test_only_the_mark_is_coloured() -> None:
    assert list(lines("redis", ok("it answers"), is_coloured=True)) == [
        "\033[32m✓ ok     \033[0m  redis       it answers"
    ]
