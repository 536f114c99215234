"""People, as producers create, change and erase them, one by one or a batch at a time.

Called by `intake.recipients` for recipients given inline, by the users' API and by the person's own pages.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.addresses import PRIMARY
from notifier.core import lifecycle, worlds
from notifier.core.errors import Fault, Rejected
from notifier.core.json_values import is_same
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import insert, retried, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit, caps, events, moves
from notifier.models import (
    Attempt,
    BulkAction,
    Capture,
    Delivery,
    Notification,
    Receipt,
    Schedule,
    Upload,
    User,
)
from notifier.people import cache as people_cache
from notifier.people import erasures, primary_addresses, quiet, staff
from notifier.signals import publish

PROFILE = ("name", "locale", "time_zone", "attributes", "home_region")  # columns of a user
FIELDS = (*PRIMARY, *PROFILE)  # of a profile, as producers give it: with the primary addresses
_users: sa.Table = User.__table__


class Upserted(NamedTuple):
    """`created`: who is new. `moved`: who was known and is reached elsewhere from now on, and by which of `email` and
    `phone`. `changed`: who was known and is not as before.
    """

    created: Collection[str]
    moved: Mapping[str, Collection[str]]
    changed: Collection[str]


def check(changes: Mapping[str, Any], pointer: str = "") -> list[Fault]:
    """The faults of a profile's addresses. The doors check the shapes of the other fields."""
    faults = []
    for field, channel in PRIMARY.items():
        value = changes.get(field)
        if value is not None:
            try:
                serving.normalise(channel, value)
            except ValueError as error:
                faults.append(Fault(f"{pointer}/{field}", f"invalid_{field}", str(error)))
    return faults


def upsert(
    recipients: Sequence[InlineRecipient],
    *,
    is_vouched: bool = False,
    revives: bool = False,
    actors: Mapping[str, str] | None = None,
) -> Upserted:
    """Creates missing users and applies the given changes; None clears a field. Inside the caller's transaction.

    Changes are recorded in the audit trail, if `actors` says who changes whom.

    `is_vouched`: the caller may say that these addresses are the people's own (`Address.confirmed_at`). `revives`: a
    bounced address is given again on purpose, not along with a message.

    Writes nothing if nothing changes. A constant number of statements, whatever the number of people.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for recipient in recipients:
        wanted.setdefault(recipient.id, {}).update(recipient.changes)
    if not wanted:
        return Upserted(frozenset(), {}, frozenset())
    at = now()
    # Held against other changes only (FOR NO KEY UPDATE): whoever refers to these people by foreign key need not wait.
    statement = (
        sa.select(*_users.columns).where(_users.c.id.in_(wanted)).order_by(_users.c.id).with_for_update(key_share=True)
    )
    users = {user.id: user for user in db.session.execute(statement)}
    rows = []
    changed: dict[str, set[str]] = {}
    for user_id in sorted(wanted):
        user, changes = users.get(user_id), {k: v for k, v in wanted[user_id].items() if k in PROFILE}
        changes = {k: (v or {}) if k == "attributes" else v for k, v in changes.items()}
        if user is None or not all(is_same(getattr(user, k), v) for k, v in changes.items()):
            old = {k: getattr(user, k) for k in PROFILE} if user else dict.fromkeys(PROFILE) | {"attributes": {}}
            changed[user_id] = {k for k, v in changes.items() if not is_same(old[k], v)}
            rows.append(
                {"id": user_id, **old, **changes, "created_at": user.created_at if user else at, "updated_at": at}
            )
    if rows:
        people_cache.changing((row["id"] for row in rows if row["id"] in users), is_consent=False)
        statement = insert(_users)
        db.session.execute(
            statement.on_conflict_do_update(
                index_elements=["id"], set_={k: statement.excluded[k] for k in (*PROFILE, "updated_at")}
            ),
            rows,
        )
    moved = [row["id"] for row in rows if row["id"] in users and row["time_zone"] != users[row["id"]].time_zone]
    if moved:  # it may be day there
        quiet.wake(moved)
    theirs = {user_id: changes for user_id, changes in wanted.items() if changes.keys() & PRIMARY.keys()}
    touched, moved_fields = primary_addresses.replace(theirs, is_vouched=is_vouched, revives=revives)
    for user_id, fields in touched.items():
        changed.setdefault(user_id, set()).update(fields)
    if actors is not None:
        _tell(changed, wanted.keys() - users.keys(), actors)
    return Upserted(
        wanted.keys() - users.keys(),
        {user_id: fields for user_id, fields in moved_fields.items() if user_id in users},
        changed.keys() & users.keys(),
    )


def _tell(changed: Mapping[str, Collection[str]], new: Collection[str], actors: Mapping[str, str]) -> None:
    """Names the fields, never their values: of the audit trail, nothing but the id can be erased. Changes to people of
    test keys are not recorded.
    """
    audit.write_each(
        audit.Entry(
            "person.created" if user_id in new else "person.changed",
            user_id,
            {"fields": sorted(fields)},
            actors.get(user_id),
        )
        for user_id, fields in sorted(changed.items())
        if not worlds.is_of_tests(user_id)
    )


def create(recipients: Sequence[InlineRecipient], *, actors: Mapping[str, str]) -> set[str]:
    """Creates people who were unknown a moment ago, and changes nobody. Inside the caller's transaction. → whom
    somebody else has created meanwhile.
    """
    if not recipients:
        return set()
    at = now()
    wanted = {recipient.id: recipient.changes for recipient in recipients}
    rows = [
        {
            "id": user_id,
            **{name: wanted[user_id].get(name) for name in PROFILE},
            "attributes": wanted[user_id].get("attributes") or {},
            "created_at": at,
            "updated_at": at,
        }
        for user_id in sorted(wanted)
    ]
    created = set(db.session.scalars(insert(_users).on_conflict_do_nothing().returning(_users.c.id), rows))
    theirs = {
        user_id: changes
        for user_id, changes in wanted.items()
        if user_id in created and changes.keys() & PRIMARY.keys()
    }
    primary_addresses.replace(theirs, is_vouched=False, revives=False)
    _tell(
        {user_id: [name for name, value in wanted[user_id].items() if value is not None] for user_id in created},
        created,
        actors,
    )
    return wanted.keys() - created


@retried
def end_tokens(user_id: str) -> bool:
    """Ends the person's user tokens and preference links, wherever they are. False for nobody."""
    with transaction():
        found = let_tokens_end(user_id)
        if found and not worlds.is_of_tests(user_id):
            audit.write("person.tokens_ended", user_id)
    return found


