"""What a channel is and what a provider's adapter must offer. Everything that the author of an adapter has to read.

An adapter declares itself in class attributes and does one thing: `send`. It never reads the environment or the
database, never sleeps, never retries and never logs a secret. It raises one of the DeliveryErrors of `core.errors`,
which decide how the delivery continues.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Final, Literal
from urllib.parse import SplitResult, urlsplit

from notifier.channels.receipts import Event, HookRefused, HookRequest, Kind
from notifier.channels.wire.answers import Response, explain
from notifier.channels.wire.http import Http
from notifier.channels.wire.server_url import ServerUrl
from notifier.core.errors import DeliveryError, Misconfigured
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shape_fields import ShapeField
from notifier.ground.config import Settings
from notifier.ground.target_lists import Lists

RECEIVER_MARK = "#"  # in the scope of one receiver: what follows it stands for the address
MESSAGE: Final = "message"  # what a channel is charged by that has neither segments nor calls
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AddressKind:
    """`parse` returns the normalised value or raises ValueError with a sentence for people. `mask` hides most of it.

    `url` finds the URL that is called in a value (None: this one holds none), for kinds that are called. `is_typed`: a
    person can type it; False: a device makes it up. `is_opaque`: it is called, but where it leads can only be told
    then. `services`: hosts that no list of webhook targets leaves out (`TargetList.parse`).
    """

    label: str
    example: str
    parse: Callable[[str], str]
    mask: Callable[[str], str]
    has_secret: bool = False  # each address gets a signing secret of its own
    has_platform: bool = False  # it is an app's on a phone, of a platform that may be said
    url: Callable[[str], str | None] | None = None
    is_typed: bool = True
    is_opaque: bool = False
    services: tuple[str, ...] = ()

    def lists_for(self, value: str, lists: Lists) -> Lists:
        """Those of the lists of webhook targets that hold for a value: none where it is not an address that is called
        but a name at the provider.
        """
        if not lists or self.url is None or (self.url(value) is None and not self.is_opaque):
            return ()
        return tuple(one.besides(self.services) for one in lists) if self.services else lists


@dataclass(frozen=True, slots=True)
class Card:
    """How much of a message a platform shows before it is opened, in characters. It depends on the device's fonts."""

    platform: str
    title: int
    body: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts that a message has on this channel. `longest_body` is in characters; longer text is cut with an
    ellipsis. `longest_payload`: all that is sent as JSON, in bytes; the submission's data count, and nothing is cut.

    `has_card`: shown as a card of title, text, image and action, not as running text. `is_sms`: an SMS, which takes
    half the room in GSM-7: shortening never leaves that alphabet. `fields`: what templates may give for this channel
    beside the texts that all share. `has_secondary_action`: a second action stands beside the first. `cards`: the
    platforms that show it.
    """

    has_subject: bool = False
    has_html: bool = False
    has_card: bool = False
    is_sms: bool = False
    has_secondary_action: bool = False
    longest_body: int | None = None
    longest_payload: int | None = None
    fields: tuple[ShapeField, ...] = ()
    cards: tuple[Card, ...] = ()

    def refusal(self, preview: Mapping[str, Any]) -> str | None:
        """Why no provider of the channel would take a message that looks like this (`Adapter.preview`); None where it
        would.
        """
        text, payload = preview.get("text") or "", preview.get("payload")
        if self.longest_body is not None and len(text) > self.longest_body:
            return f"the text has {len(text)} characters; providers accept at most {self.longest_body}"
        size = len(json.dumps(payload, ensure_ascii=False, default=str).encode()) if payload is not None else 0
        if self.longest_payload is not None and size > self.longest_payload:
            return f"the message has {size} bytes with its data; providers accept at most {self.longest_payload}"
        return None


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach people. `address` None: no address is needed (in-app).

    `every_address`: sent to each active address, not to the primary alone. `default_on`: on for a person who chose
    nothing. `borrows_from`: the channel whose addresses serve here too (a phone that takes SMS can be called).
    `by`: how it is called in a sentence ("by e-mail"), where that is not "by" and its label.
    `charged_by`: what a message is paid for by, where it counts towards a producer's daily spend; MESSAGE: if its
    price is known (MESSAGE_PRICES).
    `follows`: wherever a type uses that channel by itself, it goes here too, to whoever has an address here.
    """

    name: str
    label: str
    address: AddressKind | None
    shape: Shape
    by: str | None = None
    default_on: bool = True
    every_address: bool = False
    waits_when_quiet: bool = True
    borrows_from: str | None = None
    follows: str | None = None
    charged_by: Literal["segment", "call", "message"] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a provider, from which its form is generated. `example` is shown there, and used by the contract
    test.

    `verifies`: without it nobody can tell whether a receipt is the provider's, so that none is taken. `make`: makes a
    value once for an installation that is given none. `migrate` calls it and keeps the value encrypted.
    `server`: it is the URL of a server, which forms take apart into fields; secret but for host, port, user and
    encryption. `default`: where nothing else is known. `default_here`: the default that follows from the
    installation's settings.
    """

    name: str
    help: str
    is_secret: bool = False
    is_required: bool = True
    default: str | None = None
    example: str = ""
    make: Callable[[], str] | None = None
    default_here: Callable[[Settings], str] | None = None
    verifies: bool = False
    server: ServerUrl | None = None

    @property
    def must_be_given(self) -> bool:
        return self.is_required and self.default is None

    @property
    def kept_as(self) -> str:
        """The name under which the installation keeps what `make` made."""
        return self.name.lower()


class Adapter:
    """Base of every adapter. `per_second` is the provider's own pace (None: unknown). `tells`: what its receipts may
    say of a message afterwards; empty: nothing comes.

    `is_safe_to_repeat`: the receiver recognises a repeat by the delivery id, so an ambiguous send may be sent again.
    It is built with whatever settings are given and the declared defaults of the others, so that it can preview without
    any.
    """

    channel: ClassVar[Channel]
    provider: ClassVar[str]
    label: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    per_second: float | None = None  # an account may have another
    is_safe_to_repeat: ClassVar[bool] = False
    is_sandbox: ClassVar[bool] = False
    tells: ClassVar[tuple[Kind, ...]] = ()
    calls_peoples_hosts: ClassVar[bool] = (
        False  # each address names a server of its own, and one that is dead says nothing about the others
    )

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        # As it is shown, counted and paused; the registry gives others to a provider's further accounts
        self.name = self.provider
        # Where the provider calls back; None where nobody has said (a preview, `doctor`)
        self.hook_url: str | None = None
        self.options = {s.name: s.default for s in self.settings if s.default is not None} | dict(settings)
        self.http = http

    @classmethod
    def serves(cls, platform: str | None) -> bool:
        """Whether it sends to devices of this platform (`core.message.PLATFORMS`; None: nobody has said which)."""
        return True

    def send(self, message: Message, to: Recipient) -> Receipt:
        """Hands one message to the provider. Raises a DeliveryError; any other exception is a bug."""
        raise NotImplementedError

    def read_receipts(self, request: HookRequest) -> Sequence[Event]:
        """The events in a call of the provider's. Checks first that it is the provider's, by the signature over the
        bytes as they came. Words that the provider's documents do not know are left out.

        Raises HookRefused; a DeliveryError where the provider has to be asked something first, and does not answer.
        """
        raise HookRefused(f"{self.label} sends no receipts")

    def answer_challenge(self, request: HookRequest) -> str:
        """What to answer to a GET, by which some providers make sure that the URL is ours. Raises HookRefused."""
        raise HookRefused(f"{self.label} asks for no such answer")

    @property
    def tells_here(self) -> tuple[Kind, ...]:
        """What its receipts may say with the settings that it has."""
        return () if self.missing_for_receipts else self.tells

    @property
    def missing_for_receipts(self) -> list[str]:
        """The names of the settings without which its receipts cannot be verified."""
        return self.unverifiable(self.options)

    @classmethod
    def unverifiable(cls, options: Mapping[str, str]) -> list[str]:
        """The names of the settings without which no receipt can be verified, and that are not among the options."""
        return [setting.name for setting in cls.settings if setting.verifies and not options.get(setting.name)]

    @property
    def called_back_at(self) -> str | None:
        """The hook, for providers that are told it with each message. None where their calls could not be verified, or
        could not arrive, as on a developer's machine: some providers refuse such a message.
        """
        if self.hook_url is None or self.missing_for_receipts or not self.http.targets.may_be_meant(self.hook_url):
            return None
        return self.hook_url

    @classmethod
    def missing(cls, options: Mapping[str, str]) -> list[str]:
        """The names of the settings that it cannot send without and that are not among the options."""
        return [setting.name for setting in cls.settings if setting.must_be_given and not options.get(setting.name)]

    def check_complete(self) -> None:
        """Raises Misconfigured where a setting is missing that it cannot send without."""
        missing = self.missing(self.options)
        if missing:
            raise Misconfigured(f"not set: {', '.join(missing)}", code="not_configured")

    @classmethod
    def is_begun(cls, settings: Settings) -> bool:
        """Does the environment give a setting that it cannot send without? One that `migrate` made is no sign of
        anybody's wish to use it. Raises BadSettings.
        """
        return any(setting.must_be_given and settings.of_provider(setting.name) for setting in cls.settings)

    @classmethod
    def options_here(cls, settings: Settings, made: Mapping[str, str]) -> dict[str, str]:
        """Its settings in an installation: the environment's, else those that `migrate` made (by name), else the
        installation's defaults. Those without any of these are left out. Raises BadSettings.
        """
        found = {}
        for setting in cls.settings:
            value = settings.of_provider(setting.name) or made.get(setting.name)
            if value is None and setting.default_here is not None:
                value = setting.default_here(settings)
            if value is not None:
                found[setting.name] = value
        return found

    @property
    def public_key(self) -> str | None:
        """The public part of its key, with which devices subscribe (a browser's `applicationServerKey`). None: they
        need none.
        """
        return None

    def scope(self, to: Recipient) -> str:
        """The scope whose health a send to this address depends on and reports about: the provider, or one server, by
        host and port.
        """
        url = self._url(to)
        return f"{self.name}:{_host_and_port(url)}{self.tenant(url)}" if url else self.name

    def tenant(self, url: SplitResult) -> str:
        """The customer behind a host that serves many who have nothing to do with each other: `/T024BE7LD`, a team of
        Slack.

        It becomes part of the scope, which operators see: it must hold nothing secret.
        """
        return ""

    def receiver(self, to: Recipient) -> str:
        """The scope for which an answer to slow down counts: the provider, or this one address of somebody else's
        server.
        """
        return self.name if self._url(to) is None else self.address_alone(to)

    def address_alone(self, to: Recipient) -> str:
        """The scope of one address."""
        return f"{self.scope(to)}{RECEIVER_MARK}{hashlib.sha256(to.address.encode()).hexdigest()[:16]}"

    def _url(self, to: Recipient) -> SplitResult | None:
        find = self.channel.address.url if self.channel.address else None
        url = find(to.address) if self.calls_peoples_hosts and find else None
        return urlsplit(url) if url else None

    def explain(self, response: Response) -> DeliveryError | None:
        """The meaning of an HTTP response: an error, or None for success. Override it with a literal dict of the
        provider's own codes.
        """
        return explain(response)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        """The message as `send` would hand it over, for the sandbox to keep and show. Sends nothing."""
        content, shape = message.content, self.channel.shape
        return {
            "to": to.address,
            "subject": content.subject if shape.has_subject else None,
            "text": content.body,
            "html": content.html if shape.has_html else None,
            "payload": card(message) if shape.has_card else None,
            "headers": {},
        }

    def refusal(self, message: Message, to: Recipient, preview: Mapping[str, Any]) -> str | None:
        """Why the provider would not take the message; None where it would. `preview`: what `preview` made of it."""
        return self.channel.shape.refusal(preview)

    def try_out(self) -> str | None:
        """Connects to the provider and signs in, and sends nothing. → what lets us in (None: there is nothing to
        connect to). Raises a DeliveryError.

        Called by `doctor`, and by the console with an `Http` that is confined.
        """
        return None

    def close(self) -> None:
        """Gives back what it holds open. Called when its process ends."""


@lru_cache(maxsize=4096)  # asked four times a delivery
def _host_and_port(url: SplitResult) -> str:
    return f"{url.hostname}:{url.port or _PORTS.get(url.scheme, 0)}"


def card(message: Message) -> dict[str, Any]:
    """The card of a message on a phone, in a browser or in the inbox."""
    content = message.content
    return {
        "title": content.title,
        "body": content.body,
        "image": content.image,
        "action": {"label": content.action_label, "url": content.action_url} if content.action_url else None,
        "priority": message.priority,
        "collapse_key": message.collapse_key,
        "data": dict(message.data),
    }
