"""Compares the items of a batch with those before them: the same idempotency key, and people who exist by then.

Called by `judge`, inside its caller's transaction, with what each item is by itself.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from notifier.core.errors import Fault, Rejected
from notifier.core.worlds import shown_id
from notifier.people import profiles
from notifier.people.person import Person, recall_people
from notifier.pipeline.intake.idempotency_keys import body_digest, mismatch
from notifier.pipeline.intake.item import INLINE_LIMIT, Item, Judged, Key, Work, refused, works_in
from notifier.pipeline.intake.recipients import may_change, shared_out, staff_among

_PHONE = re.compile(r"\+?\d[\d ()-]{5,20}")


def compare(batch: Sequence[Item], alone: Sequence[Judged]) -> tuple[list[Judged], dict[str, Person]]:
    """Compares each item with those before it: same idempotency key, and people it may name. → what has become of them,
    and the named people.

    A recipient exists, is created by this item, or was created by an earlier one of the batch.
    """
    protected = staff_among(batch)
    groups = [
        *((item.caller, item.submission.recipients) for item in batch),
        *((work.item.caller, work.recipients) for work in works_in(alone)),
    ]
    asked = [
        (len(group), {recipient.id for recipient in group if not may_change(caller, recipient, protected)})
        for caller, group in groups
    ]
    at_once = {user_id for size, ids in asked if size <= INLINE_LIMIT for user_id in ids}
    later = {user_id for size, ids in asked if size > INLINE_LIMIT for user_id in ids} - at_once
    persons = recall_people(at_once)
    known = persons.keys() | (profiles.known_ids(later) if later else set())
    first: dict[Key, Work] = {}
    compared: list[Judged] = []
    for item, judged in zip(batch, alone, strict=True):
        one = _beside(item, judged, first, known, protected)
        if isinstance(one, Work) and one.repeats is None:
            known |= {recipient.id for recipient in one.recipients if recipient.changes}
            if one.key:
                first[one.key] = one
        compared.append(one)
    return compared, persons


def _beside(
    item: Item, judged: Judged, first: Mapping[Key, Work], known: Collection[str], protected: Collection[str]
) -> Judged:
    """An item beside those before it: `first` has their keys, `known` the people they create, and all others."""
    if isinstance(judged, Rejected) and judged.faults:
        return _with_unknown_people(judged, item, known)
    if not isinstance(judged, Work):
        return judged
    earlier = first.get(judged.key) if judged.key else None
    if earlier is not None:
        is_alike = body_digest(item) == body_digest(earlier.item)
        return replace(judged, repeats=earlier) if is_alike else mismatch()
    unknown = {recipient.id for recipient in judged.recipients if not recipient.changes}.difference(known)
    if unknown:
        return refused(*_unknown_people(item, unknown), code="unknown_user")
    return shared_out(judged, known, protected)


def _unknown_people(item: Item, unknown: set[str]) -> list[Fault]:
    named = (
        (index, shown_id(recipient.id))
        for index, recipient in enumerate(item.submission.recipients)
        if recipient.id in unknown
    )
    return [
        Fault(f"/recipients/{index}", "unknown_user", f"there is no user {user_id!r}{_how_to_create(user_id)}")
        for index, user_id in named
    ]


def _how_to_create(user_id: str) -> str:
    """Many begin with the address where the id belongs."""
    kind = "email" if "@" in user_id else "phone" if _PHONE.fullmatch(user_id) else None
    if kind is None:
        return ""
    return f'; to create one in the same call, send {{"id": "…", "{kind}": "…"}} instead'


def _with_unknown_people(rejected: Rejected, item: Item, known: Collection[str]) -> Rejected:
    """The refusal, with its unknown people too: all faults at once."""
    unknown = {recipient.id for recipient in item.submission.recipients if not recipient.changes}.difference(known)
    faults = _unknown_people(item, unknown)
    return refused(*rejected.faults, *faults, code=rejected.code) if faults else rejected
