"""A submission as producers send it, and the rules that hold for it whatever its recipients prefer."""

from collections.abc import Mapping
from dataclasses import field, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from notifier.core.errors import Fault
from notifier.core.record import record
from notifier.core.routing import ESCALATE
from notifier.core.worlds import shown_id

PRIORITIES = ("urgent", "high", "medium", "low")  # most pressing first
CEILINGS = {"marketing": "medium", "social": "high"}
MAX_AHEAD = timedelta(days=366)
DEFAULT_EXPIRES_IN_S = 86_400
RESERVED_NAME = "notification"  # in `data`
OWN_TYPES = frozenset(
    {"delivery_failure", "limit_reached", "monitoring_alert", "subscription_disabled", "synthetic_alarm"}
)  # raised by the product alone, though people choose about them


@record
class InlineRecipient:
    """A recipient of a submission. `changes` holds the profile fields that were given, to be stored."""

    id: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@record
class Submission:
    """One accepted-to-be request. `send_at` is aware UTC; `expires_in` in seconds from `send_at` or now.

    `routing` None: the type's. `escalate_after` in seconds. `sequence` orders those of one collapse key.

    `push`: what was said of how phones present it, as `core.message.Push.of` takes it.

    `is_perishable`: the producer has said when it expires, and has not left that to the product.
    `idempotency` is (key, digest of the body) when the producer gave a key. `address_id` is set by the
    product alone: it goes to this one address, confirmed or not, and to no other. So is `template_id`: this version,
    be it a draft, for these recipients alone, even of a type that goes to every admin; with `variant_id`, as that
    variant of an experiment. And so is `only_through`: sent by this account of a provider and by no other, whatever its
    flag says.
    """

    type: str
    recipients: tuple[InlineRecipient, ...]
    data: Mapping[str, Any]
    channels: tuple[str, ...] | None = None
    priority: str | None = None
    routing: str | None = None
    escalate_after: int | None = None
    send_at: datetime | None = None
    expires_in: int = DEFAULT_EXPIRES_IN_S
    is_perishable: bool = False
    collapse_key: str | None = None
    sequence: int | None = None
    dedupe: bool | None = None
    push: Mapping[str, Any] | None = None
    template: str | None = None
    idempotency: tuple[str, str] | None = None
    address_id: UUID | None = None
    template_id: UUID | None = None
    variant_id: UUID | None = None
    only_through: str | None = None

    def pack(self) -> dict[str, Any]:
        """A JSON document for `unpack`, of all that can be said again: nothing that holds once, or that the product
        alone may say.
        """
        recipients = [{"id": recipient.id, "changes": dict(recipient.changes)} for recipient in self.recipients]
        return {**{name: getattr(self, name) for name in _said_again()}, "recipients": recipients}

    def body(self) -> dict[str, Any]:
        """As a producer would say it: the body of POST /notifications, without fields that were left out and the
        idempotency key.
        """
        packed = self.pack()
        left_out = {"is_perishable", *([] if self.is_perishable else ["expires_in"])}
        said = {name: value for name, value in packed.items() if value is not None and name not in left_out}
        if self.send_at is not None:
            said["send_at"] = self.send_at.isoformat()
        people = [{"id": shown_id(recipient.id), **recipient.changes} for recipient in self.recipients]
        return {**said, "recipients": people}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> "Submission":
        """From what `pack` of any release has made: what is missing has its default, and what is unknown is left
        out.
        """
        said = {name: packed[name] for name in _said_again() if name in packed}
        recipients = tuple(InlineRecipient(recipient["id"], recipient["changes"]) for recipient in packed["recipients"])
        named = tuple(packed["channels"]) if packed["channels"] else None
        return cls(**{**said, "recipients": recipients, "channels": named})


_SAID_ONCE = frozenset({"send_at", "idempotency"})
_SAID_BY_US = frozenset({"address_id", "template_id", "variant_id", "only_through"})


def _said_again() -> list[str]:
    return [field.name for field in fields(Submission) if field.name not in _SAID_ONCE | _SAID_BY_US]


def check_priority(
    requested: str | None, *, type_priority: str, category: str, may_be_urgent: bool
) -> tuple[Fault, ...]:
    """Marketing is at most medium, social at most high, and urgent needs the scope or an urgent type."""
    if requested is None:
        return ()
    ceiling = CEILINGS.get(category, "urgent")
    if PRIORITIES.index(requested) < PRIORITIES.index(ceiling):
        return (
            Fault("/priority", "priority_too_high", f"the priority of {category} notifications is at most {ceiling}"),
        )
    if requested == "urgent" and type_priority != "urgent" and not may_be_urgent:
        return (Fault("/priority", "urgent_not_allowed", "urgent needs the scope 'urgent' or a type that is urgent"),)
    return ()


def check_routing(routing: str, submission: Submission) -> tuple[Fault, ...]:
    """`routing` is the effective one: its own, or its type's. Combinations that make no sense are refused."""
    after = submission.escalate_after
    if after is None:
        return ()
    if routing != ESCALATE:
        return (
            Fault(
                "/escalate_after",
                "contradicts_routing",
                f"escalate_after needs the routing 'escalate', but the routing is {routing!r}",
            ),
        )
    if after >= submission.expires_in:
        return (Fault("/escalate_after", "contradicts_expiry", f"after {after} seconds it will have expired"),)
    return ()


def check_sequence(submission: Submission) -> tuple[Fault, ...]:
    if submission.sequence is not None and submission.collapse_key is None:
        return (
            Fault(
                "/sequence",
                "needs_collapse_key",
                "sequence orders notifications with the same collapse_key, but there is none",
            ),
        )
    return ()


def check_data(data: Mapping[str, Any]) -> tuple[Fault, ...]:
    if RESERVED_NAME in data:
        message = (
            f"{RESERVED_NAME!r} is reserved for what webhooks are told about the notification itself; use another name"
        )
        return (Fault(f"/data/{RESERVED_NAME}", "reserved_name", message),)
    return ()


def check_send_at(send_at: datetime | None, now: datetime) -> tuple[Fault, ...]:
    """`send_at` lies in the coming year. A minute of grace is given to clocks that differ."""
    if send_at is None:
        return ()
    if send_at < now - timedelta(minutes=1):
        return (Fault("/send_at", "in_the_past", "send_at is in the past"),)
    if send_at > now + MAX_AHEAD:
        return (Fault("/send_at", "too_far_ahead", "send_at is more than a year ahead"),)
    return ()
