"""The shapes of a submission on its way in: who submits it (`Caller`), the `Item`, and the results of judging it.

`judge` makes an answer (`Accepted` or `Rejected`) or `Work` of each item; `accept` and the dry run go on with the work.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import UUID

from notifier.core.errors import Fault, Rejected
from notifier.core.record import record
from notifier.core.submission import InlineRecipient, Submission
from notifier.ledgers import audit
from notifier.people.person import Given
from notifier.pipeline.planning.orders import Order

Key = tuple[UUID, str, bool]  # producer, idempotency key, is it a test key's

HELD = "held"  # the status of an answer: it is for people of other cells alone, which are to be told
INLINE_LIMIT = 100  # more recipients than this are expanded in the background


@record
class Caller:
    """The submitter: the producer and the rights of its key. `types` None: all of them. `is_internal`: the product
    itself.

    `may_change_people`: known people, by values given inline; `may_change_staff`: even people with a role in the
    console. `label`: its name in the audit trail. `key_id`: of that key; None for somebody in the console.
    `traceparent`: as the request said it, or nonsense.
    """

    producer_id: UUID | None
    is_test: bool
    may_be_urgent: bool
    types: frozenset[str] | None
    request_id: str
    is_internal: bool = False
    may_change_people: bool = False
    may_change_staff: bool = False
    label: str = "Notifier"
    key_id: UUID | None = None
    traceparent: str | None = None

    @classmethod
    def of_key(
        cls,
        producer_id: UUID,
        scopes: Collection[str],
        types: Collection[str] | None,
        *,
        is_test: bool,
        request_id: str,
        label: str,
        key_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> "Caller":
        """The rights of a key with these scopes. `types`: those it is limited to."""
        return cls(
            producer_id,
            is_test=is_test,
            may_be_urgent="urgent" in scopes,
            types=None if types is None else frozenset(types),
            request_id=request_id,
            may_change_people="users" in scopes,
            may_change_staff="users" in scopes and "admin" in scopes,
            label=label,
            key_id=key_id,
            traceparent=traceparent,
        )


@record
class Item:
    """`noted`: what the audit trail says of it once it is stored, with the notification's id; of one recipient only.
    `traceparent`: of the span in which it is being accepted, where that is recorded.
    """

    caller: Caller
    submission: Submission
    noted: audit.Entry | None = None
    traceparent: str | None = None


@record
class Accepted:
    """`answer` is the body for the producer (API.md, POST /notifications); `replayed`: it is the first one's answer
    again.
    """

    answer: dict[str, Any]
    replayed: bool = False


@record
class Work:
    """An item to be stored, or to be answered as the earlier one of the batch that it `repeats`.

    Given with its recipients: `created`, people who are new; `changed`, people the caller may change; and `given`, by
    id, values for this notification only. `moved`: the channels of `changed` people whose address this has corrected.
    """

    item: Item
    order: Order
    recipients: tuple[InlineRecipient, ...]
    key: Key | None
    submission_id: UUID
    repeats: "Work | None" = None
    created: tuple[InlineRecipient, ...] = ()
    changed: tuple[InlineRecipient, ...] = ()
    given: Mapping[str, Given] = field(default_factory=dict)
    moved: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def is_expanded_later(self) -> bool:
        return len(self.recipients) > INLINE_LIMIT


Judged = Accepted | Rejected | Work


def works_in(judged: Sequence[Judged]) -> list[Work]:
    return [one for one in judged if isinstance(one, Work)]


def refused(*faults: Fault, code: str = "validation_failed") -> Rejected:
    """One fault is the refusal's own message; of several it says how many."""
    return Rejected(code, faults[0].message if len(faults) == 1 else f"{len(faults)} faults", faults)
