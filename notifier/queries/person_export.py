"""Everything that is stored about a person, as one document: API.md, Users; docs/data.md says what stands where in it.

`FORMAT` names its version: fields are added within one, and a new one begins when a field goes or means something else.
A constant number of queries for each page of notifications.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from notifier.ground import shapes
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.ledgers import audit
from notifier.models import (
    Account,
    AccountSession,
    Address,
    Attempt,
    AuditEntry,
    Capture,
    ChannelScore,
    ConsentEvent,
    ConsentText,
    Delivery,
    Digest,
    Event,
    Experiment,
    ExperimentPerson,
    InboxItem,
    Notification,
    OpenIdIdentity,
    Passkey,
    Producer,
    Receipt,
    Suppression,
    Upload,
    UploadMember,
)
from notifier.models.producer import label_of
from notifier.models.user import CONSOLE
from notifier.queries import preferences, shown_events, users
from notifier.queries.captures import capture_json
from notifier.queries.notifications import Sight
from notifier.queries.types import internal_keys

FORMAT = "notifier-person/2"
PAGE = 500  # notifications, items or captures in memory at a time
EVENTS = 5_000

_Page = list[dict[str, Any]]


def export(user_id: str, sight: Sight) -> dict[str, Any]:
    """The document as a whole, in memory. Raises Rejected('not_found')."""
    return {
        name: [one for page in value for one in page] if isinstance(value, Iterator) else value
        for name, value in _parts(user_id, sight)
    }


def written(user_id: str, sight: Sight, dumps: Callable[[Any], str]) -> Iterator[str]:
    """The document as JSON, a piece at a time: however much is stored of somebody, no more than a page of it is in
    memory, and nothing is left out. No transaction is open while a piece is on its way. Raises Rejected('not_found')
    before the first piece; what is erased meanwhile is missing in those that follow.
    """
    parts = _parts(user_id, sight)
    first = next(parts)
    return _written(itertools.chain((first,), parts), dumps)


def _written(parts: Iterable[tuple[str, Any]], dumps: Callable[[Any], str]) -> Iterator[str]:
    for piece in _pieces(parts, dumps):
        db.session.close()
        yield piece


def _pieces(parts: Iterable[tuple[str, Any]], dumps: Callable[[Any], str]) -> Iterator[str]:
    start = "{"
    for name, value in parts:
        if isinstance(value, Iterator):
            yield f"{start}{dumps(name)}:["
            between = ""
            for page in value:
                yield between + ",".join(map(dumps, page))
                between = ","
            yield "]"
        else:
            yield f"{start}{dumps(name)}:{dumps(value)}"
        start = ","
    yield "}"


def _parts(user_id: str, sight: Sight) -> Iterator[tuple[str, Any]]:
    """The fields of the document; of what there may be much: pages, none of them empty.

    As everywhere, only notifications in the caller's sight and what belongs to them: their data contain codes and
    links. What belongs to no producer is in the export for those who see everything.
    """
    user = users.profile(user_id)
    before = {
        "format": FORMAT,
        "exported_at": shapes.timestamp(now()),
        "user": user,
        "addresses": _addresses(user_id, sight),
        "preferences": preferences.choices(user_id),
        **_consent(user_id, sight),
    }
    yield from before.items()
    yield "notifications", _notifications(user_id, sight)
    yield "inbox", _inbox(user_id, sight)
    yield "events", _events(user_id, sight)
    yield "captures", _captures(user_id, sight)
    after = {"uploads": _uploads(user_id, sight), **(_of_nobody(user_id) if sight.producer_id is None else {})}
    yield from after.items()


def _addresses(user_id: str, sight: Sight) -> list[dict[str, Any]]:
    """With what holds each of them back."""
    rows = db.session.execute(
        sa.select(Address.id, Suppression.scope, Suppression.reason, Suppression.provider, Suppression.created_at)
        .join(Suppression, Suppression.digest == Address.digest)
        .where(Address.user_id == user_id)
        .order_by(Suppression.created_at, Suppression.scope)
    )
    held: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        hold = {"scope": row.scope, "reason": row.reason, "provider": row.provider, "since": _time(row.created_at)}
        held.setdefault(show(users.ADDRESS, row.id), []).append(hold)
    found = users.addresses(user_id, sight.producer_id)
    return [{**address, "held_back": held.get(address["id"], [])} for address in found]


def _consent(user_id: str, sight: Sight) -> dict[str, Any]:
    """The lines, newest first, and the words they name. From which network address, and by which keys of others, is for
    those who see everything.
    """
    own = sa.select(Producer.name).where(Producer.id == sight.producer_id)
    its_keys = "" if sight.producer_id is None else label_of(db.session.scalar(own) or "", "").removesuffix("…")
    lines = sa.select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.id.desc())
    rows = db.session.scalars(lines).all()
    return {
        "consent": [
            {
                "at": _time(row.at),
                "source": row.source,
                **row.change,
                # Whoever runs this is not the person's
                "by": row.actor if row.source != CONSOLE and (row.actor or "").startswith(its_keys) else None,
                "text_version": row.text_version,
                **({} if its_keys else {"origin": row.origin}),
            }
            for row in rows
        ],
        "consent_texts": _texts({row.text_version for row in rows if row.text_version}),
    }


def _texts(versions: set[str]) -> dict[str, dict[str, str]]:
    """Our own among these versions."""
    rows = db.session.scalars(sa.select(ConsentText).where(ConsentText.version.in_(versions)))
    return {row.version: {"language": row.language, "text": row.text} for row in rows}


def _visible(user_id: str, sight: Sight) -> list[sa.ColumnElement[bool]]:
    return [Notification.user_id == user_id, *sight.conditions(Notification)]


def _notifications(user_id: str, sight: Sight) -> Iterator[_Page]:
    statement = sa.select(Notification).where(*_visible(user_id, sight)).order_by(Notification.id).limit(PAGE)
    rows = db.session.scalars(statement).all()
    secret = internal_keys()
    while rows:
        page = _in_full(rows, secret)
        last = rows[-1].id
        yield page
        rows = db.session.scalars(statement.where(Notification.id > last)).all()


def _in_full(rows: Sequence[Notification], secret: Collection[str]) -> _Page:
    """With their deliveries, and what was tried and told of them. `secret`: types whose data nobody is told."""
    of_these = sa.select(Delivery.id).where(Delivery.notification_id.in_([row.id for row in rows]))
    attempts: dict[Any, list[dict[str, Any]]] = {}
    tries = sa.select(Attempt).where(Attempt.delivery_id.in_(of_these)).order_by(Attempt.delivery_id, Attempt.number)
    for attempt in db.session.scalars(tries):
        attempts.setdefault(attempt.delivery_id, []).append(shapes.attempt(attempt))
    receipts: dict[Any, list[dict[str, Any]]] = {}
    for receipt in db.session.scalars(sa.select(Receipt).where(Receipt.delivery_id.in_(of_these)).order_by(Receipt.id)):
        receipts.setdefault(receipt.delivery_id, []).append(_receipt(receipt))
    deliveries: dict[Any, list[dict[str, Any]]] = {}
    for delivery in db.session.scalars(sa.select(Delivery).where(Delivery.id.in_(of_these)).order_by(Delivery.id)):
        shown = shapes.delivery(delivery, attempts.get(delivery.id, ()))
        also = {"links": delivery.links or [], "receipts": receipts.get(delivery.id, [])}
        deliveries.setdefault(delivery.notification_id, []).append(shown | also)
    return [
        {
            "id": show("ntf", row.id),
            "type": row.type,
            "category": row.category,
            "priority": row.priority,
            "test": row.is_test,
            "data": None if row.type in secret else row.data,
            "given": row.given,
            "decision": row.decision,
            "collapse_key": row.collapse_key,
            "push": row.push,
            "send_at": _time(row.send_at),
            "expires_at": _time(row.expires_at),
            "created_at": _time(row.created_at),
            "deliveries": deliveries.get(row.id, []),
        }
        for row in rows
    ]


def _receipt(row: Receipt) -> dict[str, Any]:
    """What a provider has told of it, or one of our links and pixels."""
    return {
        "at": _time(row.at),
        "provider": row.provider,
        "status": row.status,
        "code": row.code,
        "by": row.by,
        "detail": row.detail,
    }


def _inbox(user_id: str, sight: Sight) -> Iterator[_Page]:
    visible = sa.select(Notification.id).where(*_visible(user_id, sight))
    statement = (
        sa.select(*InboxItem.__table__.columns)
        .where(InboxItem.user_id == user_id, InboxItem.notification_id.in_(visible))
        .order_by(InboxItem.seq)
        .limit(PAGE)
    )
    rows = db.session.execute(statement).all()
    while rows:
        yield [shapes.inbox_item(row._mapping) for row in rows]
        rows = db.session.execute(statement.where(InboxItem.seq > rows[-1].seq)).all()


def _events(user_id: str, sight: Sight) -> Iterator[_Page]:
    table = Event.__table__
    chosen = sa.select(*table.columns).where(table.c.user_id == user_id)
    if sight.producer_id is not None:
        chosen = chosen.where(table.c.producer_id == sight.producer_id)
    # By the person's index: PostgreSQL would look through everybody's for the next ones in order
    mine = chosen.cte("mine").prefix_with("MATERIALIZED", dialect="postgresql")
    statement = sa.select(mine).order_by(mine.c.id).limit(EVENTS)
    rows = db.session.execute(statement).all()
    while rows:
        page = shown_events.shown(rows)
        yield page
        rows = db.session.execute(statement.where(mine.c.id > rows[-1].id)).all()


def _captures(user_id: str, sight: Sight) -> Iterator[_Page]:
    """Without those of the product's own types, whose links sign somebody in."""
    visible = (
        sa.select(Delivery.id)
        .join(Notification, Notification.id == Delivery.notification_id)
        .where(*_visible(user_id, sight), Notification.type.not_in(internal_keys()))
    )
    mine = sa.select(Capture).where(Capture.user_id == user_id, Capture.delivery_id.in_(visible))
    statement = mine.order_by(Capture.id).limit(PAGE)
    rows = db.session.scalars(statement).all()
    while rows:
        page, last = [capture_json(row) for row in rows], rows[-1].id
        yield page
        rows = db.session.scalars(statement.where(Capture.id > last)).all()


