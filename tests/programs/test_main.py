"""The command line: what is read from its words."""

import pytest

from notifier.__main__ import explained, main
from notifier.programs.arguments import not_text, read


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


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb"])
def test_a_producer_has_a_name_that_can_be_stored_and_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(["create-producer", name])
    assert ended.value.code == 2
    assert "the name of a producer has 1 to 200 characters" in capsys.readouterr().err


@pytest.mark.parametrize(("position", "taken"), [("-1000", -1000), ("7", 7), ("1001", None), ("99999999999", None)])
def test_a_position_is_one_that_both_databases_can_count_to(position: str, taken: int | None) -> None:
    words = ["providers", "add", "a", "smtp", f"--position={position}"]
    if taken is not None:
        assert read(words).position == taken
        return
    with pytest.raises(SystemExit):
        read(words)


@pytest.mark.parametrize(
    "words", [("reset-password", "a\udcff"), ("create-producer", "a\udcff"), ("keys", "forget", "a\udcff")]
)
def test_words_that_are_no_text_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """As bytes of another encoding come in: no database takes them."""
    assert main(words) == 2
    assert capsys.readouterr().err == "The words of a command must be UTF-8.\n"


def test_files_may_be_called_anything() -> None:
    assert not_text(read(["export", "--since", "2026-11-01", "a\udcff"])) == []
    assert not_text(read(["providers", "add", "a", "smtp", "SMTP_FROM=\udcff"])) == ["SMTP_FROM=\udcff"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, EOFError])
def test_who_ends_a_command_at_its_question_sees_no_trace(
    end: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    def asks() -> int:
        raise end

    assert explained(asks) == 130
    assert capsys.readouterr() == ("", "\n")
