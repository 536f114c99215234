"""The shapes of a claimed delivery on its way to its end: `Task`, each `Try`, `Outcome`.

`delivery.prepare` makes the tasks, `delivery.admit` and `delivery.deliver` fill them, `delivery.record` reads them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from notifier.channels.contract import Adapter
from notifier.core import lifecycle
from notifier.core.errors import DeliveryError
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.record import record
from notifier.ground.database import NamedRow
from notifier.ground.target_lists import Lists
from notifier.models import EventType
from notifier.people.person import GivenAddress

LEASE_LAPSED = (
    "lease_lapsed"  # the code of an attempt whose worker has died: nobody knows by whom it went out, if it did
)

# Characters, of what a provider says
LONGEST_CODE, LONGEST_MESSAGE_ID = 64, 255


@record
class Outcome:
    """The result of one delivery. `is_dead`: it ended without success and is a dead letter, if it is not discarded."""

    delivery_id: UUID
    status: str
    explanation: str = ""
    is_discarded: bool = False

    @property
    def is_dead(self) -> bool:
        return self.status in lifecycle.DEAD and not self.is_discarded


@dataclass(slots=True)
class Try:
    """One provider call and its result."""

    number: int
    adapter: Adapter
    started_at: datetime
    duration_ms: int = 0
    receipt: Receipt | None = None
    error: DeliveryError | None = None


class Tracks(NamedTuple):
    """What is asked of a mail."""

    opens: bool
    clicks: bool


@dataclass(slots=True)
class Task:
    """One claimed delivery with all that the send needs, and later its result. Nothing in it needs the database.

    `delivery` (after the claim), `notification` and `address` are rows with the needed columns. `adapters` are tried in
    this order. `message` is a sentence where the template could not be filled.
    """

    delivery: NamedRow
    notification: NamedRow
    type: EventType
    address: NamedRow | GivenAddress | None
    adapters: list[Adapter]
    message: Message | str
    recipient: Recipient
    was_dead: bool = False  # its address: tried once more
    tracks: Tracks | None = None  # None: nothing
    lists: Lists = ()  # of webhook targets that hold for its address
    tries: list[Try] = field(default_factory=list)
    # To the health of its providers: recording may have to be repeated, and must not count twice.
    is_reported: bool = False
    obstacle: DeliveryError | None = None  # why no provider is called
    is_reserved: bool = False  # its price, in the ledger (`ledgers.spend`)
