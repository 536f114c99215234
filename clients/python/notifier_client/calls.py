"""What several calls share: JSON in and out, the pages of a list, waiting for an end."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from notifier_client.transport import Transport, encoded

T = TypeVar("T")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class Calls:
    """A part of the API. Answers are JSON objects as they came."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        repeatable: bool = False,
    ) -> Any:
        """Any call of the API: `call("GET", "/api/v1/types")`. → its JSON; None for an answer without.

        GET, PUT, DELETE and calls with an idempotency key are tried again whatever breaks, others only if they are
        `repeatable`, or were certainly not carried out.
        """
        answer = self._transport.call(
            method,
            path,
            body=None if body is None else encoded(body),
            query=query,
            once=idempotency_key,
            repeatable=repeatable,
        )
        return answer.json() if answer.data else None

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """All entries of a list, page by page: `pages("/api/v1/schedules")`."""
        after: str | None = None
        while True:
            page = self.call("GET", path, query={**query, "after": after})
            yield from page["data"]
            after = page.get("next")
            if after is None:
                return


def new_key() -> str:
    return str(uuid.uuid4())


def segment(text: str) -> str:
    """A part of a path: ids are other people's texts."""
    return quote(str(text), safe="")


def ask_until(ask: Callable[[], T], is_done: Callable[[T], bool], timeout_s: float) -> T:
    """The first answer that is the end. Raises TimeoutError after `timeout_s`."""
    give_up_at, pause_s = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    while not is_done(answer := ask()):
        if time.monotonic() + pause_s > give_up_at:
            raise TimeoutError(f"it is not finished after {timeout_s:g} seconds")
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
    return answer
