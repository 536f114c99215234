"""Changes to a person's preferences: checked, merged and recorded as consent, in one transaction.

Called by the API, the preference page, signed links and one-click unsubscribe; `source` says by which. The stored
document holds choices only, never defaults.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from notifier.core.choices import FIELDS_OF_KEYS, Document, Switch, differences, taken_back, with_switch, without_empty
from notifier.core.errors import Rejected
from notifier.core.preferences import EVERY_CHANNEL
from notifier.core.worlds import is_of_tests, shown_id
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit, digests
from notifier.ledgers import events as event_stream
from notifier.models import ConsentEvent, EventType, Preference, User
from notifier.models.user import API, CONSOLE
from notifier.people import cache as people_cache
from notifier.people import consent, quiet
from notifier.people.given_choices import CLEAN, clean

PROVIDER = "provider"  # and of what people have told a provider
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
    user_id: str,
    document_change: Mapping[str, Any],
    *,
    replace: bool,
    source: str,
    conditions: Conditions = (),
    unsubscribes_from: tuple[str, str] | None = None,
) -> Saved:
    """Replaces the person's choices, or merges into them (None takes a choice back).

    `types` and `categories` map to channel → on/off, or to on/off for all channels at once. `conditions`: the person
    counts as not found unless these hold (`valid_tokens.conditions_of`). `unsubscribes_from`: category and channel, of
    which the event stream is told. Raises `Rejected('validation_failed')` with every fault, and 'not_found' for an
    unknown person.
    """
    wanted = clean(document_change)
    told = [(user_id, *unsubscribes_from)] if unsubscribes_from else []
    return _rewrite(user_id, source, lambda before: wanted if replace else _merged(before, wanted), conditions, told)


def switch(
    user_id: str, switches: Sequence[Switch], may_opt_in: Collection[str], *, source: str, conditions: Conditions = ()
) -> Saved:
    """Sets switches of the preference page one after the other, each with all that is below it. Raises
    Rejected('not_found').

    `may_opt_in`: the channels that a switch over several may switch on.
    """
    categories = {row.key: row.category for row in db.session.execute(sa.select(EventType.key, EventType.category))}

    def _switched(document: Document) -> Document:
        for one in switches:
            document = with_switch(document, one, categories=categories, may_opt_in=may_opt_in)
        return document

    return _rewrite(user_id, source, _switched, conditions)


def undo(user_id: str, events: tuple[int, int], *, source: str, conditions: Conditions = ()) -> Saved:
    """Takes back the changes in these lines of the person's consent history, unless they have been changed again.
    Raises Rejected('not_found').

    Of the same source only: one that may set a few of the choices, as an embedded page may, does not take back others.
    """
    lines = (
        sa.select(ConsentEvent.change)
        .where(ConsentEvent.user_id == user_id, ConsentEvent.source == source, ConsentEvent.id.between(*events))
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


def withdraw(wishes: Mapping[str, Collection[tuple[str, str]]], *, source: str) -> set[str]:
    """Switches categories off on channels, each with all that is below it: person → pairs of category and channel.
    → for whom that has changed anything. The caller tells the events.

    Inside the caller's transaction; a constant number of statements, none without wishes. Who is gone is left out.
    """
    if not wishes:
        return set()
    categories = {row.key: row.category for row in db.session.execute(sa.select(EventType.key, EventType.category))}

    def _withdrawn(user_id: str, document: Document) -> Document:
        for category, channel in sorted(wishes[user_id]):
            off = Switch(is_on=False, category=category, channel=channel)
            document = with_switch(document, off, categories=categories, may_opt_in=())
        return document

    return {user_id for user_id, saved in _rewrite_each(wishes, source, _withdrawn).items() if saved.events}


@retried
def _rewrite(
    user_id: str,
    source: str,
    rewritten: Callable[[Document], Document],
    conditions: Conditions,
    unsubscribed: Sequence[tuple[str, str, str]] = (),
) -> Saved:
    with transaction():
        saved = _rewrite_each([user_id], source, lambda _, document: rewritten(document), conditions)
        if user_id in saved and saved[user_id].events:
            event_stream.tell_unsubscribed(unsubscribed)
    if user_id not in saved:
        raise Rejected("not_found", f"there is no user {shown_id(user_id)!r}")
    return saved[user_id]


def _rewrite_each(
    user_ids: Collection[str], source: str, rewritten: Callable[[str, Document], Document], conditions: Conditions = ()
) -> dict[str, Saved]:
    """Those of the people who exist and for whom the conditions hold, with the document that each has now."""
    session = db.session
    chosen = sa.select(User.id).where(User.id.in_(user_ids), *conditions).order_by(User.id)
    found = session.scalars(chosen.with_for_update(key_share=True)).all()
    stored = {
        row.user_id: row
        for row in session.scalars(
            sa.select(Preference).where(Preference.user_id.in_(found)).execution_options(populate_existing=True)
        )
    }
    before = {user_id: dict(stored[user_id].document) if user_id in stored else {} for user_id in found}
    after = {user_id: without_empty(rewritten(user_id, before[user_id])) for user_id in found}
    changes = {user_id: differences(before[user_id], after[user_id]) for user_id in found}
    changed = {user_id: lines for user_id, lines in changes.items() if lines}
    saved = {user_id: Saved(after[user_id]) for user_id in found}
    if not changed:
        return saved
    people_cache.changing(changed, is_consent=True)
    at = now()
    for user_id, lines in changed.items():
        _store(user_id, stored.get(user_id), after[user_id])
        choices = [line["choice"] for line in lines]
        digests.hasten(user_id, choices)
        if _DISTURBED_BY & set(choices):
            quiet.wake([user_id])
        # People's own changes are in their history, and are erased with them
        if source in (API, CONSOLE) and not is_of_tests(user_id):
            audit.write("preferences.changed", user_id, after={"choices": choices})
    events = consent.write(changed, source, at)
    # Nobody else writes lines of these people meanwhile: between the first and the last are no others of theirs
    return saved | {
        user_id: Saved(after[user_id], (min(one.id for one in lines), max(one.id for one in lines)))
        for user_id, lines in events.items()
    }


def _store(user_id: str, row: Preference | None, document: Document) -> None:
    # The user's row is locked, so nobody else makes or changes this one meanwhile.
    if row is None:
        db.session.add(Preference(user_id=user_id, document=document, version=1))
    else:
        row.document, row.version, row.updated_at = document, row.version + 1, now()


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
