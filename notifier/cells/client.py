"""Asks another cell, over HTTP and signed."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from flask import current_app

from notifier.cells.neighbours import LeftAlone
from notifier.core.cells import HEADER, Call, is_sealed, stamp
from notifier.core.people import storable
from notifier.ground.cells import Cells
from notifier.ground.clock import now

CALLS, PEOPLE = "/cells/calls", "/cells/people"
AT_ONCE = 50  # calls in a request
# Calls of a process that wait for one other cell. Where each of two cells were full of calls that wait for the other,
# neither could answer.
MOST_WAITING = 50
_CONNECT_S = 2.0
_LONGEST_ANSWER = 16 * 1024 * 1024
_PIECE = 64 * 1024
_PEOPLE_AT_ONCE = 1_000
_IN_PROGRESS = "idempotency_in_progress"


class Away(Exception):
    """It gave no answer, or none that makes sense; what was asked may have been carried out. The message is for whoever
    runs the cells.
    """


class TooLong(Away):
    """It has answered, with more than can be passed on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API of the other cell has answered. `body` is JSON, or None."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def is_final(self) -> bool:
        """Whether another try would be answered in the same way. So is what is in conflict with the state of a thing:
        behind a call that waited for that to change, all others would wait as well.
        """
        if self.status == 409:
            return not isinstance(self.body, dict) or self.body.get("code") != _IN_PROGRESS
        return self.status < 500 and self.status not in (408, 425, 429)


def ask(cells: Cells, region: str, calls: Sequence[Call], read_s: float, *, is_brief: bool = False) -> list[Answer]:
    """An answer each, in their order; all are carried out one after the other. `is_brief`: bodies of errors alone, as
    those of fifty submissions for a thousand people each are too long. Raises Away and LeftAlone.
    """
    said = _post(cells, region, CALLS, {"calls": [call.pack() for call in calls], "is_brief": is_brief}, read_s)
    try:
        answers = [Answer(int(one["status"]), one["body"], dict(one["headers"])) for one in said["answers"]]
    except (KeyError, TypeError, ValueError):
        raise Away("it does not answer as a cell does") from None
    if len(answers) != len(calls):
        raise Away("it does not answer as a cell does")
    return answers


def who_of(cells: Cells, region: str, user_ids: Sequence[str], read_s: float) -> set[str]:
    """Those of the (stored) ids that live there. Raises Away and LeftAlone."""
    found: set[str] = set()
    for start in range(0, max(len(user_ids), 1), _PEOPLE_AT_ONCE):  # nobody at all is asked for, too: see doctor
        some = list(user_ids[start : start + _PEOPLE_AT_ONCE])
        said = _post(cells, region, PEOPLE, {"ids": some}, read_s)
        try:
            found |= {str(user_id) for user_id in said["ids"]}
        except (KeyError, TypeError):
            raise Away("it does not answer as a cell does") from None
    return found


def claim(cells: Cells, region: str, wanted: Mapping[str, str], read_s: float) -> dict[str, str]:
    """As `claims.keep` there. A cell of an earlier release keeps none. Raises Away and LeftAlone."""
    taken: dict[str, str] = {}
    ids = list(wanted)
    for start in range(0, len(ids), _PEOPLE_AT_ONCE):
        some = {user_id: wanted[user_id] for user_id in ids[start : start + _PEOPLE_AT_ONCE]}
        said = _post(cells, region, PEOPLE, {"ids": [], "claims": some}, read_s)
        try:
            taken |= {str(user_id): str(there) for user_id, there in said.get("claimed", {}).items()}
        except AttributeError:
            raise Away("it does not answer as a cell does") from None
    return taken


def _post(cells: Cells, region: str, path: str, body: Any, read_s: float) -> Any:
    sent = json.dumps(body, separators=(",", ":")).encode()
    signed = stamp(sent, sender=cells.name, receiver=region, at=int(now().timestamp()), key=cells.keys[0])
    headers = {"Content-Type": "application/json", HEADER: signed}
    with _place_for(region):
        try:
            response = _pool().request(
                "POST",
                cells.others[region] + path,
                body=sent,
                headers=headers,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=read_s),
                preload_content=False,
            )
            heard = _read(response, time.monotonic() + read_s)
        except urllib3.exceptions.HTTPError as error:
            raise Away(f"no answer from {cells.others[region]} ({type(error).__name__})") from None
    try:
        said = json.loads(heard)
    except (ValueError, RecursionError):  # whoever that is
        said = None
    if response.status == 200 and isinstance(said, dict):
        if not is_sealed(response.headers.get(HEADER), heard, asked=signed, keys=cells.keys):
            raise Away("its answer is not signed as a cell signs: check the address in REGIONS, and REGION_KEY")
        return said
    detail = said.get("detail") if isinstance(said, dict) else None
    raise Away(storable(str(detail or ""), 200) or f"it answers with status {response.status}")


def _read(response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """`until`: of the steady clock. The timeout of a connection begins anew with every byte."""
    heard = bytearray()
    while piece := response.read1(_PIECE):
        heard += piece
        if len(heard) > _LONGEST_ANSWER or time.monotonic() > until:
            response.close()
            raise (
                TooLong("its answer is too long") if len(heard) > _LONGEST_ANSWER else Away("its answer takes too long")
            )
    response.release_conn()
    return bytes(heard)


@contextlib.contextmanager
def _place_for(region: str) -> Iterator[None]:
    """Raises LeftAlone if too many wait already."""
    places: dict[str, threading.Semaphore] = current_app.extensions.setdefault("cells_places", {})
    place = places.setdefault(region, threading.Semaphore(MOST_WAITING))
    if not place.acquire(blocking=False):
        raise LeftAlone(f"too many calls wait for the cell {region}")
    try:
        yield
    finally:
        place.release()


def _pool() -> urllib3.PoolManager:
    """Connections that stay open. The addresses are the operator's own, so they may be private ones."""
    pool: urllib3.PoolManager | None = current_app.extensions.get("cells_pool")
    if pool is None:
        pool = current_app.extensions["cells_pool"] = urllib3.PoolManager(
            maxsize=MOST_WAITING, retries=False, block=False
        )
    return pool
