"""Producers that never let go: each request is repeated with its Idempotency-Key until it is answered 202."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import urllib3

from tests.running import KEY


class Load:
    """Submits for as long as `is_wanted` says so, from a few threads. `accepted` are the ids of the deliveries that a
    202 promised.
    """

    def __init__(
        self,
        url: str,
        users: Sequence[str],
        *,
        is_wanted: Callable[["Load"], bool],
        recipients: int = 20,
        threads: int = 3,
        authority: str | None = None,
        channel: str = "webhook",
    ) -> None:
        self.url, self.users, self.recipients = url, users, recipients
        self.authority = authority  # a file: whose certificates are trusted
        self.channel = channel
        self.answered = 0  # requests, with a 202
        self.accepted: list[str] = []
        self.replayed = 0
        self.not_accepted: Counter[str] = Counter()  # status, or the kind of failure → how often it was answered
        self._is_wanted = is_wanted
        self._turns = itertools.count()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name=f"producer-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more requests; those that have begun are repeated until they are accepted."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), f"a request was never accepted: {self.not_accepted}"

    def _run(self) -> None:
        http = urllib3.PoolManager(retries=False, timeout=10, ca_certs=self.authority)
        while not self._stopped.is_set():
            if self._is_wanted(self):
                self._submit(http)
            else:
                time.sleep(0.02)

    def _submit(self, http: urllib3.PoolManager) -> None:
        turn = next(self._turns)
        recipients = [self.users[(turn * self.recipients + n) % len(self.users)] for n in range(self.recipients)]
        # A new order each time, in each trial: what was said to somebody within the hour is left out.
        data = {"order_id": uuid4().hex}
        body = json.dumps({"type": "order_shipped", "recipients": recipients, "channels": [self.channel], "data": data})
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        while not self._is_accepted(http, body, headers):
            time.sleep(0.1)

    def _is_accepted(self, http: urllib3.PoolManager, body: str, headers: dict[str, str]) -> bool:
        try:
            answer = http.request("POST", f"{self.url}/api/v1/notifications", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            with self._lock:
                self.not_accepted[type(error).__name__] += 1
            return False
        with self._lock:
            if answer.status != 202:
                self.not_accepted[str(answer.status)] += 1
                return False
            self.replayed += answer.headers.get("Idempotency-Replayed") == "true"
            self.answered += 1
            self.accepted += _delivery_ids(answer.json())
        return True


def _delivery_ids(answer: dict[str, Any]) -> list[str]:
    return [delivery["id"] for notification in answer["notifications"] for delivery in notification["deliveries"]]
