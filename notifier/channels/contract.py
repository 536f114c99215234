"""What a channel is and what a provider's adapter must offer. The whole of what an adapter author reads.

An adapter declares itself in class attributes and does one thing: `send`. It never reads the
environment or the database, never sleeps, never retries and never logs a secret; it raises one of
`core.errors`' DeliveryErrors, which decide what follows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from notifier.core.message import Message, Receipt, Recipient

if TYPE_CHECKING:
    from notifier.channels.http import Http


@dataclass(frozen=True, slots=True)
class AddressKind:
    """`parse` returns the normalised value or raises ValueError with a sentence for people. `mask` hides most of it."""

    label: str
    example: str
    parse: Callable[[str], str]
    mask: Callable[[str], str]
    has_secret: bool = False  # each address gets a signing secret of its own


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message may consist of here. `longest_body` is in characters; longer text is cut with an ellipsis."""

    has_subject: bool = False
    has_html: bool = False
    longest_body: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach people. `address` None: no address is needed (in-app).

    `every_address`: sent to each active address, not to the primary alone. `default_on`: on for a person who chose nothing.
    """

    name: str
    label: str
    address: AddressKind | None
    shape: Shape
    default_on: bool = True
    every_address: bool = False
    waits_when_quiet: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a provider, from which its form is generated."""

    name: str
    help: str
    is_secret: bool = False
    is_required: bool = True
    default: str | None = None


class Adapter:
    """Base of every adapter. `per_second` is the provider's own pace (None: unknown).

    `is_safe_to_repeat`: the receiver recognises a repeat by the delivery id, so an ambiguous send may be sent again.
    """

    channel: ClassVar[Channel]
    provider: ClassVar[str]
    label: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    per_second: ClassVar[float | None] = None
    is_safe_to_repeat: ClassVar[bool] = False

    def __init__(self, settings: Mapping[str, str], http: "Http") -> None:
        self.options = settings
        self.http = http

    def send(self, message: Message, to: Recipient) -> Receipt:
        """Hands one message to the provider. Raises a DeliveryError; any other exception is a bug."""
        raise NotImplementedError
