"""People as planning needs them: name, zone, addresses and preferences, for a whole batch in a constant number of
queries.

Preferences come from `people.cache` where that is cheaper.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.addresses import PRIMARY, digest_of
from notifier.core.facts import AddressFacts
from notifier.core.preferences import NO_CHOICES, Preferences, from_document
from notifier.core.record import record
from notifier.core.submission import InlineRecipient
from notifier.core.worlds import is_of_tests
from notifier.ground.clock import now
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.tokens import NOBODY, Subject
from notifier.ground.zones import UTC, zone_of
from notifier.models import Address, Preference, Suppression, User
from notifier.people import cache as people_cache
from notifier.people.suppressions import BOUNCED

TRIED_AGAIN_AFTER = timedelta(days=1)  # a mandatory type tries a dead address


Given = Mapping[str, Any]  # fields of a profile that hold for one notification alone


GIVEN = ("name", *PRIMARY, "locale", "time_zone")  # the fields that may be given so


# Made once: building a statement takes as long as running it. The people's ids come as `ids`. Of tables, not entities:
# the ORM would take as long again for the rows, which only are read here.
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
_user, _preference = User.__table__.c, Preference.__table__.c
_address, _suppression = Address.__table__.c, Suppression.__table__.c

_PROFILE = ("name", "locale", "time_zone", "generation", "token_version")
_PROFILES = (
    sa.select(_user.id, *(_user[name] for name in _PROFILE), _preference.document)
    .select_from(User.__table__.outerjoin(Preference.__table__, _preference.user_id == _user.id))
    .where(_user.id.in_(_IDS))
)

_ADDRESSES = (
    sa.select(
        *(_address.id, _address.user_id, _address.channel, _address.masked, _address.digest, _address.is_primary),
        *(_address.verified_at.is_not(None), _address.confirmed_at.is_not(None)),
        *(_address.disabled_at, _address.disabled_reason, _address.platform),
        *(_suppression.scope, _suppression.created_at),
    )
    .select_from(Address.__table__.outerjoin(Suppression.__table__, _suppression.digest == _address.digest))
    .where(_address.user_id.in_(_IDS))
)


@record
class Person:
    """A user's own facts, apart from any notification. `has_chosen_zone`: they chose the zone themselves, whatever
    producers say.
    """

    subject: Subject
    name: str | None
    locale: str | None
    zone: ZoneInfo
    preferences: Preferences
    addresses: tuple[AddressFacts, ...]
    reading_zone: ZoneInfo | None = (
        None  # given with one notification: its times are in it; days and nights stay the person's own
    )
    has_chosen_zone: bool = False
    redirected: tuple[
        AddressFacts, ...
    ] = ()  # those that came with one notification and are not the person's main ones

    @property
    def id(self) -> str:
        return self.subject.user_id


@dataclass(frozen=True, slots=True)
class GivenAddress:
    """Stands where an address's row would, for one that came with the notification. `digest`: as `digest_of` gives
    it, while that of a row is what is stored.
    """

    channel: str
    value: str
    digest: bytes
    id: None = None
    secret: None = None
    platform: None = None
    app: None = None
    created_at: None = None


def load_people(ids: Iterable[str]) -> dict[str, Person]:
    """The people among `ids` that exist. Two queries."""
    wanted = set(ids)
    return _people(_read_profiles(wanted)) if wanted else {}


def recall_people(ids: Iterable[str]) -> dict[str, Person]:
    """As `load_people`, by the cache where there is one.
    For planning only: what is about to be sent asks the database.
    """
    return _people(people_cache.recall(set(ids), _read_profiles))


def load_readers(ids: Iterable[str]) -> dict[str, Person]:
    """As `load_people`, without addresses and preferences: the facts that rendering needs. One query."""
    wanted = set(ids)
    return _people(_read_profiles(wanted), are_readers=True) if wanted else {}


def recall_readers(ids: Iterable[str]) -> dict[str, Person]:
    """As `load_readers`, by the cache where there is one."""
    return _people(people_cache.recall(set(ids), _read_profiles), are_readers=True)


def as_reader(recipient: InlineRecipient, person: Person | None, *, may_change: bool) -> Person | None:
    """The reader with the values that a submission gives, before these are stored. None: nobody has this id."""
    changes = recipient.changes
    if not changes:
        return person
    if person is not None and not may_change:
        return reader_as_given(person, changes)
    known = person or Person(Subject(recipient.id, *NOBODY[1:]), None, None, UTC, NO_CHOICES, ())
    zone = zone_of(changes["time_zone"]) if "time_zone" in changes and not known.has_chosen_zone else known.zone
    return replace(known, name=changes.get("name", known.name), locale=changes.get("locale", known.locale), zone=zone)


def reader_as_given(person: Person, given: Given | None) -> Person:
    """As `as_given`, with the facts that rendering needs: without the addresses."""
    return _as_given(person, given, (), {}) if given else person


def _people(profiles: Mapping[str, Mapping[str, Any]], *, are_readers: bool = False) -> dict[str, Person]:
    addresses = _load_addresses(profiles) if profiles and not are_readers else {}
    return {
        user_id: Person(
            subject=Subject(user_id, profile["generation"], profile["token_version"]),
            name=profile["name"],
            locale=profile["locale"],
            zone=zone_of(profile["choices"].get("time_zone") or profile["time_zone"]),
            preferences=from_document(profile["choices"]) if profile["choices"] and not are_readers else NO_CHOICES,
            addresses=addresses.get(user_id, ()),
            has_chosen_zone=bool(profile["choices"].get("time_zone")),
        )
        for user_id, profile in profiles.items()
    }


def _read_profiles(ids: Collection[str]) -> dict[str, dict[str, Any]]:
    return {
        user_id: {**dict(zip(_PROFILE, profile, strict=True)), "choices": choices or {}}
        for user_id, *profile, choices in db.session.execute(_PROFILES, {"ids": list(ids)}).all()
    }


def _load_addresses(user_ids: Collection[str]) -> dict[str, tuple[AddressFacts, ...]]:
    rows: dict[UUID, Any] = {}
    suppressed: dict[UUID, set[str]] = {}
    dead_since: dict[UUID, datetime] = {}
    # One for each suppression of the address, or one alone
    for *row, disabled_at, disabled_reason, platform, scope, suppressed_at in db.session.execute(
        _ADDRESSES, {"ids": list(user_ids)}
    ).all():
        key = row[0]
        rows[key] = *row, disabled_reason, platform
        if scope is not None:
            suppressed.setdefault(key, set()).add(scope)
        died = [at for at in (disabled_at, suppressed_at if scope == BOUNCED else None) if at]
        if died:
            dead_since[key] = max([*died, dead_since.get(key, died[0])])
    tried_again = now() - TRIED_AGAIN_AFTER
    found: dict[str, list[AddressFacts]] = {}
    for row in rows.values():
        key, user_id, of, masked, digest, is_primary, is_verified, is_confirmed, disabled_reason, platform = row
        for channel in _used_by(of):
            found.setdefault(user_id, []).append(
                AddressFacts(
                    id=key,
                    channel=channel,
                    masked=masked,
                    is_primary=is_primary,
                    is_verified=is_verified,
                    disabled_reason=disabled_reason,
                    suppressed_for=frozenset(suppressed.get(key, ())),
                    is_confirmed=is_confirmed,
                    digest=digest,
                    is_due_again=key in dead_since and dead_since[key] <= tried_again,
                    platform=platform,
                )
            )
    return {user_id: tuple(addresses) for user_id, addresses in found.items()}


def as_given(pairs: Sequence[tuple[Person, Given | None]]) -> list[Person]:
    """The people as one notification each sees them: values given with it come before stored ones. At most
    one query.
    """
    found = {index: given_addresses(given, person.id) for index, (person, given) in enumerate(pairs) if given}
    given_digests = {address.digest for addresses in found.values() for address in addresses}
    digests = {form: digest for digest in given_digests for form in vault.forms(digest)}
    suppressed: dict[bytes, set[str]] = {}
    if digests:
        for row in db.session.execute(
            sa.select(Suppression.digest, Suppression.scope).where(Suppression.digest.in_(digests))
        ):
            suppressed.setdefault(digests[bytes(row.digest)], set()).add(row.scope)
    return [
        _as_given(person, given, found[index], suppressed) if given else person
        for index, (person, given) in enumerate(pairs)
    ]


def _as_given(
    person: Person, given: Given, addresses: Sequence[GivenAddress], suppressed: Mapping[bytes, set[str]]
) -> Person:
    replaced = {name for field, channel in PRIMARY.items() if field in given for name in _used_by(channel)}
    kept = [address for address in person.addresses if address.channel not in replaced]
    new = [
        AddressFacts(
            id=None,
            channel=name,
            masked=serving.mask(address.channel, address.value),
            is_primary=True,
            suppressed_for=frozenset(suppressed.get(address.digest, ())),
            digest=address.digest,
        )
        for address in addresses
        for name in _used_by(address.channel)
    ]
    own = {(address.channel, vault.newest(address.digest)) for address in person.addresses if address.is_primary}
    return replace(
        person,
        name=given.get("name", person.name),
        locale=given.get("locale", person.locale),
        addresses=(*kept, *new),
        redirected=tuple(address for address in new if (address.channel, vault.newest(address.digest)) not in own),
        reading_zone=zone_of(given["time_zone"]) if given.get("time_zone") else None,
    )


def given_addresses(given: Given, user_id: str) -> list[GivenAddress]:
    """The addresses among the values that came with a notification."""
    found = []
    for field, channel in PRIMARY.items():
        if given.get(field) is not None:
            value = serving.normalise(channel, given[field])
            found.append(GivenAddress(channel, value, digest_of(channel, value, is_test=is_of_tests(user_id))))
    return found


def given_address(given: Given | None, user_id: str, channel: str) -> GivenAddress | None:
    """The one a delivery on that channel goes to, if one came with the notification."""
    return next(
        (address for address in given_addresses(given or {}, user_id) if channel in _used_by(address.channel)), None
    )


def channels_of(fields: Iterable[str]) -> set[str]:
    """The channels that these primary addresses serve: `phone` → sms, and the channels that borrow its addresses."""
    return {channel for field in fields for channel in _used_by(PRIMARY[field])}


def _used_by(channel: str) -> tuple[str, ...]:
    """The channels that addresses of `channel` serve: a phone can be called, too."""
    return (channel, *serving.BORROWERS.get(channel, ()))
