"""Asks another cell, over HTTP and signed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from flask import current_app

from notifier.core.cells import HEADER, Call, stamp
from notifier.ground.cells import Cells
from notifier.ground.clock import now

CALLS, PEOPLE = "/cells/calls", "/cells/people"
AT_ONCE = 50  # calls in a request
_CONNECT_S = 2.0
_LONGEST_ANSWER = 16 * 1024 * 1024


class Away(Exception):
    """It gave no answer, or none that makes sense; what was asked may have been carried out. The message is for whoever
    runs the cells.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API of the other cell has answered. `body` is JSON, or None."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def is_final(self) -> bool:
        """Whether another try would be answered in the same way."""
        return self.status < 500 and self.status not in (408, 409, 425, 429)


def ask(cells: Cells, region: str, calls: Sequence[Call], read_s: float) -> list[Answer]:
    """An answer each, in their order; all are carried out one after the other. Raises Away."""
    said = _post(cells, region, CALLS, {"calls": [call.pack() for call in calls]}, read_s)
    try:
        answers = [Answer(int(one["status"]), one["body"], dict(one["headers"])) for one in said["answers"]]
    except (KeyError, TypeError, ValueError):
        raise Away("it does not answer as a cell does") from None
    if len(answers) != len(calls):
        raise Away("it does not answer as a cell does")
    return answers


def who_of(cells: Cells, region: str, user_ids: Sequence[str], read_s: float) -> set[str]:
    """Those of the (stored) ids that live there. Raises Away."""
    said = _post(cells, region, PEOPLE, {"ids": list(user_ids)}, read_s)
    try:
        return {str(user_id) for user_id in said["ids"]}
    except (KeyError, TypeError):
        raise Away("it does not answer as a cell does") from None


def _post(cells: Cells, region: str, path: str, body: Any, read_s: float) -> Any:
    sent = json.dumps(body, separators=(",", ":")).encode()
    signed = stamp(sent, sender=cells.name, receiver=region, at=int(now().timestamp()), key=cells.keys[0])
    headers = {"Content-Type": "application/json", HEADER: signed}
    try:
        response = _pool().request(
            "POST",
            cells.others[region] + path,
            body=sent,
            headers=headers,
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=read_s),
        )
    except urllib3.exceptions.HTTPError as error:
        raise Away(f"no answer from {cells.others[region]} ({type(error).__name__})") from None
    if len(response.data) > _LONGEST_ANSWER:
        raise Away("its answer is too long")
    try:
        said = json.loads(response.data)
    except ValueError:
        said = None
    if response.status == 200 and isinstance(said, dict):
        return said
    detail = said.get("detail") if isinstance(said, dict) else None
    raise Away(str(detail or f"it answers with status {response.status}")[:200])


def _pool() -> urllib3.PoolManager:
    """Connections that stay open. The addresses are the operator's own, so they may be private ones."""
    pool: urllib3.PoolManager | None = current_app.extensions.get("cells_pool")
    if pool is None:
        pool = current_app.extensions["cells_pool"] = urllib3.PoolManager(maxsize=50, retries=False, block=False)
    return pool
