"""What a start prints: short, and with all that is needed at its end."""

import pytest

from notifier.ground.config import Settings
from notifier.programs import telling

FIRST = {"admin_email": "admin@localhost.test", "admin_password": "sesame", "producer_key": "ntf_live_x"}
LATER = dict.fromkeys(FIRST)


@pytest.mark.parametrize(("first", "said"), [(FIRST, True), (LATER, False), ({**FIRST, "admin_password": None}, False)])
def test_a_sign_in_is_told_by_the_start_that_made_it(
    settings: Settings, first: dict[str, str | None], said: bool
) -> None:
    text = telling.welcome(settings, first)
    assert ("admin@localhost.test" in text) is said
    assert f"Bearer {first['producer_key'] or ''}" in text
    assert ("reset-password EMAIL" in text, "create-producer NAME" in text) == (True, True)


def test_a_first_start_says_all_in_25_lines(settings: Settings) -> None:
    """Four of make's; the state, Redis, the database, what was made, worker, scheduler, web; and the end."""
    assert 4 + 7 + len(telling.welcome(settings, FIRST).splitlines()) <= 25


def test_progress_is_told_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    moment = iter([0.0, 1.0, 5.0, 6.0, 9.9, 11.0, 21.0])
    monkeypatch.setattr("notifier.programs.telling.time.monotonic", lambda: next(moment))
    progress = telling.Progress()
    for _ in range(6):
        progress.tell("web")
    assert capsys.readouterr().out.splitlines() == [
        f"notifier  waiting for web ({seconds} s) …" for seconds in (5, 11, 21)
    ]
