"""What browser is it, in a few words that are the same in every language: `Firefox · Windows`."""

# The first that is found names it: Chrome's name stands in Edge's line too, and Safari's in Chrome's.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "CriOS": "Chrome",
    "Chrome": "Chrome",
    "Safari": "Safari",
}
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "CrOS": "ChromeOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def name_of(user_agent: str) -> str | None:
    """None for a browser that says neither what it is nor where it runs."""
    found = [
        next((name for mark, name in names.items() if mark in user_agent), None) for names in (_BROWSERS, _SYSTEMS)
    ]
    return " · ".join(filter(None, found)) or None
