"""Makes tasks of claimed deliveries: everything a send needs is read here, in a constant number of statements.

Called by `delivery.claim`: `load` in its transaction, `tasks_of` for those that are to be sent.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from notifier.catalogue.known import load_types
from notifier.channels import CHANNELS, serving
from notifier.channels.contract import Adapter
from notifier.core.facts import AddressFacts, TypeFacts
from notifier.core.message import Content, Message, Push, Recipient
from notifier.core.record import record
from notifier.core.worlds import shown_id
from notifier.ground.database import UNAVAILABLE, NamedRow, named
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ground.target_lists import Lists
from notifier.models import Address, EventType, Notification, Submission
from notifier.people.person import GivenAddress, Person, as_given, given_address, load_people
from notifier.pipeline.delivery import held_up
from notifier.pipeline.delivery.task import Task, Tracks
from notifier.pipeline.planning.drafts import ONLY_THROUGH
from notifier.pipeline.planning.orders import type_facts
from notifier.queries import webhook_targets
from notifier.queries.inbox import unread_of
from notifier.words.compose import Wanted, put_into_words
from notifier.words.store import load_templates

THROUGH = "through"  # in a delivery's detail: the account of a provider that somebody chose for another try

# Rows of the columns that are needed, not entities: those would cost more than all the rest of a claim.
_notification, _address = Notification.__table__.c, Address.__table__.c
_NOTIFICATION: tuple[sa.Column[Any], ...] = (
    *(
        _notification.id,
        _notification.user_id,
        _notification.type,
        _notification.category,
        _notification.priority,
        _notification.template_id,
    ),
    *(
        _notification.data,
        _notification.given,
        _notification.is_test,
        _notification.routing,
        _notification.is_perishable,
        _notification.created_at,
    ),
    *(_notification.producer_id, _notification.collapse_key, _notification.push),
    # For the log and for traces: what became of a request is found by its id
    *(Submission.__table__.c.request_id, Submission.__table__.c.traceparent, _notification.submission_id),
)
_ADDRESS: tuple[sa.Column[Any], ...] = (
    *(_address.id, _address.channel, _address.value, _address.secret, _address.digest),
    *(_address.platform, _address.app, _address.created_at),
)


@record
class Claimed:
    """A delivery whose claim may still be taken back, with what decides on that. `about`: the facts of its type.
    `person` None: erased meanwhile. `badge`: the unread items of whom gets a card.
    """

    delivery: NamedRow
    notification: NamedRow
    type: EventType
    about: TypeFacts
    address: NamedRow | GivenAddress | None
    person: Person | None
    adapters: list[Adapter]
    badge: int | None = None
    lists: Lists = ()  # of webhook targets that hold for its address


def load(deliveries: Sequence[NamedRow]) -> list[Claimed]:
    """Rows as the claim returns them, in its transaction. → each with all that is read for it, in order."""
    if not deliveries:
        return []
    session, registry = db.session, serving.registry()
    submitted = sa.select(*_NOTIFICATION).join(Submission, Submission.id == _notification.submission_id)
    notified = session.execute(submitted.where(_notification.id.in_({d.notification_id for d in deliveries})))
    notifications = {row.id: row for row in named(notified)}
    address_ids = {d.address_id for d in deliveries if d.address_id}
    addresses = (
        {row.id: row for row in named(session.execute(sa.select(*_ADDRESS).where(_address.id.in_(address_ids))))}
        if address_ids
        else {}
    )
    types = load_types(row.type for row in notifications.values())
    about = {key: type_facts(type_) for key, type_ in types.items()}
    persons = persons_of(notifications.values())
    callers = {notifications[d.notification_id].producer_id for d in deliveries if _is_called_at_url(d.channel)}
    targets = {id: webhook_targets.lists_of(id) for id in callers}
    carded = {notifications[d.notification_id].user_id for d in deliveries if CHANNELS[d.channel].shape.has_card}
    unread = unread_of(carded) if carded else {}
    found = []
    for delivery in deliveries:
        notification = notifications[delivery.notification_id]
        address = (
            addresses.get(delivery.address_id)
            if delivery.address_id
            else given_address(notification.given, notification.user_id, delivery.channel)
        )
        adapters = registry.adapters_for(
            delivery.channel,
            address.value if address else None,
            is_test=notification.is_test,
            user_id=notification.user_id,
            only=delivery.detail.get(ONLY_THROUGH),
            platform=address.platform if address else None,
        )
        # Whoever retried it has chosen
        through = [adapter for adapter in adapters if adapter.name == delivery.detail.get(THROUGH)]
        adapters = through or adapters
        badge = unread.get(notification.user_id)
        type_, facts, person = types[notification.type], about[notification.type], persons.get(notification.id)
        of_caller = targets[notification.producer_id] if _is_called_at_url(delivery.channel) else ()
        lists = _lists_for(delivery.channel, address, of_caller)
        found.append(Claimed(delivery, notification, type_, facts, address, person, adapters, badge, lists))
    return found


def _is_called_at_url(channel: str) -> bool:
    kind = CHANNELS[channel].address
    return kind is not None and kind.url is not None


def _lists_for(channel: str, address: NamedRow | GivenAddress | None, lists: Lists) -> Lists:
    kind = CHANNELS[channel].address
    return kind.lists_for(address.value, lists) if kind is not None and address is not None else ()


def persons_of(notifications: Collection[NamedRow]) -> dict[UUID, Person]:
    """Person by notification: values given with each may differ, with another address."""
    known = load_people(row.user_id for row in notifications)
    there = [row for row in notifications if row.user_id in known]
    return dict(
        zip((row.id for row in there), as_given([(known[row.user_id], row.given) for row in there]), strict=True)
    )


def tasks_of(kept: Sequence[Claimed]) -> list[Task]:
    """Puts them into words. After the claim's transaction: templates are people's programs. What cannot be put into
    words now is held up.
    """
    try:
        return _in_words(kept)
    except Exception as error:
        is_away = isinstance(error, UNAVAILABLE)
        obstacle = held_up.obstacle(error, "it could not be put into words", len(kept))
    if len(kept) > 1 and not is_away:
        return [task for one in kept for task in tasks_of([one])]
    return [
        Task(c.delivery, c.notification, c.type, c.address, c.adapters, "", _recipient(c, c.person), obstacle=obstacle)
        for c in kept
        if c.person is not None
    ]


def _in_words(kept: Sequence[Claimed]) -> list[Task]:
    ready = [(c, c.person) for c in kept if c.person is not None]
    wanted = [_wanted(c, person) for c, person in ready]
    contents = put_into_words(wanted)
    untracked = _templates_of_codes(kept)
    return [
        Task(
            c.delivery,
            c.notification,
            c.type,
            c.address,
            c.adapters,
            _message(c, person, one, content),
            _recipient(c, person),
            _was_dead(one),
            None if c.notification.template_id in untracked else _tracks(c, person),
            c.lists,
        )
        for (c, person), one, content in zip(ready, wanted, contents, strict=True)
    ]


def _templates_of_codes(kept: Sequence[Claimed]) -> set[UUID]:
    """Those of mandatory types, which a submission may name for a type that is tracked. Two queries for all whose
    templates are not their types' own, as long as nothing is remembered; none for the others.
    """
    tracked = [c for c in kept if c.type.tracks_opens or c.type.tracks_clicks]
    templates = load_templates({c.notification.template_id for c in tracked if c.notification.template_id})
    others = {template.key for template in templates.values()} - {c.type.key for c in tracked}
    mandatory = {type.key for type in load_types(others).values() if type.is_mandatory}
    return {id for id, template in templates.items() if template.key in mandatory}


def _tracks(claimed: Claimed, person: Person) -> Tracks | None:
    """Nothing of what carries codes, nor of people who refused."""
    type = claimed.type
    if not (type.tracks_opens or type.tracks_clicks) or not CHANNELS[claimed.delivery.channel].shape.has_html:
        return None
    if type.is_mandatory or person.preferences.do_not_track:
        return None
    return Tracks(type.tracks_opens, type.tracks_clicks)


def _was_dead(wanted: Wanted) -> bool:
    address = wanted.address
    return address is not None and (address.disabled_reason is not None or "*" in address.suppressed_for)


def _wanted(claimed: Claimed, person: Person) -> Wanted:
    delivery, notification = claimed.delivery, claimed.notification
    goes_to = _goes_to(delivery, person)
    return Wanted(
        delivery.channel,
        claimed.type,
        notification.template_id,
        person,
        notification.data or {},
        goes_to,
        notification.producer_id,
    )


def _goes_to(delivery: NamedRow, person: Person) -> AddressFacts | None:
    return next(
        (
            address
            for address in person.addresses
            if address.id == delivery.address_id and address.channel == delivery.channel
        ),
        None,
    )


def _message(claimed: Claimed, person: Person, wanted: Wanted, content: Content | str) -> Message | str:
    if isinstance(content, str):
        return content
    delivery, notification = claimed.delivery, claimed.notification
    return Message(
        delivery_id=show("dlv", delivery.id),
        notification_id=show("ntf", notification.id),
        user_id=shown_id(notification.user_id),
        try_number=delivery.tries,
        type=notification.type,
        category=notification.category,
        priority=notification.priority,
        created_at=notification.created_at,
        content=content,
        data=notification.data or {},
        unsubscribe_url=wanted.unsubscribe_url,
        collapse_key=notification.collapse_key,
        expires_at=delivery.expires_at,
        badge=claimed.badge,
        push=Push.of(notification.push, notification.priority),
        do_not_track=person.preferences.do_not_track,
    )


def _recipient(claimed: Claimed, person: Person) -> Recipient:
    address = claimed.address
    return Recipient(
        address=address.value if address else shown_id(claimed.notification.user_id),
        secret=address.secret if address else None,
        name=person.name,
        locale=person.locale,
        platform=address.platform if address else None,
        app=address.app if address else None,
    )
