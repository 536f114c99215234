"""What of accepting a batch is done before its transaction: checking its data against schemas, and rendering the items
that are to be shown at once. Both are made by people, and take their time.

Called by `accept`; by `consume` for one batch while another is being stored. Nothing is decided here: `judge` and
`store` find out inside the transaction whether it still holds, and if not, `accept` does it again.
"""

from collections.abc import Sequence
from dataclasses import replace

from notifier.catalogue.known import load_types, load_wordings
from notifier.core.record import record
from notifier.core.submission import InlineRecipient
from notifier.core.worlds import has_inbox
from notifier.ground import tracing
from notifier.ground.database import UNAVAILABLE
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import EventType
from notifier.people.person import as_reader, recall_readers
from notifier.pipeline.intake.item import INLINE_LIMIT, Item
from notifier.pipeline.intake.judge import goes_to_admins, template_key
from notifier.pipeline.intake.schema_check import Checked, check_against_schemas
from notifier.pipeline.planning.beforehand import SHOWN_BY_US, Beforehand
from notifier.pipeline.planning.orders import admin_user_ids, template_name, wording_of
from notifier.words.compose import Wanted


@record
class Looked:
    """What is known of a batch's items ahead."""

    checked: Sequence[Checked]
    words: Beforehand


@record
class Prepared:
    """A batch, ready for its transaction. `looked` None: it has to be looked at again. `spans`: one for each
    item, to be ended, where traces are on.
    """

    batch: Sequence[Item]
    looked: Looked | None
    spans: Sequence[tracing.Span] = ()


def prepare(batch: Sequence[Item]) -> Prepared:
    """With no transaction open. Raises only when the database is away."""
    spans: list[tracing.Span] = []
    if tracing.is_on():
        spans = [tracing.begin("accept", item.caller.traceparent, batch=len(batch), **named(item)) for item in batch]
        batch = [replace(item, traceparent=span.traceparent) for item, span in zip(batch, spans, strict=True)]
    try:
        return Prepared(batch, look(batch), spans)
    except UNAVAILABLE as error:
        for span in spans:
            span.end(error=type(error).__name__)
        raise
    except Exception:  # `commit` meets it again, and finds out whose fault it is
        return Prepared(batch, None, spans)


def look(batch: Sequence[Item]) -> Looked:
    """Leaves no transaction open."""
    try:
        return Looked(check_against_schemas(batch), _words_of(batch))
    finally:
        db.session.close()


def named(item: Item) -> dict[str, str | None]:
    """As logs and traces name who submits it."""
    producer_id = item.caller.producer_id
    return {
        "request_id": item.caller.request_id,
        "producer": show("prd", producer_id) if producer_id else None,
    }


def _words_of(batch: Sequence[Item]) -> Beforehand:
    """Renders the items that are to be shown at once, by the facts known now. An item that the transaction finds
    changed has no text, and waits for the scheduler.
    """
    types = load_types(
        {name for item in batch for name in (item.submission.type, template_key(item.submission.template)) if name}
    )
    templates = load_wordings(template_name(item.submission) for item in batch)
    admins = admin_user_ids() if any(type_.to_admins for type_ in types.values()) else []
    shown = [
        (item, type_, _readers_of(item, type_, admins))
        for item in batch
        if (type_ := types.get(item.submission.type)) and _is_shown(item, type_)
    ]
    known = recall_readers({recipient.id for *_, recipients in shown for recipient in recipients}) if shown else {}
    words = Beforehand()
    words.make(
        Wanted(
            SHOWN_BY_US,
            type_,
            wording_of(item.submission, templates).for_person(recipient.id).template_id,
            person,
            item.submission.data,
        )
        for item, type_, recipients in shown
        for recipient in recipients
        if (person := as_reader(recipient, known.get(recipient.id), may_change=item.caller.may_change_people))
        is not None
    )
    return words


def _is_shown(item: Item, type_: EventType) -> bool:
    submission = item.submission
    if not all(has_inbox(one.id, is_test=item.caller.is_test) for one in submission.recipients):
        return False
    if submission.send_at is not None or len(submission.recipients) > INLINE_LIMIT:
        return False
    return SHOWN_BY_US in (submission.channels or type_.channels)


def _readers_of(item: Item, type_: EventType, admins: Sequence[str]) -> Sequence[InlineRecipient]:
    return (
        [InlineRecipient(user_id) for user_id in admins] if goes_to_admins(item, type_) else item.submission.recipients
    )
