"""Certificates of erasures: what was erased, by class and count, and what is kept in a form that nobody can read.

Called by `people.profiles` in the transaction that erases, and by those who ask later what became of somebody. Nothing
here names the person: they are found by the keyed digest of their id.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from notifier.core.facts import UNSUBSCRIBED
from notifier.core.preferences import COMPLAINED_OF, EVERY_CHANNEL
from notifier.ground.clock import now
from notifier.ground.database import insert
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.ground.shapes import timestamp
from notifier.ledgers import audit
from notifier.models import (
    Account,
    AccountSession,
    Address,
    Attempt,
    AuditEntry,
    Capture,
    ConsentEvent,
    Delivery,
    Erasure,
    Event,
    InboxItem,
    Notification,
    Preference,
    Receipt,
    Suppression,
    UploadMember,
)
from notifier.people import redigesting

KIND = "era"
_MOST = 200  # shown at once


def begin(user_id: str) -> Erasure:
    """Counts what is about to be erased, keeps the addresses that want no advertising suppressed, and takes the person
    out of the audit trail. Before anything is erased, in the same transaction; a constant number of statements.
    """
    erasure = Erasure(
        person=vault.newest(_digest(user_id)), actor=audit.actor()[:200], at=now(), erased=_counts(user_id), kept={}
    )
    db.session.add(erasure)
    db.session.flush()
    erasure.ledger = _ledger(user_id)
    addresses = db.session.execute(sa.select(Address.channel, Address.digest).where(Address.user_id == user_id)).all()
    _keep_silent(user_id, [(row.channel, bytes(row.digest)) for row in addresses])
    digests = [row.digest for row in addresses]
    suppressed = sa.select(sa.func.count()).select_from(Suppression).where(Suppression.digest.in_(digests))
    erasure.kept = {
        "notifications_counted": erasure.erased["notifications"],
        "suppressions_by_digest": db.session.scalar(suppressed) or 0,
    }
    erasure.erased = {**erasure.erased, "audit_lines": _leave_the_trail(user_id, erasure.shown_id)}
    return erasure


def _digest(user_id: str) -> bytes:
    return vault.digest(f"erased\0{user_id}")


def _counts(user_id: str) -> dict[str, int]:
    """Of what is erased with them, by class. One statement."""
    mine = sa.select(Notification.id).where(Notification.user_id == user_id)
    deliveries = sa.select(Delivery.id).where(Delivery.notification_id.in_(mine))
    accounts = sa.select(Account.id).where(Account.user_id == user_id)
    of_whom: Mapping[str, sa.ColumnElement[bool]] = {
        "addresses": Address.user_id == user_id,
        "preferences": Preference.user_id == user_id,
        "consent_lines": ConsentEvent.user_id == user_id,
        "notifications": Notification.user_id == user_id,
        "deliveries": Delivery.notification_id.in_(mine),
        "attempts": Attempt.delivery_id.in_(deliveries),
        "receipts": Receipt.delivery_id.in_(deliveries),
        "captures": Capture.user_id == user_id,
        "inbox_items": InboxItem.user_id == user_id,
        "events": Event.user_id == user_id,
        "uploads": UploadMember.user_id == user_id,
        "accounts": Account.user_id == user_id,
        "sessions": AccountSession.account_id.in_(accounts),
    }
    counts = [sa.select(sa.func.count()).where(which).scalar_subquery().label(name) for name, which in of_whom.items()]
    return dict(db.session.execute(sa.select(*counts)).one()._mapping)


def _ledger(user_id: str) -> bytes | None:
    """The keyed digest of their consent history as an export shows it: the time, choice and values of each line."""
    lines = db.session.scalars(
        sa.select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.id)
    ).all()
    if not lines:
        return None
    told = [[timestamp(row.at), row.source, *(row.change[name] for name in ("choice", "from", "to"))] for row in lines]
    return vault.newest(vault.digest(f"ledger\0{json.dumps(told)}"))


def _keep_silent(user_id: str, addresses: Sequence[tuple[str, bytes]]) -> None:
    """Where they have switched advertising off, their addresses want none, whoever gives them again."""
    document = db.session.scalar(sa.select(Preference.document).where(Preference.user_id == user_id)) or {}
    rows = [
        {"digest": vault.newest(digest), "scope": category, "channel": channel}
        | {"reason": UNSUBSCRIBED, "created_at": now()}
        for channel, digest in sorted(addresses)
        for category in COMPLAINED_OF
        if _is_off(document, category, channel)
    ]
    if rows:
        redigesting.settle(digest for _, digest in addresses)
        db.session.execute(insert(Suppression.__table__).on_conflict_do_nothing(), rows)


def _is_off(document: Mapping[str, Any], category: str, channel: str) -> bool:
    by_channel = document.get("categories", {}).get(category, {})
    chosen = by_channel.get(channel, by_channel.get(EVERY_CHANNEL))
    return (document.get("channels", {}).get(channel) if chosen is None else chosen) is False


def _leave_the_trail(user_id: str, name: str) -> int:
    """Replaces them in what others have done to them; → in how many lines. What they did as somebody with a role in the
    console stays theirs.

    An id may be any name, and who gives it chooses it: lines about channels, templates or accounts of that name are
    none about the person.
    """
    email = db.session.scalar(sa.select(Account.email).where(Account.user_id == user_id))
    # The trail lets no name change twice, and takes one like an erasure's for a changed one (SQLite: in any case)
    is_fixed = sa.func.lower(sa.func.substr(AuditEntry.subject, 1, 4)) == f"{KIND}_"
    theirs = sa.and_(audit.about_person(user_id, email), ~is_fixed)
    values = {"subject": name, "after": sa.case((AuditEntry.action == "account.created", None), else_=AuditEntry.after)}
    changed = sa.update(AuditEntry).where(theirs).values(values).execution_options(synchronize_session=False)
    return db.session.execute(changed).rowcount  # type: ignore[attr-defined, no-any-return]


# ---- asked for later ------------------------------------------------------------------------------------------------


def of_person(user_id: str) -> list[dict[str, Any]]:
    """The certificates of all who have had this id, newest first."""
    return _shown(sa.select(Erasure).where(Erasure.person.in_(vault.forms(_digest(user_id)))))


def newest() -> list[dict[str, Any]]:
    return _shown(sa.select(Erasure))


def one(shown: str) -> list[dict[str, Any]]:
    """The certificate with this id, if there is one."""
    key = parse(KIND, shown)
    return _shown(sa.select(Erasure).where(Erasure.id == key)) if key else []


def _shown(statement: "sa.Select[Erasure]") -> list[dict[str, Any]]:
    rows = db.session.scalars(statement.order_by(Erasure.id.desc()).limit(_MOST))
    return [
        {
            "id": row.shown_id,
            "at": timestamp(row.at),
            "by": row.actor,
            "erased": row.erased,
            "kept": row.kept,
            "consent_digest": row.ledger.hex() if row.ledger else None,
        }
        for row in rows
    ]
