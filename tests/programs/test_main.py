"""The command line: what is read from its words."""

import pytest

from notifier.__main__ import explained
from notifier.programs.arguments import read


@pytest.mark.parametrize(
    "words",
    [
        ("spare", "smtp", "SMTP_URL=smtp://127.0.0.1:2525", "--position", "1"),
        ("spare", "smtp", "--position", "1", "SMTP_URL=smtp://127.0.0.1:2525"),
        ("--position", "1", "spare", "smtp", "SMTP_URL=smtp://127.0.0.1:2525"),
        ("spare", "--position", "1", "smtp", "SMTP_URL=smtp://127.0.0.1:2525"),
        ("spare", "smtp", "SMTP_FROM=a@x.test", "--position=1", "SMTP_URL=smtp://127.0.0.1:2525", "--weight", "2"),
    ],
)
def test_the_words_of_a_provider_stand_in_any_order(words: tuple[str, ...]) -> None:
    options = read(["providers", "add", *words])
    assert (options.name, options.adapter, options.position) == ("spare", "smtp", 1)
    assert "SMTP_URL=smtp://127.0.0.1:2525" in options.options


@pytest.mark.parametrize(
    "words",
    [
        ("providers", "add", "spare", "smtp", "--wieght", "2"),
        ("flags", "list", "x"),
        ("up", "x"),
        ("providers", "remove", "a", "b"),
    ],
)
def test_words_that_are_none_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(words)
    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("end", [KeyboardInterrupt, EOFError])
def test_who_ends_a_command_at_its_question_sees_no_trace(
    end: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def asks() -> int:
        raise end

    assert explained(asks) == 130
    assert capsys.readouterr() == ("", "\n")
