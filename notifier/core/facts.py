"""What planning must know of a type, a channel, an address and a person, as plain values.

`planning.orders` and `planning.decide` build them; `core.plan` reads nothing else.
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from notifier.core.limits import Limit
from notifier.core.preferences import Preferences
from notifier.core.record import record
from notifier.core.routing import (
    NO_SCORES,
    Scores,
)

ESCALATE_AFTER = timedelta(minutes=15)


EVERYTHING = "*"  # the scope of a suppression that holds for all that is sent
UNSUBSCRIBED = "unsubscribed"  # the reason of a suppression that only the person may take back
_OF_CHANNEL = "channel:"


def of_channel(channel: str) -> str:
    """The scope of a suppression that concerns one channel alone: somebody who has said STOP to SMS may be called."""
    return f"{_OF_CHANNEL}{channel}"


def channel_of(scope: str) -> str | None:
    """The channel that a suppression concerns alone; None: it holds for all, or for a category."""
    return scope.removeprefix(_OF_CHANNEL) if scope.startswith(_OF_CHANNEL) else None


@record
class TypeFacts:
    key: str
    category: str
    priority: str
    channels: tuple[str, ...]
    mandatory: bool = False
    is_internal: bool = False
    is_alert: bool = False  # to those who run this installation

    @property
    def is_limited(self) -> bool:
        """May caps and digests hold it back? Never what is mandatory, transactional, an alert, or said by the product
        itself.
        """
        return not (self.mandatory or self.is_internal or self.is_alert or self.category == "transactional")


@record
class ChannelFacts:
    """`every_address`: sent to each active address, not to the primary one alone.

    `needs_address` and `waits_when_quiet` are False for in-app, which the person looks at when they like.
    """

    name: str
    default_on: bool = True
    every_address: bool = False
    needs_address: bool = True
    waits_when_quiet: bool = True
    is_on: bool = True
    percentage: int = 100  # of the users it is on for
    unserved: frozenset[str | None] = frozenset()  # platforms of devices that none of its providers sends to
    follows: str | None = None  # goes along with that channel, to people with an address here


@record
class AddressFacts:
    """An address as the planner sees it: never the address itself, only its masked form.

    `suppressed_for` holds the categories it is suppressed for, and the channels (`of_channel`); `*` stands for all.
    `is_confirmed`: by its owner, and not only given by a producer. `digest` is the keyed one; `id` is None for an
    address that came with the notification and is nobody's otherwise. `is_due_again`: it has been dead for a day, so
    what is mandatory may try it once more. `platform`: of a phone, where it is known.
    """

    id: Any
    channel: str
    masked: str
    is_primary: bool = False
    is_verified: bool = True
    disabled_reason: str | None = None
    suppressed_for: frozenset[str] = frozenset()
    is_confirmed: bool = False
    digest: bytes = b""
    is_due_again: bool = False
    platform: str | None = None


@record
class Facts:
    """All that is known about one notification before it is decided. `requested` overrides the type's channels.

    `is_perishable`: the producer has set the expiry: then it also expires while it is held. `only_address`: the id of
    the one address it goes to, confirmed or not (an address's own code). `flooded`: channels and addresses (their keyed
    digests) that have had enough of this for now, of any person. `duplicate_of` and `superseded_by` are the shown ids
    of other notifications. `over_cap`: the channels for which a cap of the person is used up, with that cap. `scores`
    is the data for routing `best`, `seed` its chance.
    """

    type: TypeFacts
    priority: str
    zone: ZoneInfo
    preferences: Preferences
    addresses: tuple[AddressFacts, ...]
    channels: Mapping[str, ChannelFacts]
    requested: tuple[str, ...] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    is_perishable: bool = False
    routing: str = "all"
    is_flooded: bool = False
    flooded: frozenset[tuple[str, bytes]] = frozenset()
    only_address: Any = None
    user_id: str = ""
    duplicate_of: str | None = None
    superseded_by: str | None = None
    over_cap: Mapping[str, Limit] = field(default_factory=dict)
    escalate_after: timedelta = ESCALATE_AFTER
    scores: Scores = NO_SCORES
    seed: int = 0

    @property
    def is_limited(self) -> bool:
        """May caps and digests hold it back? Never what is urgent, or of a type that they do not concern."""
        return self.priority != "urgent" and self.type.is_limited
