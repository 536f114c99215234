"""An accepted submission's orders: the notification to plan for each recipient, with its facts.

Built by `intake`, `upkeep` and the last look; read by everything in `planning`.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_wording_of
from notifier.core import repeats
from notifier.core.experiments import Wording
from notifier.core.facts import ESCALATE_AFTER, ChannelFacts, Facts, TypeFacts
from notifier.core.record import record
from notifier.core.routing import ALL
from notifier.core.submission import Submission
from notifier.ground.extensions import db
from notifier.models import Account, EventType
from notifier.people.person import Given, Person


@record
class Order:
    """A submission that was accepted, as planning and storing use it: the same for each of its recipients.

    A field of a submission has all its forms here: as it is judged (`of`), stored for later (`pack` and `unpack`), and
    written to each notification (`columns`).

    `dedupe_window_s`: how long it is remembered as said, None: not at all. `is_deduplicated`: left out if it was said
    before. `submitted_at` None: just now. `is_tried`: by its author, in the sandbox.
    """

    type: EventType
    priority: str
    _: KW_ONLY
    data: Mapping[str, Any] = field(default_factory=dict)
    wording: Wording = field(default_factory=Wording)
    requested: tuple[str, ...] | None = None
    routing: str = ALL
    escalate_after: timedelta = ESCALATE_AFTER
    send_at: datetime | None = None
    expires_at: datetime | None = None
    is_perishable: bool = False
    collapse_key: str | None = None
    sequence: int | None = None
    push: Mapping[str, Any] | None = None
    submitted_at: datetime | None = None
    address_id: UUID | None = None
    only_through: str | None = None
    dedupe_window_s: int | None = None
    is_deduplicated: bool = False
    is_tried: bool = False

    @classmethod
    def of(
        cls,
        submission: Submission,
        type_: EventType,
        wording: Wording,
        now: datetime,
        *,
        is_ours: bool,
        is_tried: bool,
    ) -> "Order":
        """Fields that the submission leaves out are taken from its type. `is_ours`: the product says it, so it is
        neither left out as a repeat nor remembered.
        """
        starts_at = max(now, submission.send_at) if submission.send_at else now
        escalate_after_s = submission.escalate_after or type_.escalate_after_s
        return cls(
            type_,
            submission.priority or type_.priority,
            data=submission.data,
            wording=wording,
            requested=submission.channels,
            routing=routing_of(submission, type_),
            escalate_after=timedelta(seconds=escalate_after_s) if escalate_after_s else ESCALATE_AFTER,
            send_at=submission.send_at,
            expires_at=starts_at + timedelta(seconds=submission.expires_in),
            is_perishable=submission.is_perishable,
            collapse_key=submission.collapse_key,
            sequence=submission.sequence,
            push=submission.push,
            address_id=submission.address_id,
            only_through=submission.only_through,
            dedupe_window_s=None if is_ours else repeats.window_s(submission.dedupe, type_.dedupe_window_s),
            is_deduplicated=repeats.is_left_out(
                submission.dedupe, type_.dedupe_window_s, is_mandatory=type_.is_mandatory
            ),
            is_tried=is_tried,
        )

    def pack(self) -> dict[str, Any]:
        """A JSON document for `unpack`, which may run in the release before this one or the next: names stay as they
        are. The type and the time of submission are in the submission's row.
        """
        return {
            "priority": self.priority,
            "data": dict(self.data),
            "template_id": self.wording.template_id.hex if self.wording.template_id else None,
            "variant_id": self.wording.variant_id.hex if self.wording.variant_id else None,
            "experiment_id": self.wording.experiment.id.hex if self.wording.experiment else None,
            "channels": self.requested,
            "routing": self.routing,
            "escalate_after": self.escalate_after.total_seconds(),
            "send_at": self.send_at.isoformat() if self.send_at else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "is_perishable": self.is_perishable,
            "collapse_key": self.collapse_key,
            "sequence": self.sequence,
            "push": self.push,
            "address_id": self.address_id.hex if self.address_id else None,
            "only_through": self.only_through,
            "dedupe_window_s": self.dedupe_window_s,
            "is_deduplicated": self.is_deduplicated,
            "is_tried": self.is_tried,
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any], type_: EventType, submitted_at: datetime) -> "Order":
        """From what `pack` of this release, or of one before it, has made: names that were added since may be missing,
        and have a default here. An experiment that has been stopped meanwhile has led to a version. At most one query,
        none without an experiment.
        """
        return cls(
            type_,
            packed["priority"],
            data=packed["data"],
            wording=_unpack_wording(packed),
            requested=tuple(packed["channels"]) if packed["channels"] else None,
            routing=packed["routing"],
            escalate_after=timedelta(seconds=packed["escalate_after"]),
            send_at=datetime.fromisoformat(packed["send_at"]) if packed["send_at"] else None,
            expires_at=datetime.fromisoformat(packed["expires_at"]) if packed["expires_at"] else None,
            is_perishable=packed["is_perishable"],
            collapse_key=packed["collapse_key"],
            sequence=packed["sequence"],
            push=packed.get("push"),
            submitted_at=submitted_at,
            address_id=UUID(packed["address_id"]) if packed.get("address_id") else None,
            only_through=packed.get("only_through"),
            dedupe_window_s=packed.get("dedupe_window_s"),
            is_deduplicated=packed.get("is_deduplicated", True),  # once only those had a window that were compared
            is_tried=packed.get("is_tried", False),
        )

    def columns(self, user_id: str) -> dict[str, Any]:
        """What the person's notification says of it, by column."""
        wording = self.wording.for_person(user_id)
        return {
            "type": self.type.key,
            "category": self.type.category,
            "priority": self.priority,
            "template_id": wording.template_id,
            "variant_id": wording.variant_id,
            "data": self.data,  # one object for all: `many_rows` encrypts it once
            "routing": self.routing,
            "collapse_key": self.collapse_key,
            "sequence": self.sequence,
            "push": self.push,
            "send_at": self.send_at,
            "expires_at": self.expires_at,
            "is_perishable": self.is_perishable,
        }


