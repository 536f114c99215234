"""A person's primary addresses: the `email` and `phone` of their profile, as producers give them.

Called by `people.profiles`, with a batch at a time. A changed address keeps its row, so queued messages go to the new
one.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from notifier.channels import serving
from notifier.channels.addresses import PRIMARY, digest_of
from notifier.core import worlds
from notifier.ground.clock import now
from notifier.ground.database import insert
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import Address, AddressCode
from notifier.people import redigesting
from notifier.people.suppressions import bounced_among, forget_bounces

REVIVED_EVERY = timedelta(days=1)  # whoever repeats a profile every hour must not make a dead address bounce as often
_addresses: sa.Table = Address.__table__


def replace(
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
    demoted, removed, rows, revived, replaced, written_digests = (
        [],
        [],
        [],
        [],
        [],
        [],
    )  # replaced: their code was for the address before
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
            same = next((a for a in known if vault.newest(a.digest) == vault.newest(digest)), None)
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
            written_digests.append(digest)
            revived += [digest] if is_revived else []
    redigesting.settle(written_digests)
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
    return bounced_among(digests)


def _row(
    user_id: str, channel: str, value: str, digest: bytes, kept: sa.Row[Any] | None, *, is_vouched: bool
) -> dict[str, Any]:
    same = kept is not None and vault.newest(kept.digest) == vault.newest(digest)
    return {
        "id": kept.id if kept else new_id(),
        "user_id": user_id,
        "channel": channel,
        "value": value,
        "digest": vault.newest(digest),
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
