"""Cells: installations side by side, each with the people of its own region; what they ask of one another, and how
that is signed.

A call carries what a producer asked a cell for, to the cell where the person lives, and is carried out there as if it
had come from the producer itself. It is signed with a key that all cells have.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
HEADER = "Notifier-Cell"
CONSOLE = "Console"  # the name of whoever has done something there
MOST_APART_S = 300  # of the clocks of two cells
# Of calls with a producer's key, and of what only cells may do in its name
_PATHS = ("/api/v1/", "/notify", "/notifications/", "/user/preferences/", "/cells/uploads", "/cells/brands")
_STAMP = re.compile(
    r"from=([a-z0-9-]+), to=([a-z0-9-]+), at=([0-9]{1,12}), body=([0-9a-f]{64}), signature=([0-9a-f]{64})\Z"
)


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """The producer who asked, and what its key allowed: the other cell has the same rules, and need not have the key.
    `name` is how the cells know a producer from another.
    """

    name: str
    scopes: tuple[str, ...]
    types: tuple[str, ...] | None
    is_test: bool
    label: str


@dataclass(frozen=True, slots=True)
class Call:
    """`id`: 32 hexadecimal digits, the same whenever it is said again. `path` may have a query; `body` is JSON, or
    None. `idempotency_key`: of the producer, or of the cell.
    """

    id: str
    method: str
    path: str
    body: Any
    behalf: OnBehalf
    idempotency_key: str | None = None
    request_id: str | None = None
    traceparent: str | None = None

    def pack(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Call":
        """From what `pack` of this release or a later one has made. Raises ValueError for what is no call."""
        try:
            of_producer = dict(packed["behalf"])
            behalf = OnBehalf(
                str(of_producer["name"]),
                tuple(of_producer["scopes"]),
                None if of_producer["types"] is None else tuple(of_producer["types"]),
                bool(of_producer["is_test"]),
                str(of_producer["label"]),
            )
            names = ("idempotency_key", "request_id", "traceparent")
            call_id, method, path = (str(packed[name]) for name in ("id", "method", "path"))
            call = cls(call_id, method, path, packed["body"], behalf, **{name: packed.get(name) for name in names})
        except (KeyError, TypeError, ValueError):
            raise ValueError("this is no call of a cell") from None
        if not re.fullmatch(r"[0-9a-f]{32}", call.id) or not call.path.startswith(_PATHS):
            raise ValueError("this is no call of a cell")
        return call


class NotSigned(Exception):
    """Nobody who has the key of the cells says so here and now. The message is for whoever runs them."""


def stamp(body: bytes, *, sender: str, receiver: str, at: int, key: str) -> str:
    """The header that goes with a body. `at`: seconds since 1970."""
    digest = digest_of(body)
    signature = _signature(digest, sender, receiver, at, key)
    return f"from={sender}, to={receiver}, at={at}, body={digest}, signature={signature}"


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def verify(header: str, *, receiver: str, known: Iterable[str], at: float, keys: Sequence[str]) -> tuple[str, str]:
    """→ (the cell that signed, the digest of the body that goes with it): a stranger's body need not be read. `known`:
    all cells but this one. Raises NotSigned.
    """
    matched = _STAMP.match(header)
    if matched is None:
        raise NotSigned(f"the header {HEADER} is missing, or is none")
    sender, to, said_at, digest, signature = matched[1], matched[2], int(matched[3]), matched[4], matched[5]
    if not any(hmac.compare_digest(signature, _signature(digest, sender, to, said_at, key)) for key in keys):
        raise NotSigned("the signature is not right: all cells need the same REGION_KEY")
    if sender == receiver:
        raise NotSigned(f"two cells are called {receiver}: give each a REGION of its own")
    if to != receiver:
        raise NotSigned(f"this is cell {receiver}, and the call is for {to}: check the addresses in REGIONS")
    if sender not in known:
        raise NotSigned(f"cell {sender} is not among the REGIONS of {receiver}")
    if abs(at - said_at) > MOST_APART_S:
        apart = round(abs(at - said_at))
        raise NotSigned(f"the clocks of {sender} and {receiver} are {apart} s apart: let both be set by NTP")
    return sender, digest


def seal(body: bytes, *, asked: str, key: str) -> str:
    """The header that goes with an answer. `asked`: the header of the call: no answer fits another one."""
    return hmac.new(key.encode(), f"answer\n{asked}\n{digest_of(body)}".encode(), hashlib.sha256).hexdigest()


def is_sealed(said: str | None, body: bytes, *, asked: str, keys: Sequence[str]) -> bool:
    """Whether a cell that has one of the keys has given this answer to this call."""
    given = (said or "").encode()
    return any(hmac.compare_digest(given, seal(body, asked=asked, key=key).encode()) for key in keys)


def _signature(digest: str, sender: str, receiver: str, at: int, key: str) -> str:
    said = f"{sender}\n{receiver}\n{at}\n{digest}"
    return hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()


def derived_key(key: str) -> str:
    """The idempotency key of what is passed on: at the other cell, the producer may have used its own for something
    else.
    """
    return f"cell:{hashlib.sha256(key.encode()).hexdigest()}"


def keeper_of_claims(user_id: str, cells: Iterable[str]) -> str:
    """The cell that says which one may create somebody: the same whoever asks, as long as all know the same cells."""
    return max(cells, key=lambda cell: hashlib.sha256(f"{cell}\n{user_id}".encode()).digest())


def id_of(recipient: Any) -> Any:
    """A recipient is an id or an object with one."""
    return recipient.get("id") if isinstance(recipient, Mapping) else recipient


def shared_out(body: Mapping[str, Any], homes: Mapping[str, str]) -> dict[str | None, dict[str, Any]]:
    """A submission as it came → for each region the same with those of its people; None: this cell's own, whatever is
    wrong with them. `homes`: of those who live elsewhere.
    """
    recipients = body.get("recipients")
    if not isinstance(recipients, list) or not recipients:
        return {None: dict(body)}
    parts: dict[str | None, list[Any]] = {}
    for recipient in recipients:
        named = id_of(recipient)
        parts.setdefault(homes.get(str(named)) if named is not None else None, []).append(recipient)
    return {region: {**body, "recipients": people} for region, people in parts.items()}
