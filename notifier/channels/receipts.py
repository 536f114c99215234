"""What providers tell afterwards: their calls to `/hooks/{account}`, and the events that an adapter reads from them.

Imported by `contract`, so that an adapter's author finds it there. The door is `api.hooks`;
`pipeline.delivery.receipts` applies the events.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

Kind = Literal[
    "sent",  # the provider's own acceptance, told once more
    "delivered",
    "opened",
    "clicked",
    "bounced",  # for good: nothing will ever reach this address
    "failed",  # this message; the address may be fine
    "complained",  # they called it spam
    "unsubscribed",  # they asked the provider for no more of the kind
    "stopped",  # they want nothing more on this channel ("STOP" to a sender of SMS)
    "started",  # they take that back
]
KINDS: tuple[Kind, ...] = (
    "sent",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "failed",
    "complained",
    "unsubscribed",
    "stopped",
    "started",
)

# How old a signature with a time in it may be. A call that is older was recorded, and is played again.
LONGEST_AGE = timedelta(minutes=5)
MOST_FIELDS = 200  # of a form


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that became of a message, in our words.

    `id` is unique within the account, so that a repeat changes nothing: the provider's own, or one made of what
    distinguishes it. `delivery_id` ("dlv_…") is what was sent along, where the provider says it back;
    `provider_message_id` what it called the message. `address`: whom it is about, as the provider writes it; needed for
    `stopped` and `started`, which are about no message. `code`: the provider's word for why. `by`: who opened or
    clicked; a mail scanner is a machine.
    """

    id: str
    kind: Kind
    at: datetime
    provider_message_id: str | None = None
    delivery_id: str | None = None
    address: str | None = None
    code: str = ""
    by: Literal["person", "machine", "unknown"] = "unknown"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HookRequest:
    """A provider's call, as it came. `url` is the one that the provider was given (made of PUBLIC_URL), with the query
    as it came: some signatures cover it. `headers` are looked up in lower case. `at`: when it came.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The fields of a form, in their order, repeated ones too. Raises Unreadable."""
        try:
            return parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            raise Unreadable("the body is not a form") from None

    @cached_property
    def form(self) -> dict[str, str]:
        """The same by name; of repeated ones the last. Raises Unreadable."""
        return dict(self.fields)

    def json(self) -> Any:
        """Raises Unreadable."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise Unreadable("the body is not JSON") from None

    def check_age(self, signed_at: str) -> None:
        """For schemes whose signature covers the time, in Unix seconds. Raises HookRefused."""
        if abs(self.at - moment(signed_at, datetime.min.replace(tzinfo=UTC))) > LONGEST_AGE:
            raise HookRefused("it was signed too long ago, or the clocks differ")


class HookRefused(Exception):
    """A call that is not the provider's, or cannot be shown to be. Its sentence is for operators, and holds no secret.
    Answered with 401.
    """


class Unreadable(HookRefused):
    """The signature is right (or is yet to be looked at), and the body is not what the provider's documents say.
    Answered with 400.
    """


class Misdirected(HookRefused):
    """The provider's own, and not for this account, or of a kind that this URL is not for: a hook that was set up at
    the wrong place. Answered with 204, since a repeat would not help; operators are told.
    """


def moment(value: object, otherwise: datetime) -> datetime:
    """When something happened: Unix seconds, or text after ISO 8601, UTC unless it names a zone. Else `otherwise`."""
    try:
        return datetime.fromtimestamp(float(str(value)), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        at = datetime.fromisoformat(str(value))
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return otherwise


def text(value: object) -> str | None:
    """A field that should be text; None where it is not."""
    return value if isinstance(value, str) else None


def mapping(value: object) -> Mapping[str, Any]:
    """A field that should be an object; an empty one where it is not."""
    return value if isinstance(value, dict) else {}


def listing(value: object, instead: Sequence[Any] = ()) -> Sequence[Any]:
    """A field that should be an array; `instead` where it is not."""
    return value if isinstance(value, list) else instead
