"""What a problem of the API is: its status and title, and what its page tells whoever meets it.

In the texts, `…` is code. English only, as all of the API.
"""

from dataclasses import dataclass
from typing import Any

PLACE = "/problems"  # of the pages, below PUBLIC_URL


@dataclass(frozen=True, slots=True)
class Problem:
    """`detail`: an example of what an answer says beside the title. `pointer` and `fault`: of what is wrong in it."""

    status: int
    title: str
    meaning: str
    causes: tuple[str, ...]
    remedies: tuple[str, ...]
    detail: str
    pointer: str | None = None
    fault: str = "invalid"

    def example(self, code: str, base: str = "https://notifier.example") -> dict[str, Any]:
        """The body of an answer."""
        fault = {"pointer": self.pointer, "code": self.fault, "message": self.detail}
        return {
            "type": address_of(code, base),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": "/api/v1/notifications",
            "code": code,
            "errors": [] if self.pointer is None else [fault],
            "request_id": "01a22aca4b9975e386645de32939b9de",
        }


def address_of(code: str, base: str) -> str:
    """Of the page; `base`: PUBLIC_URL."""
    return f"{base}{PLACE}/{code}"