def wording_of(submission: Submission, templates: Mapping[str, Wording]) -> Wording:
    """`templates`: by name, as `catalogue.known` loads those of `template_name`."""
    if submission.template_id is not None:
        return Wording(submission.template_id, submission.variant_id)
    return templates.get(template_name(submission), Wording())


def template_name(submission: Submission) -> str:
    return submission.template or submission.type


def _unpack_wording(packed: Mapping[str, Any]) -> Wording:
    if packed.get("experiment_id"):
        return load_wording_of(UUID(packed["experiment_id"]))
    template_id, variant_id = packed["template_id"], packed.get("variant_id")
    return Wording(UUID(template_id) if template_id else None, UUID(variant_id) if variant_id else None)


@record
class Target:
    """One notification to be made: who submitted it, and for whom. `moved`: the channels whose address it corrects."""

    submission_id: UUID
    producer_id: UUID | None
    is_test: bool
    order: Order
    person: Person
    is_flooded: bool = False
    given: Given | None = None
    moved: frozenset[str] = frozenset()
    is_of_broadcast: bool = False

    @property
    def broadcast_id(self) -> UUID | None:
        """A broadcast has the id of its submission."""
        return self.submission_id if self.is_of_broadcast else None


def routing_of(submission: Submission, type_: EventType) -> str:
    """Its own, or its type's."""
    return submission.routing or type_.routing or ALL


def admin_user_ids() -> list[str]:
    """The users behind every admin account, for the types that go to them."""
    return list(
        db.session.scalars(
            sa.select(Account.user_id)
            .where(Account.role == "admin", Account.disabled_at.is_(None))
            .order_by(Account.user_id)
        )
    )


def type_facts(row: EventType) -> TypeFacts:
    return TypeFacts(
        row.key, row.category, row.priority, tuple(row.channels), row.is_mandatory, row.is_internal, row.to_admins
    )


def planner_facts(
    order: Order,
    person: Person,
    channel_facts: Mapping[str, ChannelFacts],
    *,
    is_flooded: bool = False,
    of_type: TypeFacts | None = None,
) -> Facts:
    """The facts for `core.plan.plan` about one person. `of_type`: those of the order's type, where they are known."""
    return Facts(
        type=_as_mandatory(order) if order.is_tried else of_type or type_facts(order.type),
        priority=order.priority,
        zone=person.zone,
        preferences=person.preferences,
        addresses=person.addresses,
        channels=channel_facts,
        requested=order.requested,
        send_at=order.send_at,
        expires_at=order.expires_at,
        is_perishable=order.is_perishable,
        routing=order.routing,
        escalate_after=order.escalate_after,
        is_flooded=is_flooded,
        only_address=order.address_id,
        user_id=person.id,
    )


def _as_mandatory(order: Order) -> TypeFacts:
    facts = type_facts(order.type)
    return replace(facts, mandatory=True, channels=tuple(dict.fromkeys((*facts.channels, *(order.requested or ())))))


def is_tried(type_: EventType, producer_id: UUID | None, *, is_test: bool) -> bool:
    """Whether an author has sent their words to the sandbox: to look at them, whatever they want to get otherwise."""
    return is_test and producer_id is None and not type_.is_internal
