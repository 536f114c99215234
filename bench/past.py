"""A past of any size, made by the database itself: what an installation holds that has sent so many notifications.

People are a tenth as many, and some of them get far more than others. Notifications are spread over 400 days and end in
every way there is; some wait for a day to come. Of what is pruned, there is as much as would have been left.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bench.rows import (
    NUMBER,
    NUMBERS,
    count_inboxes,
    insert,
    later,
    new_base,
    numbered_id,
    template_id,
    tidy_up,
)
from bench.sample import CATEGORY, DATA, TYPE
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import new_id
from notifier.models import (
    Address,
    Attempt,
    AuditEntry,
    Capture,
    ChannelScore,
    CollapseHead,
    ConsentEvent,
    ContentMark,
    Delivery,
    Digest,
    Event,
    IdempotencyKey,
    InboxItem,
    Notification,
    Preference,
    Producer,
    Receipt,
    Submission,
    SubscriptionAttempt,
    Suppression,
    Tally,
    User,
)

DAYS = 400
_PARTS = 100  # of four days each
_WITH_EVENTS = 75  # from this part on; later ones hold what is kept for a shorter time
_WITH_CAPTURES, _WITH_HEADS, _WITH_MARKS, _WITH_KEYS = 92, 95, 98, 99
_SPREAD, _PRIME, _SHARES = 1 << 31, 2_654_435_761, 1 << 20
FORMER = "former"  # how these people are called
_RARE = "security_alert"
_LARGE = (Submission, Notification, Delivery, Attempt, Receipt, InboxItem, Event, SubscriptionAttempt)
_PROVIDER = "smtp"


def add_past(count: int, prefix: str = FORMER) -> None:
    """So many notifications to `<prefix>0` …, oldest first."""
    people = max(100, count // 10)
    with _unchecked():
        _add_people(people, prefix)
        begin = now() - timedelta(days=DAYS)
        for part in range(_PARTS):
            first = count * part // _PARTS
            some = count * (part + 1) // _PARTS - first
            if some:
                at = begin + timedelta(days=DAYS / _PARTS) * part
                _Part(part, first, some, at, people, prefix).add()
    count_inboxes(prefix)
    _add_counts()
    tidy_up()


@contextmanager
def _unchecked() -> Iterator[None]:
    """Without foreign keys, and without the indexes of the large tables, which are made at the end: in a fifth of the
    time.
    """
    indexes = [index for model in _LARGE for index in model.__table__.indexes]
    _set_up(
        ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000"),
        ("SET session_replication_role = replica", "SET synchronous_commit = off", "SET maintenance_work_mem = '1GB'"),
    )
    with transaction() as session:
        for index in indexes:
            index.drop(session.connection())
    try:
        yield
    finally:  # whoever shares the database needs them whatever has happened
        for index in indexes:
            with transaction() as session:
                index.create(session.connection())
        db.session.remove()
        db.engine.dispose()


def _set_up(sqlite: Sequence[str], postgresql: Sequence[str]) -> None:
    """For the one connection that is used here, outside a transaction."""
    db.session.remove()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if db.engine.dialect.name == "sqlite":
            for command in sqlite:
                connection.connection.cursor().execute(command)
        else:
            for command in postgresql:
                connection.exec_driver_sql(command)


def _add_people(people: int, prefix: str) -> None:
    user = sa.literal(prefix) + sa.cast(NUMBER, sa.String)
    plan = sa.case((NUMBER % 5 == 0, "gold"), else_="free")
    at = now() - timedelta(days=DAYS)
    with transaction():
        insert(
            User,
            people,
            {
                "id": user,
                "name": "Alice",
                "locale": "en",
                "attributes": _json(sa.literal('{"plan": "') + plan + '"}', User.__table__.c.attributes),
                "generation": NUMBER + 1,
                "created_at": at,
                "updated_at": at,
            },
        )
        for channel, value, masked in (
            ("email", "alice@bench.example", "a…@bench.example"),
            ("sms", "+4915112345678", "+49…78"),
        ):
            place = {"id": numbered_id(new_base()), "user_id": user, "channel": channel, "digest": _digest()}
            known = {"value": value, "masked": masked, "is_primary": True, "verified_at": at, "created_at": at}
            insert(Address, people, {**place, **known})
        asking = NUMBER % 5 == 0
        chosen = {"document": {"channels": {"sms": True}}, "version": 1, "updated_at": at}
        insert(Preference, people, {"user_id": user, **chosen}, where=asking)
        change = {"source": "page", "change": {"channels": {"sms": True}}, "at": at}
        insert(ConsentEvent, people, {"user_id": user, **change}, where=asking)
        for channel in ("email", "push"):
            score = {"user_id": user, "channel": channel, "sent": 12, "opened": NUMBER % 12}
            insert(ChannelScore, people, score, where=asking)
        bounced = {"digest": _digest(), "scope": "*", "channel": "email", "reason": "bounced", "created_at": at}
        insert(Suppression, max(1, people // 20), bounced)
        audited = {"at": at, "actor": "admin@bench.example", "action": "user.update", "subject": user}
        insert(AuditEntry, max(people, 12_000), audited)  # more than a page looks at


class _Part:
    """The notifications of four days, numbered from 0; `first`: how many came before. `at`: their beginning."""

    def __init__(self, part: int, first: int, some: int, at: datetime, people: int, prefix: str) -> None:
        self.part, self.first, self.some, self.at, self.people, self.prefix = part, first, some, at, people, prefix
        self.step_s = max(1, int(timedelta(days=DAYS / _PARTS).total_seconds()) // some)
        self.ids, self.mails = new_base(at), new_base(at)

    @property
    def overall(self) -> sa.ColumnElement[int]:
        return sa.cast(NUMBER, sa.BigInteger) + self.first

    @property
    def user(self) -> sa.ColumnElement[str]:
        """Of the people, one of a few more often than of many."""
        lot = (self.overall * _PRIME) % _SPREAD // (_SPREAD // _SHARES)
        return sa.literal(self.prefix) + sa.cast(lot * lot * self.people // (_SHARES * _SHARES), sa.String)

    @property
    def when(self) -> sa.ColumnElement[Any]:
        return later(self.at, self.step_s)

    def add(self) -> None:
        with transaction():
            self._notifications()
            self._mails()
            self._items()
            self._short_lived()

    def _notifications(self) -> None:
        producer = db.session.scalar(sa.select(Producer.id).limit(1))
        submission = {"id": numbered_id(self.ids), "producer_id": producer, "type": TYPE, "status": "expanded"}
        insert(Submission, self.some, {**submission, "recipients": 1, "expanded": 1, "created_at": self.when})
        kind = self.overall % 1_000
        what = {
            "type": sa.case((kind == 1, _RARE), (kind < 200, "promotional_offer"), else_=TYPE),
            "category": sa.case((kind == 1, "system"), (kind < 200, "marketing"), else_=CATEGORY),
            "priority": sa.case((kind < 200, "low"), else_="medium"),
            "template_id": template_id(),
            "data": DATA,
            "send_at": sa.case((self.overall % 1_000 < 2, later(now() + timedelta(days=30), 60))),
        }
        whose = {"id": numbered_id(self.ids), "submission_id": numbered_id(self.ids), "producer_id": producer}
        insert(Notification, self.some, {**whose, "user_id": self.user, **what, "created_at": self.when})

    def _mails(self) -> None:
        """One for each notification, and every way to end."""
        lot = self.overall % 1_000
        ends = ((2, "waiting"), (10, "failed"), (30, "bounced"), (50, "skipped"), (60, "expired"), (70, "cancelled"))
        status = sa.case(
            *((lot < upto, end) for upto, end in (*ends, (150, "sent"), (350, "opened"))), else_="delivered"
        )
        is_sent, has_failed = lot >= 70, sa.and_(lot >= 2, lot < 30)
        reason = sa.case(
            (lot < 2, "scheduled"),
            (lot == 2, sa.null()),  # a dead letter
            (lot < 10, "discarded"),
            (sa.and_(lot >= 30, lot < 50), "opted_out"),
        )
        later_on = sa.case((lot < 2, later(now() + timedelta(days=30), 60)))
        insert(
            Delivery,
            self.some,
            {
                "id": numbered_id(self.mails),
                "notification_id": numbered_id(self.ids),
                "channel": "email",
                "priority": sa.case((lot < 200, "low"), else_="medium"),
                "address_id": Address.__table__.c.id,
                "address_masked": Address.__table__.c.masked,
                "status": status,
                "reason": reason,
                "detail": {},
                "provider": sa.case((sa.or_(is_sent, has_failed), _PROVIDER)),
                "provider_message_id": sa.case((is_sent, sa.literal("m-") + sa.cast(self.overall, sa.String))),
                "tries": sa.case((sa.or_(is_sent, has_failed), 1), else_=0),
                "failures": sa.case((has_failed, 1), else_=0),
                "outcome": sa.case((has_failed, "permanent")),
                "code": sa.case((has_failed, sa.literal("mailbox_") + sa.cast(self.overall % 50, sa.String))),
                "failed_at": sa.case((has_failed, self.when)),
                "failed_type": sa.case((has_failed, TYPE)),
                "due_at": later_on,
                "wake_at": later_on,
                "sent_at": sa.case((is_sent, self.when)),
                "delivered_at": sa.case((lot >= 150, self.when)),
                "opened_at": sa.case((sa.and_(lot >= 150, lot < 350), self.when)),
                "created_at": self.when,
            },
            NUMBERS.join(
                Address.__table__, sa.and_(Address.user_id == self.user, Address.channel == sa.literal("email"))
            ),
        )
        attempt = {"delivery_id": numbered_id(self.mails), "number": 1, "provider": _PROVIDER, "duration_ms": 12}
        outcome = sa.case((has_failed, "permanent"), else_="sent")
        insert(Attempt, self.some, {**attempt, "outcome": outcome, "at": self.when}, where=sa.or_(is_sent, has_failed))
        about = {"reference": numbered_id(self.mails), "delivery_id": numbered_id(self.mails), "status": "delivered"}
        told = {
            "provider": _PROVIDER,
            "channel": "email",
            "event_id": sa.literal(f"{self.prefix}-") + sa.cast(self.overall, sa.String),
            "detail": {},
            **dict.fromkeys(("at", "received_at", "applied_at"), self.when),
        }
        insert(Receipt, self.some, {**about, **told}, where=lot >= 150)

    def _items(self) -> None:
        """Three of five notifications are in an inbox."""
        shown, overall = self.overall % 5 < 3, self.overall
        done = {"status": "delivered", "provider": "inapp", "sent_at": self.when, "delivered_at": self.when}
        place = {"id": numbered_id(self.ids), "notification_id": numbered_id(self.ids)}
        lane = {"channel": "inapp", "priority": "medium", "detail": {}}
        insert(Delivery, self.some, {**place, **lane, **done, "created_at": self.when}, where=shown)
        words = {
            "type": TYPE,
            "category": CATEGORY,
            "title": sa.literal("Your order A") + sa.cast(overall, sa.String) + " is on its way",
            "body": "DHL is bringing it to you.",
            "data": DATA,
        }
        tomorrow = sa.literal(now() + timedelta(days=1), InboxItem.__table__.c.snoozed_until.type)
        marks = {
            "seen_at": sa.case((overall % 10 >= 3, self.when)),
            "read_at": sa.case((overall % 10 >= 3, self.when)),
            "archived_at": sa.case((overall % 100 == 7, self.when)),
            "snoozed_until": sa.case((overall % 1_000 == 11, tomorrow)),
        }
        whose = {"user_id": self.user, "seq": overall + 1, "created_at": self.when}
        insert(InboxItem, self.some, {**place, **whose, **words, **marks}, where=shown)

    def _short_lived(self) -> None:
        """What is kept for two weeks, a month, a day."""
        first, last = (UUID(hex=f"{self.ids}{number:015x}") for number in (0, self.some))
        about = sa.select(Notification.__table__).where(Notification.id >= first, Notification.id < last).subquery().c
        if self.part >= _WITH_EVENTS:
            recent = now() - timedelta(hours=36) + timedelta(seconds=self.part)
            for kind in ("delivery.sent", "delivery.delivered", "inbox.read", "delivery.opened"):
                same = ("producer_id", "submission_id", "user_id", "is_test", "type", "category")
                columns = {name: about[name] for name in same} | {"notification_id": about.id, "delivery_id": about.id}
                more = {"kind": kind, "at": recent, "channel": "email", "provider": _PROVIDER}
                insert(Event, self.some, {**columns, **more}, about.id.table)
            tried = {"id": numbered_id(new_base(self.at)), "subscription_id": new_id(), "at": recent}
            insert(SubscriptionAttempt, self.some, {**tried, "outcome": "delivered", "duration_ms": 12})
        somebody = sa.literal(self.prefix) + sa.cast(NUMBER % self.people, sa.String)
        some = NUMBER % 10 == 0
        if self.part >= _WITH_CAPTURES:
            kept = {"id": numbered_id(self.mails), "delivery_id": numbered_id(self.mails), "channel": "email"}
            kept |= {"user_id": somebody, "content": {"to": "…"}, "at": self.when}
            insert(Capture, self.some, kept, where=some)
        if self.part >= _WITH_HEADS:
            key = sa.literal("k") + sa.cast(self.overall, sa.String)
            head = {"user_id": somebody, "scope": "bench", "collapse_key": key, "updated_at": now()}
            insert(CollapseHead, self.some, {**head, "notification_id": numbered_id(self.ids)}, where=some)
        if self.part >= _WITH_MARKS:
            mark = {"user_id": about.user_id, "digest": _digest(), "notification_id": about.id}
            insert(ContentMark, self.some, {**mark, "expires_at": now() + timedelta(minutes=30)}, about.id.table)
        if self.part >= _WITH_KEYS:
            whose = {"producer_id": about.producer_id, "submission_id": about.submission_id, "is_test": False}
            made = {"body_digest": _digest(), "answer": {}, "created_at": now()}
            key = sa.literal("k") + sa.cast(about.id, sa.String)
            insert(IdempotencyKey, self.some, {**whose, **made, "key": key}, about.id.table)
            later_on = later(now() + timedelta(days=1))
            digest = {"id": numbered_id(new_base()), "user_id": somebody, "key": "social", "category": "social"}
            insert(Digest, min(self.some, self.people), {**digest, "window_at": later_on, "due_at": later_on})


def _add_counts() -> None:
    """Of the overview: by minute for a day, and by hour for a month, whatever the number of notifications."""
    if db.session.scalar(sa.select(Tally.id).limit(1)) is not None:
        return
    minute = now().replace(second=0, microsecond=0)
    ats = [minute - timedelta(minutes=n) for n in range(3, 26 * 60)]
    ats += [minute.replace(minute=0) - timedelta(hours=n) for n in range(27, 24 * 30)]
    rows = [
        {"at": at, "channel": channel, "event": event, "count": 7}
        for at in ats
        for channel in ("email", "inapp")
        for event in ("accepted", "sent", "delivered", "latency:3")
    ]
    with transaction() as session:
        session.execute(sa.insert(Tally), rows)


def _digest() -> "sa.ColumnElement[bytes]":
    if db.engine.dialect.name == "sqlite":
        return sa.func.randomblob(32, type_=sa.LargeBinary)
    return sa.func.sha256(sa.func.uuid_send(sa.func.gen_random_uuid()), type_=sa.LargeBinary)


def _json(text: "sa.ColumnElement[str]", column: Any) -> "sa.ColumnElement[Any]":
    return text if db.engine.dialect.name == "sqlite" else sa.cast(text, column.type)
