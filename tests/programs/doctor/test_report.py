"""What is printed: for people a line for each finding and one for its remedy, aligned;
in colours on a terminal only.
"""

from notifier.programs.doctor.findings import fault, ok
from notifier.programs.doctor.report import lines


def test_findings_are_aligned_and_say_in_words_what_the_symbol_says() -> None:
    (answers,) = lines("redis", ok("it answers"))
    away, remedy = lines("public-url", fault("it is away", "Start it."))

    assert answers.split() == ["✓", "ok", "redis", "it", "answers"]
    assert away.split() == ["✗", "fault", "public-url", "it", "is", "away"]
    assert remedy.split() == ["→", "Start", "it."]
    assert answers.index("redis") == away.index("public-url")
    assert answers.index("it answers") == away.index("it is away") == remedy.index("→")


def test_only_the_mark_is_coloured() -> None:
    (line,) = lines("redis", ok("it answers"), is_coloured=True)
    (plain,) = lines("redis", ok("it answers"))

    assert line.startswith("\033[32m✓ ok     \033[0m  redis")
    assert line.replace("\033[32m", "").replace("\033[0m", "") == plain
