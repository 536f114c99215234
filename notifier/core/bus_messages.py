"""A message of a message bus, and the letter that says why one cannot be accepted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """`topic`, `partition` and `offset` say where it stands, in the bus's own words. `key` is made of that, and the
    same whenever the message is given again; `is_first`: it has never been given before, and the key is guessed from
    its text, so that another message may have the same. `at`: when it was written. `handle`: the source's own.
    """

    body: bytes
    topic: str
    partition: str
    offset: str
    key: str
    at: datetime | None
    traceparent: str | None = None
    is_first: bool = False
    handle: Any = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`code` as the API's problems have it; `detail` is for people."""

    message: Message
    code: str
    detail: str
