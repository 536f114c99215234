"""Many dead letters at once: what is chosen is done once, at its rate, and the counts add up whatever happens
meanwhile.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id, show
from notifier.ledgers import audit
from notifier.models import Address, AuditEntry, BulkAction, Delivery, Notification, Submission
from notifier.operations import bulk_actions
from notifier.people import profiles
from notifier.pipeline.delivery.claim import claim
from notifier.providers import accounts as providers
from notifier.queries.dead_letters import Filter
from notifier.signals.queueing import failed_registry, queue
from tests.stored import sent_statements as statements

Dead = Callable[..., None]


@pytest.fixture
def dead(app: APIFlask) -> Dead:
    """`dead(5, code="refused", expired=2)`: so many dead letters, of which so many have expired."""

    def _dead(
        count: int, *, code: str = "refused", channel: str = "email", expired: int = 0, user: str = "ann"
    ) -> None:
        at = now()
        with transaction() as session:
            profiles.upsert([InlineRecipient(user, {"email": f"{user}@example.test"})])
            submission, notification = new_id(), new_id()
            session.execute(
                sa.insert(Submission), [{"id": submission, "type": "order_shipped", "recipients": 1, "expanded": 1}]
            )
            kind = {
                "type": "order_shipped",
                "category": "transactional",
                "priority": "high",
                "data": {"order_id": "A1"},
            }
            session.execute(
                sa.insert(Notification), [{"id": notification, "submission_id": submission, "user_id": user, **kind}]
            )
            common = {
                "notification_id": notification,
                "channel": channel,
                "priority": "high",
                "status": "failed",
                "provider": "smtp",
                "outcome": "permanent",
            }
            rows = [
                {
                    **common,
                    "id": new_id(),
                    "code": code,
                    "failed_at": at,
                    "expires_at": at - timedelta(seconds=1) if number < expired else None,
                }
                for number in range(count)
            ]
            session.execute(sa.insert(Delivery), rows)

    return _dead


def done() -> BulkAction:
    """Works until the one action has ended."""
    for _ in range(100):
        bulk_actions.work()
        db.session.expire_all()
        [row] = db.session.scalars(sa.select(BulkAction)).all()
        db.session.commit()
        if row.finished_at is not None:
            return row
        with transaction() as session:
            session.execute(sa.update(BulkAction).values(wake_at=None))  # what is left of the second is not waited for
    raise AssertionError("it never ends")


def two_schedulers(app: APIFlask, batches: int) -> None:
    """At once, each so many batches."""

    def scheduler() -> None:
        with app.app_context():
            for _ in range(batches):
                bulk_actions.work()
            db.session.remove()

    threads = [threading.Thread(target=scheduler) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counts(row: BulkAction) -> tuple[int, int, int]:
    return row.total, row.done, row.left


def statuses() -> dict[str, int]:
    db.session.rollback()
    return dict(db.session.execute(sa.select(Delivery.status, sa.func.count()).group_by(Delivery.status)).all())


@pytest.mark.parametrize(
    ("kind", "expired", "expected", "status"),
    [
        ("retry", 0, (7, 7, 0), {"queued": 7}),
        ("retry", 3, (7, 4, 3), {"queued": 4, "failed": 3}),
        ("retry", 7, (7, 0, 7), {"failed": 7}),
        ("discard", 3, (7, 7, 0), {"failed": 7}),
    ],
)
def test_all_that_is_chosen_is_done_and_the_expired_are_not_retried(
    dead: Dead, kind: str, expired: int, expected: Any, status: Any
) -> None:
    dead(7, expired=expired)
    bulk_actions.start(kind, Filter(channel="email"))
    assert counts(done()) == expected
    assert statuses() == status


def test_it_goes_on_batch_by_batch_and_rings_each(dead: Dead) -> None:
    total = bulk_actions.BATCH * 2 + 3
    dead(total)
    bulk_actions.start("retry", Filter())
    assert [bulk_actions.work() for _ in range(4)] == [bulk_actions.BATCH, bulk_actions.BATCH, 3, 0]
    assert counts(done()) == (total, total, 0)
    assert queue("email.high").count == total


def test_what_is_not_chosen_stays(dead: Dead) -> None:
    dead(2, code="refused")
    dead(3, code="timeout")
    bulk_actions.start("retry", Filter(channel="email", provider="smtp", outcome="permanent", code="timeout"))
    assert counts(done()) == (3, 3, 0)
    assert statuses() == {"failed": 2, "queued": 3}


def test_what_fails_later_is_not_meant(dead: Dead) -> None:
    dead(2)
    bulk_actions.start("retry", Filter())
    dead(3)
    assert counts(done()) == (2, 2, 0)


def test_what_had_failed_but_was_not_recorded_yet_is_meant_and_counted(dead: Dead) -> None:
    dead(3)
    bulk_actions.start("retry", Filter())
    dead(2)
    with transaction() as session:
        session.execute(sa.update(Delivery).values(failed_at=now() - timedelta(seconds=5)))
    assert counts(done()) == (5, 5, 0)


def test_what_somebody_else_has_dealt_with_was_left_alone(dead: Dead) -> None:
    dead(5)
    bulk_actions.start("retry", Filter())
    with transaction() as session:
        keys = session.scalars(sa.select(Delivery.id).limit(2)).all()
        session.execute(sa.update(Delivery).where(Delivery.id.in_(keys)).values(status="delivered"))
    assert counts(done()) == (5, 3, 2)


def test_a_rate_makes_it_wait_between_batches(dead: Dead) -> None:
    dead(5)
    bulk_actions.start("retry", Filter(), per_second=2)
    assert [bulk_actions.work() for _ in range(2)] == [bulk_actions.BATCH, 0]
    [row] = db.session.scalars(sa.select(BulkAction))
    assert (row.done, row.wake_at is not None and row.wake_at > now()) == (2, True)
    db.session.commit()
    assert counts(done()) == (5, 5, 0)


def test_cancelling_keeps_what_is_done_and_ends_it_once(dead: Dead) -> None:
    dead(5)
    key = bulk_actions.start("retry", Filter(), per_second=2)
    bulk_actions.work()
    assert [bulk_actions.cancel(key), bulk_actions.cancel(key)] == [True, False]
    row = done()
    assert (counts(row), row.cancelled_at is not None) == ((5, 2, 0), True)
    assert statuses() == {"failed": 3, "queued": 2}


def test_a_discarded_one_is_out_of_sight_and_forgotten_by_rq(dead: Dead) -> None:
    dead(1)
    [key] = db.session.scalars(sa.select(Delivery.id))
    db.session.commit()
    bulk_actions.start("repair", Filter())
    done()
    assert failed_registry("email.high").get_job_ids() == [show("dlv", key)]
    assert queue("email.high").fetch_job(show("dlv", key)).args == [show("dlv", key)]
    with transaction() as session:
        session.execute(sa.delete(BulkAction))
    bulk_actions.start("discard", Filter())
    done()
    assert failed_registry("email.high").get_job_ids() == []
    assert redis_store.client.keys(f"rq:job:{show('dlv', key)}") == []
    assert bulk_actions.preview(Filter()).total == 0


def test_retried_through_another_provider_it_goes_there_and_the_next_time_as_usual(dead: Dead) -> None:
    providers.add("first", "smtp", {"SMTP_URL": "smtp://127.0.0.1:1"}, position=1)
    providers.add("spare", "smtp", {"SMTP_URL": "smtp://127.0.0.1:2"}, position=2)
    dead(1)
    assert bulk_actions.preview(Filter(channel="email")).providers == ["first", "spare"]
    for provider, expected in (("spare", ["spare"]), (None, ["first", "spare"])):
        with transaction() as session:
            session.execute(sa.delete(BulkAction))
            session.execute(sa.update(Delivery).values(status="failed", failed_at=now(), address_id=_address()))
        bulk_actions.start("retry", Filter(channel="email"), provider=provider)
        done()
        tasks, _ = claim(list(db.session.scalars(sa.select(Delivery.id))))
        assert [adapter.name for adapter in tasks[0].adapters] == expected


def _address() -> Any:
    return db.session.scalar(sa.select(Address.id).where(Address.channel == "email"))


@pytest.mark.parametrize(
    ("kind", "options", "pointer"),
    [
        ("explode", {}, "/kind"),
        ("retry", {"per_second": 0}, "/per_second"),
        ("retry", {"per_second": -1}, "/per_second"),
        ("retry", {"per_second": bulk_actions.MOST_PER_SECOND + 1}, "/per_second"),
        ("retry", {"provider": "nobody"}, "/provider"),
        ("retry", {"provider": "webhook_standard"}, "/provider"),
    ],
)
def test_what_makes_no_sense_starts_nothing(dead: Dead, kind: str, options: Any, pointer: str) -> None:
    dead(1)
    with pytest.raises(Rejected) as refused:
        bulk_actions.start(kind, Filter(channel="email"), **options)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(BulkAction)) == 0


def test_nothing_to_do_starts_nothing(app: APIFlask) -> None:
    with pytest.raises(Rejected, match="nothing to do"):
        bulk_actions.start("retry", Filter())


def test_start_end_and_cancelling_stand_in_the_audit_log(dead: Dead) -> None:
    dead(3)
    with audit.acting_as("ada@example.test", "127.0.0.1"):
        key = bulk_actions.start("retry", Filter(channel="email"))
    done()
    entries = db.session.execute(
        sa.select(AuditEntry.actor, AuditEntry.action, AuditEntry.subject).order_by(AuditEntry.id)
    ).all()
    assert [tuple(row) for row in entries] == [
        ("ada@example.test", f"bulk.{word}", show("blk", key)) for word in ("started", "finished")
    ]


def test_the_audit_log_does_not_keep_whose_jobs_they_were(dead: Dead) -> None:
    """They may be erased, and what stands there cannot be."""
    dead(3)
    bulk_actions.start("retry", Filter(user="ann", channel="email"))
    done()
    [started] = db.session.scalars(sa.select(AuditEntry).where(AuditEntry.action == "bulk.started"))
    assert (started.after["filter"]["channel"], started.after["filter"]["user"]) == ("email", "one person")


def test_a_repair_notes_nothing_until_redis_has_it(dead: Dead, app: APIFlask, request: pytest.FixtureRequest) -> None:
    dead(3)
    action = bulk_actions.start("repair", Filter())
    client = app.extensions["redis"]
    request.getfixturevalue("redis_away")
    bulk_actions.work()
    db.session.rollback()
    row = db.session.get_one(BulkAction, action)
    assert (counts(row), row.cursor, row.finished_at, row.wake_at is not None) == ((3, 0, 0), None, None, True)
    assert bulk_actions.work() == 0  # not before that time
    app.extensions["redis"] = client
    with transaction() as session:
        session.execute(sa.update(BulkAction).values(wake_at=None))
    assert counts(done()) == (3, 3, 0)
    assert failed_registry("email.high").count == 3


def test_one_that_breaks_does_not_hold_up_the_others(dead: Dead) -> None:
    dead(3)
    with transaction() as session:
        session.add(
            BulkAction(
                kind="retry",
                filter={"since": "no time"},
                total=3,
                actor="somebody",
                created_at=now() - timedelta(hours=1),
            )
        )
    bulk_actions.start("retry", Filter())
    with pytest.raises(Rejected):
        bulk_actions.work()
    assert [bulk_actions.work(), bulk_actions.work()] == [3, 0]
    assert statuses() == {"queued": 3}


def test_two_schedulers_do_each_once(dead: Dead, app: APIFlask) -> None:
    total = bulk_actions.BATCH * 3
    dead(total)
    bulk_actions.start("retry", Filter())
    two_schedulers(app, batches=4)
    assert counts(done()) == (total, total, 0)
    assert queue("email.high").count == total


@pytest.mark.parametrize("kind", [bulk_actions.RETRY, bulk_actions.DISCARD])
def test_the_number_of_statements_does_not_grow_with_the_batch(dead: Dead, kind: str) -> None:
    counts = []
    for size in (5, bulk_actions.BATCH):
        dead(size + 1)
        action = bulk_actions.start(kind, Filter(), per_second=size)
        with statements() as sent:
            assert bulk_actions.work() == bulk_actions.BATCH
        bulk_actions.cancel(action)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 8


def test_what_two_people_decide_about_the_same_ones_is_done_once_each(dead: Dead, app: APIFlask) -> None:
    total = bulk_actions.BATCH * 2
    dead(total)
    for kind in ("retry", "discard"):
        bulk_actions.start(kind, Filter())
    two_schedulers(app, batches=8)
    db.session.rollback()
    ended = {
        row.kind: row for row in db.session.scalars(sa.select(BulkAction).where(BulkAction.finished_at.is_not(None)))
    }
    assert {kind: row.done + row.left for kind, row in ended.items()} == {"retry": total, "discard": total}
    assert statuses() == {
        status: done for status, done in (("queued", ended["retry"].done), ("failed", ended["discard"].done)) if done
    }
    assert ended["retry"].done + ended["discard"].done == total