def let_tokens_end(user_id: str) -> bool:
    """The same inside the caller's transaction: of a person who gets a role in the console, whose alerts a token made
    before could archive or mute.
    """
    statement = sa.update(_users).where(_users.c.id == user_id).values(token_version=_users.c.token_version + 1)
    found = db.session.execute(statement.returning(_users.c.id)).first() is not None
    people_cache.changing([user_id] if found else [], is_consent=False)
    return found


@retried
def erase(user_id: str) -> str | None:
    """Removes the person: profile, addresses, preferences, inbox. Counts and ids of sent messages stay, their content
    does not. → the id of the certificate (empty for people of test keys); None for nobody.

    It locks rows that other code locks in other orders, and so may lose a deadlock.

    Raises Rejected('conflict') for somebody who runs this installation: their sign-in would go with the user, and any
    producer's key could lock everybody out.
    """
    with transaction() as session:
        if staff.among([user_id]):
            raise Rejected("conflict", f"{user_id!r} has a role in the console; take that role away first")
        _keep_out_of_uploads(user_id)
        # From here on nothing new can be stored that refers to them
        user = session.get(User, user_id, with_for_update=True)
        if user is None:
            return None
        people_cache.changing([user_id], is_consent=True)
        certificate = ""
        if not worlds.is_of_tests(user_id):
            certificate = erasures.begin(user_id).shown_id
            audit.write("person.erased", certificate)
        _erase_content(user_id, certificate)
        # Preference, consent, inbox and account rows go with the user by their foreign keys.
        session.execute(sa.delete(User).where(User.id == user_id))
    caps.forget(user_id)
    publish.forget(user_id)
    return certificate


def _erase_content(user_id: str, certificate: str) -> None:
    mine = sa.select(Notification.id).where(Notification.user_id == user_id)
    deliveries = sa.select(Delivery.id).where(Delivery.notification_id.in_(mine))
    db.session.execute(sa.delete(Capture).where(Capture.user_id == user_id))
    db.session.execute(sa.update(Attempt).where(Attempt.delivery_id.in_(deliveries)).values(message=None))
    # That something was opened stays, as a figure
    db.session.execute(sa.update(Receipt).where(Receipt.delivery_id.in_(deliveries)).values(detail={}, digest=None))
    moves.move(Delivery.notification_id.in_(mine), lifecycle.CANCELLED, reason="user_erased", wake_at=None)
    db.session.execute(
        sa.update(Delivery).where(Delivery.notification_id.in_(mine)).values(address_masked=None, links=None)
    )
    db.session.execute(sa.update(Notification).where(Notification.user_id == user_id).values(data=None, given=None))
    events.forget(user_id)
    _erase_from_schedules(user_id)
    for action in db.session.scalars(sa.select(BulkAction).where(BulkAction.filter["user"].as_string() == user_id)):
        action.filter = {**action.filter, "user": certificate}


def _erase_from_schedules(user_id: str) -> None:
    """Removes the person's data from schedules, whose next run would otherwise create the person again. The id stays:
    the run leaves it out, and says so.

    Schedules are few, and encrypted: all are read.
    """
    for schedule in db.session.scalars(sa.select(Schedule)):
        recipients = [
            {**one, "changes": {}} if worlds.stored_id(one["id"], is_test=schedule.is_test) == user_id else one
            for one in schedule.body["recipients"]
        ]
        if recipients != schedule.body["recipients"]:
            schedule.body = {**schedule.body, "recipients": recipients}


def _keep_out_of_uploads(user_id: str) -> None:
    """Uploads that are still being read may name the person, and would create them again. They are locked before the
    person is, as their readers do it.
    """
    of_that_world = Upload.is_test.is_(worlds.is_of_tests(user_id))
    unread = sa.select(Upload).where(Upload.status != "finished", of_that_world).order_by(Upload.id).with_for_update()
    for upload in db.session.scalars(unread.execution_options(populate_existing=True)):
        upload.erased = [*(upload.erased or ()), user_id]
    db.session.flush()


def known_ids(ids: Iterable[str]) -> set[str]:
    return set(db.session.scalars(sa.select(User.id).where(User.id.in_(set(ids)))))
