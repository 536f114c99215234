"""What a sink is: it takes a batch of events and says whether it has them. And how a batch is handed over to one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from notifier.queries import shown_events

MOST_REFUSED = 20  # in a row: then the fault is not theirs


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it is sent: one line of NDJSON. Lines of one key are taken in their order. `traceparent`: of its
    submission, where that is followed.
    """

    position: int
    cursor: str
    key: str | None
    text: bytes
    traceparent: str | None = None


class Refused(Exception):
    """The receiver has understood these events, and will never take them as they are. `code` says why, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Away(Exception):
    """Nobody has taken the events, or nobody knows: they are to be sent again. `retry_after`: the seconds that the
    receiver named, if it did.
    """

    def __init__(self, code: str, retry_after: float = 0.0) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after


class Collector(Protocol):
    def take(self, lines: Sequence[Line]) -> None:
        """Returns when the receiver has confirmed all of them. Raises Refused, or Away."""

    def close(self) -> None: ...


def lines_of(rows: "Sequence[sa.Row[Any]]") -> list[Line]:
    """As they are sent. The key is the notification, or the person, so that the events of a delivery stay in order."""
    shown = zip(rows, shown_events.shown(rows), strict=True)
    traces = shown_events.traceparents(rows)
    return [
        Line(
            row.id,
            event["cursor"],
            event["data"]["notification"] or event["data"]["user"],
            shown_events.line(event).encode(),
            traces.get(row.submission_id),
        )
        for row, event in shown
    ]


Confirmed = Callable[[int, Sequence[str]], None]


def hand_over(lines: Sequence[Line], take: Callable[[Sequence[Line]], None], confirmed: Confirmed) -> None:
    """Hands the events over in their order; `take` as in `Collector`. `confirmed(position, refused)`: all up to there
    are with the receiver, but for those that it refuses for good (their cursors).

    A batch that is refused is halved until the event at fault is alone. It is passed over as soon as the receiver takes
    one behind it: before that, nobody knows whether the event is at fault or the receiver refuses everything, being set
    up wrongly. Raises Refused while that is not known, and Away.
    """
    at, size, doubtful = 0, len(lines), list[Line]()
    while at < len(lines):
        batch = lines[at : at + size]
        try:
            take(batch)
        except Refused:
            if len(batch) > 1:
                size = len(batch) // 2
                continue
            doubtful += batch
            if len(doubtful) == MOST_REFUSED or at + 1 == len(lines):
                raise
            at, size = at + 1, 1
            continue
        confirmed(batch[-1].position, [line.cursor for line in doubtful])
        at, size, doubtful = at + len(batch), size * 2, []
