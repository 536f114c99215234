"""What `up` prints for the person who has started it, on stdout and beside the logs."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urljoin

from notifier.ground.config import Settings


class Progress:
    """Says that a wait goes on, so that nobody takes silence for a standstill: after 5 s, and then twice as late each
    time, so that a long wait does not fill the screen.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._next_s = 5.0

    def tell(self, name: str) -> None:
        waited_s = time.monotonic() - self._begun
        if waited_s >= self._next_s:
            say(f"waiting for {name} ({waited_s:.0f} s) …")
            self._next_s *= 2


def sign_in(first: Mapping[str, str | None]) -> list[str]:
    """What the first start has made, a line each; nothing later, when it is known to nobody but its owner."""
    made = {
        "Sign in as": first["admin_password"] and first["admin_email"],
        "Password": first["admin_password"],
        "API key": first["producer_key"],
    }
    return [f"  {name:<12} {value}" for name, value in made.items() if value]


def welcome(settings: Settings, first: Mapping[str, str | None]) -> str:
    """The last that a start prints: what is needed now stands together, below all that was said before."""
    key = first["producer_key"] or ("$NOTIFIER_PRODUCER_KEY" if settings.notifier_producer_key else "YOUR_API_KEY")
    python = ".venv/bin/python" if Path(sys.prefix).name == ".venv" else "python"
    made = sign_in(first)
    lines = [
        "",
        f"  Notifier is ready: {settings.public_url}",
        "",
        *made,
        f"  {'Shown this once. New ones' if made else 'New ones'}: {python} -m notifier reset-password EMAIL, or "
        "create-producer NAME",
        "",
        "  To see a notification arrive, sign in and paste this. The link that it prints leads to the whole story:",
        f"  curl {urljoin(settings.local_url, '/api/v1/notifications')} -w '\\n%header{{link}}\\n' \\",
        f'    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\',
        """    -d '{"type": "order_shipped", "recipients": ["admin"], "data": {"order_id": "A'$(date +%s)'"}}'""",
        "",
        "  Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def say(text: str) -> None:
    tell(f"notifier  {text}")


def tell(text: str) -> None:
    """Prints for the process that started us, which may have gone or closed the pipe: we continue."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
