"""A running installation, of anybody's, as its API shows it: a URL and a key."""

import json
from dataclasses import dataclass
from typing import Any

import urllib3

_PATIENCE = urllib3.Timeout(connect=10, read=120)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any


class Target:
    """`url`: where it is, without the API's path. Threads may share one. Raises urllib3's errors if nobody answers."""

    def __init__(self, url: str, key: str, *, connections: int = 4) -> None:
        self.url = url.rstrip("/")
        self._http = urllib3.PoolManager(
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            timeout=_PATIENCE,
            retries=False,
            maxsize=connections,
        )

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        answer = self._http.request(method, f"{self.url}{path}", body=None if body is None else json.dumps(body))
        try:
            return Answer(answer.status, json.loads(answer.data or b"null"))
        except ValueError:  # a proxy's page, or metrics
            return Answer(answer.status, answer.data.decode(errors="replace"))