def _uploads(user_id: str, sight: Sight) -> list[dict[str, Any]]:
    """The lists that name the person."""
    statement = sa.select(Upload.id, Upload.created_at).join(UploadMember, UploadMember.upload_id == Upload.id)
    if sight.producer_id is not None:
        statement = statement.where(Upload.producer_id == sight.producer_id)
    rows = db.session.execute(statement.where(UploadMember.user_id == user_id).order_by(Upload.id))
    return [{"id": show("upl", row.id), "created_at": _time(row.created_at)} for row in rows]


def _of_nobody(user_id: str) -> dict[str, Any]:
    """What belongs to no producer: how they sign in, what is learned of them, and what the audit trail says of them."""
    account = db.session.scalar(sa.select(Account).where(Account.user_id == user_id))
    its = account.id if account else None
    sessions = sa.select(AccountSession).where(AccountSession.account_id == its).order_by(AccountSession.id)
    identities = sa.select(OpenIdIdentity).where(OpenIdIdentity.account_id == its).order_by(OpenIdIdentity.issuer)
    passkeys = sa.select(Passkey).where(Passkey.account_id == its).order_by(Passkey.id)
    digests = sa.select(Digest).where(Digest.user_id == user_id).order_by(Digest.id)
    scores = sa.select(ChannelScore).where(ChannelScore.user_id == user_id).order_by(ChannelScore.channel)
    experiments = (
        sa.select(Experiment.key, ExperimentPerson.has_opened, ExperimentPerson.has_clicked)
        .join(Experiment, Experiment.id == ExperimentPerson.experiment_id)
        .where(ExperimentPerson.user_id == user_id)
        .order_by(Experiment.id)
    )
    trail = sa.select(AuditEntry).where(audit.about_person(user_id)).order_by(AuditEntry.id)
    return {
        "account": account and _account(account),
        "sessions": [_session(row) for row in db.session.scalars(sessions)],
        "openid": [
            {"issuer": row.issuer, "subject": row.subject, "used_at": _time(row.used_at)}
            for row in db.session.scalars(identities)
        ],
        "passkeys": [
            {"name": row.name, "used_at": _time(row.used_at), "created_at": _time(row.created_at)}
            for row in db.session.scalars(passkeys)
        ],
        "digests": [
            {"category": row.category, "due_at": _time(row.due_at), "test": row.is_test}
            for row in db.session.scalars(digests)
        ],
        "scores": [
            {"channel": row.channel, "sent": row.sent, "opened": row.opened} for row in db.session.scalars(scores)
        ],
        "experiments": [
            {"template": row.key, "has_opened": row.has_opened, "has_clicked": row.has_clicked}
            for row in db.session.execute(experiments)
        ],
        "audit": [
            {"at": _time(row.at), "action": row.action, "before": row.before, "after": row.after}
            for row in db.session.scalars(trail)
        ],
    }


def _account(row: Account) -> dict[str, Any]:
    return {
        "id": row.shown_id,
        "email": row.email,
        "role": row.role,
        "has_password": row.password_hash is not None,
        "second_factor_at": _time(row.second_factor_at),
        "disabled_at": _time(row.disabled_at),
        "signed_in_at": _time(row.signed_in_at),
        "created_at": _time(row.created_at),
    }


def _session(row: AccountSession) -> dict[str, Any]:
    return {
        "way": row.way,
        "device": row.device,
        "proven_at": _time(row.proven_at),
        "expires_at": _time(row.expires_at),
        "created_at": _time(row.created_at),
    }


_time = shapes.timestamp
