"""People and their primary addresses: created, changed and erased by producers, one by one or a batch at a time.

Called by `intake.recipients` for recipients given inline, by the users' API and by the person's own pages. A user's
`email` and `phone` are its primary addresses; a changed one keeps its row, so queued messages go to the new one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.addresses import PRIMARY, digest_of
from notifier.core import lifecycle, worlds
from notifier.core.errors import Fault, Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import insert, retried, transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.ledgers import audit, caps, moves
from notifier.models import (
    Address,
    AddressCode,
    Attempt,
    Capture,
    Delivery,
    Notification,
    Schedule,
    Suppression,
    User,
)
from notifier.people import cache as people_cache
from notifier.people import quiet, staff
from notifier.signals import publish

PROFILE = ("name", "locale", "time_zone", "attributes", "home_region")  # columns of a user
FIELDS = (*PRIMARY, *PROFILE)  # of a profile, as producers give it: with the primary addresses
_users: sa.Table = User.__table__
_addresses: sa.Table = Address.__table__

BOUNCED = "*"  # the scope of a suppression that holds for everything
REVIVED_EVERY = timedelta(days=1)  # whoever repeats a profile every hour must not make a dead address bounce as often


class Upserted(NamedTuple):
    """`created`: who is new. `moved`: who was known and is reached elsewhere from now on, and by which of `email` and
    `phone`.
    """

    created: Collection[str]
    moved: Mapping[str, Collection[str]]


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
        return Upserted(frozenset(), {})
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
        if user is None or any(getattr(user, k) != v for k, v in changes.items()):
            old = {k: getattr(user, k) for k in PROFILE} if user else dict.fromkeys(PROFILE) | {"attributes": {}}
            changed[user_id] = {k for k, v in changes.items() if old[k] != v}
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
    touched, moved_fields = _set_primary(theirs, is_vouched=is_vouched, revives=revives)
    for user_id, fields in touched.items():
        changed.setdefault(user_id, set()).update(fields)
    if actors is not None:
        _tell(changed, wanted.keys() - users.keys(), actors)
    return Upserted(
        wanted.keys() - users.keys(), {user_id: fields for user_id, fields in moved_fields.items() if user_id in users}
    )


def _tell(changed: Mapping[str, Collection[str]], new: Collection[str], actors: Mapping[str, str]) -> None:
    """Names the fields, never their values: nothing can be erased from the audit trail. Changes to people of test keys
    are not recorded.
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
    _set_primary(theirs, is_vouched=False, revives=False)
    _tell(
        {user_id: [name for name, value in wanted[user_id].items() if value is not None] for user_id in created},
        created,
        actors,
    )
    return wanted.keys() - created


