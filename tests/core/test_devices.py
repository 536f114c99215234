"""Browsers by the names that people know them by."""

import pytest

from notifier.core.devices import name_of

MOZILLA = "Mozilla/5.0"
BROWSERS = {
    f"{MOZILLA} (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox · Windows",
    f"{MOZILLA} (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36": (
        "Chrome · Linux"
    ),
    f"{MOZILLA} (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0": "Edge · Windows",
    f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18 Safari/605.1": "Safari · macOS",
    f"{MOZILLA} (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 CriOS/142 Safari/604.1": "Chrome · iPhone",
    f"{MOZILLA} (Linux; Android 15; SM-S901B) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36": "Chrome · Android",
    "curl/8.5.0": None,
    "": None,
}


@pytest.mark.parametrize("user_agent", BROWSERS)
def test_a_browser_is_named_as_people_know_it(user_agent: str) -> None:
    assert name_of(user_agent) == BROWSERS[user_agent]
