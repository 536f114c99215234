"""Changes to a person's preferences: checked, merged and recorded as consent, in one transaction.

Called by the API, the preference page, signed links and one-click unsubscribe; `source` says by which. The stored
document holds choices only, never defaults.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session

from notifier.core.choices import FIELDS_OF_KEYS, Document, Switch, differences, taken_back, with_switch, without_empty
from notifier.core.errors import Rejected
from notifier.core.preferences import EVERY_CHANNEL
from notifier.core.worlds import is_of_tests, shown_id
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit, digests
from notifier.models import ConsentEvent, EventType, Preference, User
from notifier.people import cache as people_cache
from notifier.people import quiet
from notifier.people.given_choices import CLEAN, clean

API = "api"  # the source of what keys change
Conditions = Sequence[sa.ColumnElement[bool]]

_DISTURBED_BY = {"quiet_hours", "mute_until", "time_zone"}  # the choices about when a person may be disturbed


@dataclass(frozen=True, slots=True)
class Saved:
    """The document as it is stored now. `events`: first and last line of the consent history, by which `undo` takes it
    back (None: no change).

    `left`: what `undo` did not touch, since it has been changed again.
    """

    document: Document
    events: tuple[int, int] | None = None
    left: tuple[str, ...] = ()


def change(
    user_id: str, document_change: Mapping[str, Any], *, replace: bool, source: str, conditions: Conditions = ()
) -> Saved:
    """Replaces the person's choices, or merges into them (None takes a choice back).

    `types` and `categories` map to channel → on/off, or to on/off for all channels at once. `conditions`: the person
    counts as not found unless these hold (`valid_tokens.conditions_of`). Raises `Rejected('validation_failed')` with
    every fault, and 'not_found' for an unknown person.
    """
    wanted = clean(document_change)
    return _rewrite(user_id, source, lambda before: wanted if replace else _merged(before, wanted), conditions)


def switch(
    user_id: str, switches: Sequence[Switch], columns: Collection[str], *, source: str, conditions: Conditions = ()
) -> Saved:
    """Sets switches of the preference page one after the other, each with all that is below it. Raises
    Rejected('not_found').
    """
    categories = {row.key: row.category for row in db.session.execute(sa.select(EventType.key, EventType.category))}

    def _switched(document: Document) -> Document:
        for one in switches:
            document = with_switch(document, one, categories=categories, columns=columns)
        return document

    return _rewrite(user_id, source, _switched, conditions)


def undo(user_id: str, events: tuple[int, int], *, source: str, conditions: Conditions = ()) -> Saved:
    """Takes back the changes in these lines of the person's consent history, unless they have been changed again.
    Raises Rejected('not_found').
    """
    lines = (
        sa.select(ConsentEvent.change)
        .where(ConsentEvent.user_id == user_id, ConsentEvent.id.between(*events))
        .order_by(ConsentEvent.id.desc())
    )
    left: list[str] = []

    def _taken_back(document: Document) -> Document:
        before, left[:] = taken_back(
            document, [line for line in db.session.scalars(lines) if line["choice"].partition(".")[0] in CLEAN]
        )
        return before

    saved = _rewrite(user_id, source, _taken_back, conditions)
    return Saved(saved.document, saved.events, tuple(left))


@retried
def _rewrite(user_id: str, source: str, rewritten: Callable[[Document], Document], conditions: Conditions) -> Saved:
    with transaction() as session:
        if (
            session.scalar(sa.select(User.id).where(User.id == user_id, *conditions).with_for_update(key_share=True))
            is None
        ):
            raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
        row = session.get(Preference, user_id, populate_existing=True)
        before = dict(row.document) if row else {}
        after = without_empty(rewritten(before))
        changes = differences(before, after)
        if not changes:
            return Saved(after)
        people_cache.changing([user_id], is_consent=True)
        _store(session, user_id, row, after)
        at = now()
        changed = [change["choice"] for change in changes]
        digests.hasten(user_id, changed)
        if _DISTURBED_BY & set(changed):
            quiet.wake([user_id])
        events = [ConsentEvent(user_id=user_id, source=source, change=change, at=at) for change in changes]
        session.add_all(events)
        # People's own changes are in their history, and are erased with them
        if source == API and not is_of_tests(user_id):
            audit.write("preferences.changed", user_id, after={"choices": changed})
        session.flush()
        # Nobody else writes lines of this person meanwhile: between them are no others
        ids = [event.id for event in events]
    return Saved(after, (min(ids), max(ids)))


def _store(session: scoped_session[Session], user_id: str, row: Preference | None, document: Document) -> None:
    # The user's row is locked, so nobody else makes or changes this one meanwhile.
    if row is None:
        session.add(Preference(user_id=user_id, document=document, version=1))
    else:
        row.document, row.version, row.updated_at = document, row.version + 1, now()


# ---- validating -----------------------------------------------------------------------------------------------------


# ---- merging --------------------------------------------------------------------------------------------------------


def _merged(before: Document, wanted: Document) -> Document:
    """As RFC 7396 merges the maps; a switch for all channels of a type replaces those for single ones."""
    after = dict(before)
    for field, value in wanted.items():
        if field not in FIELDS_OF_KEYS or value is None:
            after[field] = value
            continue
        merged = dict(after.get(field, {}))
        for key, item in value.items():
            switches_all = isinstance(item, dict) and EVERY_CHANNEL in item
            merged[key] = {**merged.get(key, {}), **item} if isinstance(item, dict) and not switches_all else item
        after[field] = merged
    return after
