"""Judges submissions before anything is stored: whether each can be accepted, and for whom it is.

Called by `accept`, `dry_run` and `schedules`, inside their transaction, with the results of `check_against_schemas`
from before it. A bad item gets its own `Rejected` and never affects the others.
"""

from collections.abc import Sequence
from datetime import datetime

from notifier import channels
from notifier.catalogue.known import load_types, load_wordings
from notifier.core.errors import Fault, Rejected
from notifier.core.experiments import Wording
from notifier.core.submission import (
    OWN_TYPES,
    InlineRecipient,
    check_data,
    check_priority,
    check_routing,
    check_send_at,
    check_sequence,
)
from notifier.ground.ids import new_id
from notifier.models import EventType
from notifier.people import profiles
from notifier.people.person import Person
from notifier.pipeline.intake.compare import compare
from notifier.pipeline.intake.idempotency_keys import first_answers, key_of
from notifier.pipeline.intake.item import Item, Judged, Work, refused
from notifier.pipeline.intake.recipients import once_each
from notifier.pipeline.intake.schema_check import Checked, Outdated
from notifier.pipeline.intake.suggest import with_types
from notifier.pipeline.planning.orders import (
    Order,
    admin_user_ids,
    is_tried,
    routing_of,
    template_name,
    wording_of,
)


def judge(batch: Sequence[Item], now: datetime, checked: Sequence[Checked]) -> tuple[list[Judged], dict[str, Person]]:
    """Judges every item, in order: an answer (`Accepted`, when it was given before, or `Rejected`) or a `Work` each. A
    constant number of queries.

    → those, and the people it has met on the way: all who are to be notified at once, as they are before this batch
    changes them.

    A replay gets the first answer whatever has changed since: its time may have passed, its recipient been erased.
    Raises Outdated.
    """
    types = load_types(
        {name for item in batch for name in (item.submission.type, template_key(item.submission.template)) if name}
    )
    templates = load_wordings(template_name(item.submission) for item in batch)
    admins = admin_user_ids() if any(t.to_admins for t in types.values()) else []
    answered = first_answers(batch)
    alone = [answered.get(i) or _judge(item, checked[i], types, templates, admins, now) for i, item in enumerate(batch)]
    return compare(batch, with_types(batch, alone))


def template_key(template: str | None) -> str:
    """`order_shipped@3` → order_shipped."""
    return (template or "").partition("@")[0]


def _judge(
    item: Item,
    checked: Checked,
    types: dict[str, EventType],
    templates: dict[str, Wording],
    admins: list[str],
    now: datetime,
) -> Work | Rejected:
    caller, submission = item.caller, item.submission
    type_, worded_as = types.get(submission.type), types.get(template_key(submission.template))
    if type_ is None or (type_.is_internal and not caller.is_internal):
        return refused(
            Fault("/type", "unknown_type", f"there is no event type {submission.type!r}"), code="unknown_type"
        )
    if caller.types is not None and type_.key not in caller.types:
        return Rejected("type_not_allowed", f"this key may not submit {type_.key!r}")
    if checked.schema != type_.schema:
        raise Outdated
    if type_.key in OWN_TYPES and not caller.is_internal:
        return Rejected("type_not_allowed", f"{type_.key!r} is sent by Notifier itself")
    if isinstance(checked.faults, Rejected):
        return checked.faults
    faults = [
        *check_priority(
            submission.priority,
            type_priority=type_.priority,
            category=type_.category,
            may_be_urgent=caller.may_be_urgent,
        ),
        *check_send_at(submission.send_at, now),
        *check_routing(routing_of(submission, type_), submission),
        *check_sequence(submission),
        *(
            Fault(f"/channels/{i}", "unknown_channel", f"there is no channel {name!r}")
            for i, name in enumerate(submission.channels or ())
            if name not in channels.CHANNELS
        ),
        *check_data(submission.data),
        *checked.faults,
    ]
    # Nobody else may speak as the product.
    is_ours = worded_as is not None and (worded_as.is_internal or worded_as.key in OWN_TYPES) and not caller.is_internal
    if submission.template and (submission.template not in templates or is_ours):
        faults.append(Fault("/template", "unknown_template", f"there is no published template {submission.template!r}"))
    for index, recipient in enumerate(submission.recipients):
        faults += profiles.check(recipient.changes, f"/recipients/{index}")
    if faults:
        return refused(*faults)
    order = Order.of(
        submission,
        type_,
        wording_of(submission, templates),
        now,
        is_ours=caller.is_internal,
        is_tried=is_tried(type_, caller.producer_id, is_test=caller.is_test),
    )
    recipients = (
        tuple(InlineRecipient(user_id) for user_id in admins)
        if goes_to_admins(item, type_)
        else once_each(submission.recipients)
    )
    return Work(item, order, recipients, key_of(item), new_id())


def goes_to_admins(item: Item, type_: EventType) -> bool:
    """Whether it goes to all admins, whoever is named. An author's template test does not, and a test key's goes to the
    named people: admins are live people.
    """
    return type_.to_admins and item.submission.template_id is None and not item.caller.is_test
