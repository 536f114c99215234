"""Settles the recipients of submissions: each once, with their values stored or only given, and a target for each.

Called by `judge` and `compare`; by `accept` and `dry_run` for what has been judged. All inside their transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from notifier.core.submission import InlineRecipient
from notifier.ledgers.flood import Trigger
from notifier.people import profiles, staff
from notifier.people.person import GIVEN, Given, Person, as_given, channels_of
from notifier.pipeline.intake.item import Caller, Item, Work
from notifier.pipeline.planning.orders import Target


def once_each(recipients: Sequence[InlineRecipient]) -> tuple[InlineRecipient, ...]:
    """A person named twice gets one notification; later fields win."""
    merged: dict[str, InlineRecipient] = {}
    for recipient in recipients:
        seen = merged.get(recipient.id)
        merged[recipient.id] = replace(recipient, changes={**seen.changes, **recipient.changes}) if seen else recipient
    return tuple(merged.values())


def may_change(caller: Caller, recipient: InlineRecipient, protected: Collection[str]) -> bool:
    """Whether the values that came with the recipient are to be stored, be the person new or known."""
    return bool(recipient.changes) and (
        caller.may_change_staff or (caller.may_change_people and recipient.id not in protected)
    )


def staff_among(batch: Sequence[Item]) -> set[str]:
    """People with a role in the console: sign-in links and alerts go to their addresses. One query, and none if it
    makes no difference.
    """
    asking = [item for item in batch if item.caller.may_change_people and not item.caller.may_change_staff]
    named = {recipient.id for item in asking for recipient in item.submission.recipients if recipient.changes}
    return staff.among(named)


def shared_out(work: Work, known: Collection[str], protected: Collection[str]) -> Work:
    """With the values given with its recipients: stored where the caller may, otherwise kept with the notification."""
    if not any(recipient.changes for recipient in work.recipients):
        return work
    changed, created, given = list[InlineRecipient](), list[InlineRecipient](), dict[str, Given]()
    for recipient in work.recipients:
        if may_change(work.item.caller, recipient, protected):
            changed.append(recipient)
        elif recipient.changes and recipient.id not in known:
            created.append(recipient)
        elif values := {name: value for name, value in recipient.changes.items() if name in GIVEN}:
            given[recipient.id] = values
    return replace(work, created=tuple(created), changed=tuple(changed), given=given)


def keep_people(works: Sequence[Work]) -> tuple[list[Work], set[str]]:
    """Creates and changes people where the caller may. → the works, with what has `moved`; and people created by
    somebody else since the judging: then the whole batch is judged again.
    """
    actors = {recipient.id: work.item.caller.label for work in works for recipient in (*work.created, *work.changed)}
    overtaken = profiles.create([recipient for work in works for recipient in work.created], actors=actors)
    upserted = profiles.upsert([recipient for work in works for recipient in work.changed], actors=actors)
    moved = {user_id: channels_of(names) for user_id, names in upserted.moved.items()}
    if not moved:
        return list(works), overtaken
    return [
        replace(work, moved={one.id: moved[one.id] for one in work.changed if one.id in moved}) for work in works
    ], overtaken


def targets_of(works: Sequence[Work], persons: Mapping[str, Person], flooded: Collection[Trigger] = ()) -> list[Target]:
    """One notification for each recipient of each, in order."""
    notified = [(work, recipient.id, work.given.get(recipient.id)) for work in works for recipient in work.recipients]
    as_they_are = as_given([(persons[user_id], given) for _, user_id, given in notified])
    return [
        Target(
            submission_id=work.submission_id,
            producer_id=work.item.caller.producer_id,
            is_test=work.item.caller.is_test,
            order=work.order,
            person=person,
            is_flooded=(user_id, work.order.type.key) in flooded,
            given=given,
            moved=frozenset(work.moved.get(user_id, ())),
        )
        for (work, user_id, given), person in zip(notified, as_they_are, strict=True)
    ]
