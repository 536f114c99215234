"""The synthetic person: how often somebody who does not exist is told something (SYNTHETIC), and whether it arrived.

`pipeline.upkeep.synthetic` submits and watches; here is what was asked for, and how a message is judged.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from notifier.core.latency import TARGETS
from notifier.core.lifecycle import OPEN, SUCCEEDED
from notifier.core.routing import PAUSED

OK, LATE, MISSING, FAILED, WAITING, OFF = "ok", "late", "missing", "failed", "waiting", "off"
STATES = (OK, LATE, MISSING, FAILED, WAITING, OFF)
BAD = frozenset({LATE, MISSING, FAILED})
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=1)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_EVERY = re.compile(r"([1-9][0-9]{0,3})([mhd])", re.ASCII)
_LEAST_PATIENCE = timedelta(minutes=1)
# Somebody has switched it off, or holds it back, on purpose
_OFF = frozenset({"channel_off", "not_in_rollout", PAUSED})


@dataclass(frozen=True, slots=True)
class Synthetic:
    """Each event type is said once in `every`. `addresses`: by channel; each account of such a channel is tried there,
    with one type after the other. Everywhere else the sandbox takes the messages.
    """

    every: timedelta
    addresses: Mapping[str, str]


def parse_synthetic(text: str) -> Synthetic:
    """`5m`, or `5m email=canary@example.com sms=+15550100`. Raises ValueError with the end of a sentence about it. The
    channels and addresses are checked by `channels.serving`.
    """
    first, *rest = text.split()
    written = _EVERY.fullmatch(first)
    every = int(written[1]) * _UNITS[written[2]] if written else timedelta()
    if not SHORTEST <= every <= LONGEST:
        raise ValueError("must begin with how often, from 1m to 1d, such as 5m")
    addresses: dict[str, str] = {}
    for part in rest:
        channel, is_given, address = part.partition("=")
        if not channel or not is_given or not address or channel in addresses:
            raise ValueError("must name each channel once after that, with an address: 5m email=canary@example.com")
        addresses[channel] = address
    return Synthetic(every, addresses)


class Delivered(Protocol):
    """The columns of a delivery that tell how it went."""

    @property
    def channel(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def code(self) -> str | None: ...
    @property
    def sent_at(self) -> datetime | None: ...
    @property
    def delivered_at(self) -> datetime | None: ...


IN_INBOX, IN_SANDBOX = "inbox", "sandbox"  # where a message goes that no account sends
_WORST_FIRST = (MISSING, FAILED, LATE, WAITING, OK, OFF)


def worst(states: Iterable[str]) -> str:
    return min(states, key=_WORST_FIRST.index)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message on one channel. `ms`: from the trigger until it was sent, or in the inbox. `why`: the
    reason or code, where it did not arrive.
    """

    channel: str
    state: str
    ms: int | None = None
    why: str | None = None

    def pack(self) -> dict[str, Any]:
        return {"channel": self.channel, "state": self.state, "ms": self.ms, "why": self.why}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Result":
        return cls(packed["channel"], packed["state"], packed["ms"], packed["why"])

    @property
    def is_open(self) -> bool:
        return self.state == WAITING or (self.state == LATE and self.ms is None)


def judge(
    delivery: Delivered, priority: str, triggered_at: datetime, now: datetime, seen_at: datetime | None = None
) -> Result:
    """`waiting` while there is time, then `late` (it may still come), at last `missing`. `seen_at`: when it was seen to
    have arrived, where that is known better than the delivery says it.
    """
    arrived_at = seen_at or delivery.sent_at or delivery.delivered_at
    if delivery.status in SUCCEEDED and arrived_at is not None:
        took = max(arrived_at - triggered_at, timedelta())
        state = OK if took <= TARGETS[priority] else LATE
        return Result(delivery.channel, state, round(took / timedelta(milliseconds=1)))
    if delivery.reason in _OFF:
        return Result(delivery.channel, OFF, why=delivery.reason)
    age = now - triggered_at
    if delivery.status in OPEN:
        state = WAITING if age <= TARGETS[priority] else LATE if age <= patience(priority) else MISSING
        return Result(delivery.channel, state, why=delivery.reason or delivery.status)
    if delivery.status == "expired":
        return Result(delivery.channel, MISSING, why=delivery.reason or delivery.status)
    return Result(delivery.channel, FAILED, why=delivery.code or delivery.reason or delivery.status)


def patience(priority: str) -> timedelta:
    """After this a message is missing, and no longer sent."""
    return max(2 * TARGETS[priority], _LEAST_PATIENCE)
