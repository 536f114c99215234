"""Rows in bulk, made by the database itself: people, what is queued, and a history of what was delivered.

Every row is as the pipeline would have written it, so what is measured afterwards cannot tell the difference.
"""

import itertools
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bench.sample import CATEGORY, DATA, TYPE
from notifier.core.lifecycle import CANCELLED, QUEUED, WAITING
from notifier.core.message import IOS
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import first_at, new_id
from notifier.ledgers import event_readers
from notifier.models import (
    Address,
    Attempt,
    Delivery,
    Event,
    InboxItem,
    InboxState,
    Notification,
    Preference,
    Producer,
    Submission,
    Upload,
    UploadMember,
    User,
)
from notifier.people import addresses, profiles
from notifier.signals import queueing
from notifier.signals.queueing import Doorbell


def add_people(prefix: str, count: int, *, webhook: str | None = None) -> None:
    """`<prefix>0` … with an e-mail and a phone each, or with nothing but a webhook."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        fields = (
            {"name": "Alice"}
            if webhook
            else {"name": "Alice", "email": f"{prefix}{n}@bench.example", "phone": f"+4915{20000000 + n}"}
            for n in numbers
        )
        with transaction() as session:
            profiles.upsert([InlineRecipient(f"{prefix}{n}", given) for n, given in zip(numbers, fields, strict=True)])
            session.execute(
                sa.insert(Preference),
                [{"user_id": f"{prefix}{n}", "document": {"channels": {"sms": True}}} for n in numbers],
            )
    if webhook:
        for n in range(count):
            addresses.add_given(f"{prefix}{n}", "webhook", webhook, label=None)


def add_list(prefix: str, count: int) -> UUID:
    """So many people as of `add_people`, and an uploaded list that names them. → its id."""
    add_people(prefix, count)
    upload_id = new_id()
    said = {"is_test": False, "may_change_people": False, "may_change_staff": False, "actor": "bench"}
    with transaction() as session:
        session.add(Upload(id=upload_id, status="finished", columns=["id"], rows=count, created=count, **said))
        session.flush()
        theirs = sa.select(sa.literal(upload_id, sa.Uuid), User.id).where(User.id.startswith(prefix))
        session.execute(sa.insert(UploadMember.__table__).from_select(["upload_id", "user_id"], theirs))
    return upload_id


def add_alike(prefix: str, count: int) -> UUID:
    """The same for as many as nobody would wait for: they are copies of the first one, made by the database, whose
    addresses differ in their digest alone. → the list's id.
    """
    upload_id = add_list(prefix, 1)
    first, numbers = f"{prefix}0", NUMBERS
    user, address = User.__table__, Address.__table__
    copies: list[tuple[sa.Table, Any, Mapping[str, Any]]] = [
        (user, user.c.id == first, {"id": _user(prefix, count)}),
        *(
            (
                address,
                sa.and_(address.c.user_id == first, address.c.channel == channel),
                {"id": numbered_id(new_base()), "user_id": _user(prefix, count), "digest": _digest_like(channel)},
            )
            for channel in ("email", "sms")
        ),
        (Preference.__table__, Preference.user_id == first, {"user_id": _user(prefix, count)}),
        (UploadMember.__table__, UploadMember.user_id == first, {"user_id": _user(prefix, count)}),
    ]
    with transaction() as session:
        for table, is_first, changes in copies:
            columns = [changes.get(column.name, column) for column in table.columns]
            copied = sa.select(*columns).select_from(table.join(numbers, sa.true())).where(is_first, NUMBER > 0)
            session.execute(
                sa.insert(table).from_select(list(table.columns), copied, include_defaults=False), {"count": count}
            )
        session.execute(sa.update(Upload).where(Upload.id == upload_id).values(rows=count, created=count))
    return upload_id


def _digest_like(channel: str) -> sa.ColumnElement[Any]:
    """Of as many bytes as a digest by the first key, another one for each number."""
    if db.engine.dialect.name == "sqlite":
        digits = sa.literal(channel[0]) + sa.func.printf("%031x", NUMBER, type_=sa.String)
        return sa.cast(digits, sa.LargeBinary)
    digits = sa.literal(channel[0]) + sa.func.lpad(sa.func.to_hex(NUMBER), 31, "0")
    return sa.func.convert_to(digits, "UTF8", type_=sa.LargeBinary)


def add_phones(prefix: str, count: int, *, platform: str) -> None:
    """`<prefix>0` … with nothing but an iPhone, or an Android phone."""
    with transaction():
        profiles.upsert([InlineRecipient(f"{prefix}{n}", {"name": "Alice"}) for n in range(count)])
    for n in range(count):
        token = f"{n:064x}" if platform == IOS else f"{n:022x}:APA91b{n:0134x}"
        addresses.add_given(f"{prefix}{n}", "push", token, label=None, platform=platform)


def queue_up(channel: str, priority: str, count: int, *, prefix: str, users: int) -> list[UUID]:
    """That many queued deliveries to these people, each of a notification of its own.
    Their workers are not rung yet.
    """
    return _deliveries(
        channel, priority, count, prefix, users, {"status": "queued", "wake_at": now() + timedelta(hours=1)}
    )


def fall_due(channel: str, priority: str, count: int, *, prefix: str, users: int) -> list[UUID]:
    """The same, submitted for a time that has just come."""
    at = now()
    return _deliveries(
        channel,
        priority,
        count,
        prefix,
        users,
        {"status": "waiting", "reason": "scheduled", "due_at": at, "wake_at": at},
    )


def sent(channel: str, provider: str, count: int, *, prefix: str, users: int) -> list[UUID]:
    """Deliveries that an account has taken, and that it has not told of yet."""
    state = {"status": "sent", "sent_at": now(), "provider": provider, "tries": 1}
    return _deliveries(channel, "medium", count, prefix, users, state)


def _deliveries(channel: str, priority: str, count: int, prefix: str, users: int, state: dict[str, Any]) -> list[UUID]:
    base = new_base()
    at = now()
    with transaction():
        _insert_notifications(base, priority, count, prefix, users, at)
        _insert_deliveries(base, base, channel, priority, count, prefix, users, at, state)
    return [UUID(hex=f"{base}{number:015x}") for number in range(count)]


def ring(ids: Sequence[UUID], channel: str, priority: str) -> None:
    for start in range(0, len(ids), 2000):
        queueing.ring([Doorbell(key, channel, priority) for key in ids[start : start + 2000]])


def add_dead_letters(count: int, *, prefix: str, users: int) -> list[tuple[UUID, UUID]]:
    """Half of them mails and half SMS, refused for a hundred causes, one a second until now, and in RQ's registries
    too.

    → the first and the last of each half.
    """
    halves = []
    some = count // 2
    at = now() - timedelta(seconds=some)
    for channel, provider in (("email", "smtp"), ("sms", "sandbox")):
        base = new_base()
        cause = {"outcome": "permanent", "code": sa.literal("mailbox_") + sa.cast(NUMBER % 50, sa.String)}
        state = {
            "status": "failed",
            "provider": provider,
            "tries": 1,
            "failed_at": later(at),
            "failed_type": TYPE,
            **cause,
        }
        attempt = {"number": 1, "provider": provider, "duration_ms": 12, "at": later(at), **cause}
        with transaction():
            _insert_notifications(base, "medium", some, prefix, users, at)
            _insert_deliveries(base, base, channel, "medium", some, prefix, users, at, state)
            insert(Attempt, some, {"delivery_id": numbered_id(base), **attempt})
        ids = [UUID(hex=f"{base}{number:015x}") for number in range(some)]
        for start in range(0, some, 2000):
            queueing.restore_failed([Doorbell(key, channel, "medium") for key in ids[start : start + 2000]])
        halves.append((ids[0], ids[-1]))
    tidy_up()
    return halves


def add_history(count: int, *, prefix: str, users: int) -> None:
    """Notifications of yesterday that were shown in the inbox and sent by e-mail."""
    at = now() - timedelta(days=1)
    done = {"status": "delivered", "sent_at": at, "delivered_at": at}
    for start in range(0, count, 100_000):
        some = min(100_000, count - start)
        base, mails = new_base(), new_base()
        with transaction():
            _insert_notifications(base, "medium", some, prefix, users, at)
            _insert_deliveries(base, base, "inapp", "medium", some, prefix, users, at, {**done, "provider": "inapp"})
            _insert_deliveries(
                mails, base, "email", "medium", some, prefix, users, at, {**done, "provider": "smtp", "tries": 1}
            )
            attempt = {"number": 1, "provider": "smtp", "outcome": "delivered", "duration_ms": 12, "at": at}
            insert(Attempt, some, {"delivery_id": numbered_id(mails), **attempt})
            words = {
                "type": TYPE,
                "category": CATEGORY,
                "title": "Your order A123 is on its way",
                "body": "DHL is bringing it to you.",
                "data": DATA,
            }
            insert(
                InboxItem,
                some,
                {
                    "id": numbered_id(base),
                    "notification_id": numbered_id(base),
                    "user_id": _user(prefix, users),
                    "seq": NUMBER + start + 1,
                    "created_at": at,
                    **words,
                },
            )
    count_inboxes(prefix)
    tidy_up()


def add_inbox(count: int, unread: int, *, prefix: str) -> None:
    """A person `<prefix>0` with so many items, a second apart, of which the newest are unread and unseen."""
    add_people(prefix, 1)
    at, base = now() - timedelta(seconds=count), new_base()
    done = {"status": "delivered", "sent_at": at, "delivered_at": at, "provider": "inapp"}
    read_at = sa.case((count - unread > NUMBER, sa.literal(at, InboxItem.__table__.c.read_at.type)))
    words = {
        "type": TYPE,
        "category": sa.case((NUMBER % 3 == 0, "marketing"), (NUMBER % 1000 == 1, "social"), else_=CATEGORY),
        "title": sa.literal("Your order A") + sa.cast(NUMBER, sa.String) + " is on its way",
        "body": "DHL is bringing it to you.",
        "data": DATA,
    }
    with transaction():
        _insert_notifications(base, "medium", count, prefix, 1, at)
        _insert_deliveries(base, base, "inapp", "medium", count, prefix, 1, at, done)
        place = {
            "id": numbered_id(base),
            "notification_id": numbered_id(base),
            "user_id": _user(prefix, 1),
            "seq": NUMBER + 1,
            "created_at": later(at),
        }
        insert(InboxItem, count, {**place, **words, "seen_at": read_at, "read_at": read_at})
    count_inboxes(prefix)
    tidy_up()


def count_inboxes(prefix: str) -> None:
    with transaction() as session:
        session.execute(sa.delete(InboxState).where(InboxState.user_id.startswith(prefix)))
        counts = [
            sa.func.max(InboxItem.seq),
            *(sa.func.count().filter(mark.is_(None)) for mark in (InboxItem.read_at, InboxItem.seen_at)),
        ]
        theirs = (
            sa.select(InboxItem.user_id, *counts)
            .group_by(InboxItem.user_id)
            .where(InboxItem.user_id.startswith(prefix))
        )
        session.execute(sa.insert(InboxState).from_select(["user_id", "seq", "unread", "unseen"], theirs))


def tidy_up() -> None:
    # What so many rows leave to be tidied up is not to be paid for by what is measured next.
    tidying = (
        ["VACUUM ANALYZE", "CHECKPOINT"]
        if db.engine.dialect.name == "postgresql"
        else ["PRAGMA wal_checkpoint(TRUNCATE)"]
    )
    db.session.remove()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for command in tidying:
            connection.exec_driver_sql(command)


def forget_unsent() -> None:
    """What was accepted only to be measured: it would come before whatever is measured next."""
    unsent = sa.and_(Delivery.status.in_((WAITING, QUEUED)), Delivery.wake_at.is_not(None))
    with transaction() as session:
        gone = sa.update(Delivery).where(unsent).values(status=CANCELLED, wake_at=None)
        session.execute(gone.execution_options(synchronize_session=False))


def are_counted() -> bool:
    """Whether a scheduler has counted all events that were there: what it has missed keeps it busy for a while."""
    counted, last = event_readers.position_of(event_readers.TRENDS), db.session.scalar(sa.select(sa.func.max(Event.id)))
    db.session.rollback()
    return last is None or (counted is not None and counted >= last)


NUMBERS = sa.select(sa.literal(0).label("i")).cte("numbers", recursive=True)
NUMBERS = NUMBERS.union_all(sa.select(NUMBERS.c.i + 1).where(NUMBERS.c.i + 1 < sa.bindparam("count", type_=sa.Integer)))
NUMBER = NUMBERS.c.i


def insert(model: Any, count: int, columns: Mapping[str, Any], source: Any = None, where: Any = None) -> None:
    """One row for each number (`where`: for each that meets it), in one statement. A column is an expression, or a
    value that is the same in all rows.
    """
    table = model.__table__
    absent = {
        c.name: c.default.arg
        for c in table.columns
        if c.default is not None and c.default.is_scalar and c.name not in columns
    }
    values = {**absent, **columns}
    chosen = [
        (value if isinstance(value, sa.ColumnElement) else sa.literal(value, table.c[name].type)).label(f"c_{name}")
        for name, value in values.items()
    ]
    picked = sa.select(*chosen).select_from(source if source is not None else NUMBERS)
    picked = picked if where is None else picked.where(where)
    db.session.execute(sa.insert(table).from_select(list(values), picked, include_defaults=False), {"count": count})


def _insert_notifications(base: str, priority: str, count: int, prefix: str, users: int, at: Any) -> None:
    producer = db.session.scalar(sa.select(Producer.id).limit(1))
    submission = {
        "producer_id": producer,
        "type": TYPE,
        "status": "expanded",
        "recipients": 1,
        "expanded": 1,
        "created_at": at,
    }
    insert(Submission, count, {"id": numbered_id(base), **submission})
    shared = {
        "producer_id": producer,
        "type": TYPE,
        "category": CATEGORY,
        "priority": priority,
        "template_id": template_id(),
        "data": DATA,
        "created_at": at,
    }
    insert(
        Notification,
        count,
        {"id": numbered_id(base), "submission_id": numbered_id(base), "user_id": _user(prefix, users), **shared},
    )


def _insert_deliveries(
    ids: str,
    notifications: str,
    channel: str,
    priority: str,
    count: int,
    prefix: str,
    users: int,
    at: Any,
    state: dict[str, Any],
) -> None:
    columns = {
        "id": numbered_id(ids),
        "notification_id": numbered_id(notifications),
        "channel": channel,
        "priority": priority,
        "detail": {},
        "created_at": at,
        **state,
    }
    if channel == "inapp":
        insert(Delivery, count, columns)
        return
    reached = sa.and_(Address.user_id == _user(prefix, users), Address.channel == channel)
    columns |= {"address_id": Address.__table__.c.id, "address_masked": Address.__table__.c.masked}
    insert(Delivery, count, columns, NUMBERS.join(Address.__table__, reached))


def template_id() -> Any:
    return db.session.execute(
        sa.text("SELECT id FROM template WHERE key = :key AND status = 'published'").columns(id=sa.Uuid), {"key": TYPE}
    ).scalar_one()


_bases = itertools.count(secrets.randbelow(4096))


def new_base(at: datetime | None = None) -> str:
    """A UUIDv7's hex digits up to its variant: of that millisecond (None: of this one), and others than those of the
    4,095 before. The other fifteen count.
    """
    return f"{(first_at(at) if at else new_id()).hex[:12]}7{next(_bases) % 4096:03x}8"


def _user(prefix: str, users: int) -> sa.ColumnElement[str]:
    return sa.literal(prefix) + sa.cast(NUMBER % users, sa.String)


def numbered_id(base: str, number: sa.ColumnElement[int] = NUMBER) -> sa.ColumnElement[Any]:
    if db.engine.dialect.name == "sqlite":
        return sa.func.printf("%s%015x", base, number, type_=sa.String)
    return sa.cast(sa.literal(base) + sa.func.lpad(sa.func.to_hex(number), 15, "0"), sa.Uuid)


def later(at: datetime, step_s: int = 1) -> sa.ColumnElement[Any]:
    """So many seconds after `at` for each number."""
    if db.engine.dialect.name == "sqlite":
        return sa.func.strftime(
            "%Y-%m-%d %H:%M:%f000",
            f"{at:%Y-%m-%d %H:%M:%S}",
            sa.literal("+") + sa.cast(NUMBER * step_s, sa.String) + " seconds",
            type_=sa.String,
        )
    return sa.literal(at, sa.DateTime(timezone=True)) + NUMBER * sa.literal(timedelta(seconds=step_s), sa.Interval)