def _set_primary(
    wanted: Mapping[str, Mapping[str, Any]], *, is_vouched: bool, revives: bool
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Makes the given e-mails and phones the primary addresses. → whose changed in any way, and whose are others than
    before; which, by the names of the profile.
    """
    if not wanted:
        return {}, {}
    changed: dict[str, set[str]] = {}
    moved: dict[str, set[str]] = {}
    stored: dict[tuple[str, str], list[sa.Row[Any]]] = {}
    readable = [column for column in _addresses.columns if column.name not in ("value", "secret")]  # no need to decrypt
    for address in db.session.execute(
        sa.select(*readable).where(_addresses.c.user_id.in_(wanted), _addresses.c.channel.in_(PRIMARY.values()))
    ):
        stored.setdefault((address.user_id, address.channel), []).append(address)
    bounced = _bounced(wanted) if revives else set()
    demoted, removed, rows, revived, replaced = [], [], [], [], []  # replaced: their code was for the address before
    for user_id in sorted(wanted):
        for field, channel in PRIMARY.items():
            if field not in wanted[user_id]:
                continue
            known = stored.get((user_id, channel), [])
            primary = next((a for a in known if a.is_primary), None)
            value = wanted[user_id][field]
            if value is None:
                if primary is not None:
                    removed.append(primary.id)
                    changed.setdefault(user_id, set()).add(field)
                continue
            value = serving.normalise(channel, value)
            digest = digest_of(channel, value, is_test=worlds.is_of_tests(user_id))
            same = next((a for a in known if a.digest == digest), None)
            is_dead = revives and (digest in bounced or (same is not None and same.disabled_at is not None))
            is_revived = is_dead and (
                same is None or same.revived_at is None or same.revived_at <= now() - REVIVED_EVERY
            )
            if (
                same is not None
                and same is primary
                and same.verified_at
                and (same.confirmed_at or not is_vouched)
                and not is_revived
            ):
                continue  # nothing changes: the usual case on the hot path
            changed.setdefault(user_id, set()).add(field)
            if same is None or same is not primary:
                moved.setdefault(user_id, set()).add(field)
            if same is not None and primary is not None and same is not primary:
                demoted.append(primary.id)
            if same is None and primary is not None:
                replaced.append(primary.id)
            row = _row(user_id, channel, value, digest, same or primary, is_vouched=is_vouched)
            rows.append(
                row | ({"disabled_at": None, "disabled_reason": None, "revived_at": now()} if is_revived else {})
            )
            revived += [digest] if is_revived else []
    if removed:
        db.session.execute(sa.delete(Address).where(Address.id.in_(removed)))
    if demoted:
        db.session.execute(sa.update(Address).where(Address.id.in_(demoted)).values(is_primary=False))
    if revived:
        forget_bounces(revived)
    if replaced:
        db.session.execute(sa.delete(AddressCode).where(AddressCode.address_id.in_(replaced)))
    if rows:
        statement = insert(_addresses)
        written = (
            "value",
            "digest",
            "masked",
            "is_primary",
            "verified_at",
            "confirmed_at",
            "disabled_at",
            "disabled_reason",
            "revived_at",
        )
        db.session.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={k: statement.excluded[k] for k in written}),
            rows,
        )
    return changed, moved


def _bounced(wanted: Mapping[str, Mapping[str, Any]]) -> set[bytes]:
    """The digests of the given addresses that have bounced, for any person."""
    given = [
        (channel, changes[field], user_id)
        for user_id, changes in wanted.items()
        for field, channel in PRIMARY.items()
        if changes.get(field)
    ]
    digests = [
        digest_of(channel, serving.normalise(channel, value), is_test=worlds.is_of_tests(user_id))
        for channel, value, user_id in given
    ]
    return {
        bytes(digest)
        for digest in db.session.scalars(
            sa.select(Suppression.digest).where(Suppression.digest.in_(digests), Suppression.scope == BOUNCED)
        )
    }


def forget_bounces(digests: Iterable[bytes]) -> None:
    """Given again on purpose, or reached again: what it bounced with is forgotten. Complaints are kept by category, and
    stay.
    """
    db.session.execute(
        sa.delete(Suppression).where(Suppression.digest.in_(sorted(digests)), Suppression.scope == BOUNCED)
    )


def _row(
    user_id: str, channel: str, value: str, digest: bytes, kept: sa.Row[Any] | None, *, is_vouched: bool
) -> dict[str, Any]:
    same = kept is not None and kept.digest == digest
    return {
        "id": kept.id if kept else new_id(),
        "user_id": user_id,
        "channel": channel,
        "value": value,
        "digest": digest,
        "masked": serving.mask(channel, value),
        "secret": None,
        "label": kept.label if kept else None,
        "is_primary": True,
        "verified_at": now(),  # what a producer gives counts as verified
        "confirmed_at": (kept.confirmed_at if kept and same else None) or (now() if is_vouched else None),
        "disabled_at": kept.disabled_at if kept and same else None,
        "disabled_reason": kept.disabled_reason if kept and same else None,
        "revived_at": kept.revived_at if kept and same else None,
        "created_at": kept.created_at if kept else now(),
    }


@retried
def end_tokens(user_id: str) -> bool:
    """Ends the person's user tokens and preference links, wherever they are. False for nobody."""
    with transaction() as session:
        statement = sa.update(_users).where(_users.c.id == user_id).values(token_version=_users.c.token_version + 1)
        found = session.execute(statement.returning(_users.c.id)).first() is not None
        people_cache.changing([user_id] if found else [], is_consent=False)
        if found and not worlds.is_of_tests(user_id):
            audit.write("person.tokens_ended", user_id)
    return found


@retried
def erase(user_id: str) -> bool:
    """Removes the person: profile, addresses, preferences, inbox. Counts and ids of sent messages stay, their content
    does not.

    It locks rows that other code locks in other orders, and so may lose a deadlock.

    Raises Rejected('conflict') for somebody who runs this installation: their sign-in would go with the user, and any
    producer's key could lock everybody out.
    """
    with transaction() as session:
        if staff.among([user_id]):
            raise Rejected("conflict", f"{user_id!r} has a role in the console; take that role away first")
        # From here on nothing new can be stored that refers to them
        user = session.get(User, user_id, with_for_update=True)
        if user is None:
            return False
        people_cache.changing([user_id], is_consent=True)
        if not worlds.is_of_tests(user_id):
            audit.write("person.erased", user_id)
        _erase_content(user_id)
        # Preference, consent, inbox and account rows go with the user by their foreign keys.
        session.execute(sa.delete(User).where(User.id == user_id))
    caps.forget(user_id)
    publish.forget(user_id)
    return True


def _erase_content(user_id: str) -> None:
    mine = sa.select(Notification.id).where(Notification.user_id == user_id)
    deliveries = sa.select(Delivery.id).where(Delivery.notification_id.in_(mine))
    db.session.execute(sa.delete(Capture).where(Capture.user_id == user_id))
    db.session.execute(sa.update(Attempt).where(Attempt.delivery_id.in_(deliveries)).values(message=None))
    moves.move(Delivery.notification_id.in_(mine), lifecycle.CANCELLED, reason="user_erased", wake_at=None)
    db.session.execute(sa.update(Delivery).where(Delivery.notification_id.in_(mine)).values(address_masked=None))
    db.session.execute(sa.update(Notification).where(Notification.user_id == user_id).values(data=None, given=None))
    _erase_from_schedules(user_id)


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


def known_ids(ids: Iterable[str]) -> set[str]:
    return set(db.session.scalars(sa.select(User.id).where(User.id.in_(set(ids)))))
