"""Submissions in, answers out: what is stored, what is refused, and at what cost."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from sqlalchemy.exc import TimeoutError as PoolExhausted

from notifier.access import keys
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Address, InboxItem, InboxState, Notification, Submission, User
from notifier.people import profiles
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.group_commit import Submissions
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.signals.queueing import queue
from tests.running import eventually
from tests.stored import deliveries, row_counts, rows, traces
from tests.stored import sent_statements as statements
from tests.submitting import submission

Submit = Callable[..., Any]


def fates(answer: dict[str, Any]) -> dict[str, list[tuple[str, str, str | None]]]:
    """user → (channel, status, reason) of each delivery."""
    return {
        n["user"]: [(d["channel"], d["status"], d["reason"]) for d in n["deliveries"]] for n in answer["notifications"]
    }


def test_each_person_gets_what_they_chose(cast: dict[str, str], submit: Submit) -> None:
    assert fates(submit(*cast)) == {
        "alice": [
            ("inapp", "delivered", None),
            ("email", "queued", None),
            ("sms", "queued", None),
            ("push", "skipped", "no_address"),
        ],
        "bob": [
            ("inapp", "delivered", None),
            ("email", "queued", None),
            ("push", "skipped", "no_address"),
            ("sms", "skipped", "opted_out"),
        ],
        "carol": [
            ("inapp", "skipped", "opted_out"),
            ("email", "skipped", "opted_out"),
            ("push", "skipped", "no_address"),
            ("sms", "skipped", "opted_out"),
        ],
        "dave": [
            ("inapp", "delivered", None),
            ("email", "skipped", "no_address"),
            ("push", "skipped", "no_address"),
            ("sms", "skipped", "no_address"),
        ],
    }


def test_what_is_queued_has_a_job_and_what_is_in_app_is_in_the_inbox(cast: dict[str, str], submit: Submit) -> None:
    answer = submit("alice")
    by_channel = {d["channel"]: d for d in answer["notifications"][0]["deliveries"]}
    assert queue("email.high").job_ids == [by_channel["email"]["id"]]
    assert queue("sms.high").job_ids == [by_channel["sms"]["id"]]
    assert by_channel["email"]["address"] == "a…@example.test"
    [item] = rows(InboxItem)
    assert (item.user_id, item.type, item.seq, item.read_at) == ("alice", "order_shipped", 1, None)
    assert "A1" in item.title + item.body
    state = db.session.get(InboxState, "alice")
    assert state is not None
    assert (state.seq, state.unread, state.unseen) == (1, 1, 1)


def test_a_recipient_given_inline_is_created_and_later_changed(app: APIFlask, submit: Submit) -> None:
    submit(InlineRecipient("erin", {"email": "Erin@Example.test", "locale": "de"}))
    submit(InlineRecipient("erin", {"email": "erin2@example.test"}))
    user = db.session.get(User, "erin")
    assert user is not None
    assert user.locale == "de"
    [address] = rows(Address)
    assert (address.channel, address.value, address.is_primary) == ("email", "erin2@example.test", True)


def test_somebody_named_twice_gets_one_notification(cast: dict[str, str], submit: Submit) -> None:
    assert list(fates(submit("alice", "alice"))) == ["alice"]


def test_a_type_for_admins_goes_to_every_admin_whoever_was_named(cast: dict[str, str], submit: Submit) -> None:
    submit_admins = [("root", "root@x.test"), ("ops", "ops@x.test")]
    from notifier.access import accounts  # noqa: PLC0415

    for user_id, email in submit_admins:
        accounts.create_account(email, "a long password", role="admin", user_id=user_id)
    assert sorted(fates(submit("alice", type="fraud_alert", data={"order_id": "A1", "reason": "stolen card"}))) == [
        "ops",
        "root",
    ]


REFUSED: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("an unknown type", {"type": "no_such_type"}, [("/type", "unknown_type")]),
    (
        "an unknown user",
        {"recipients": ("alice", "nobody", "no-one")},
        [("/recipients/1", "unknown_user"), ("/recipients/2", "unknown_user")],
    ),
    ("an unknown channel", {"channels": ("email", "pigeon")}, [("/channels/1", "unknown_channel")]),
    (
        "several things at once",
        {"recipients": ("nobody", "alice"), "channels": ("pigeon",), "data": {}},
        [("/channels/0", "unknown_channel"), ("/data/order_id", "missing"), ("/recipients/0", "unknown_user")],
    ),
    ("data that lacks a key", {"data": {}}, [("/data/order_id", "missing")]),
    ("data of the wrong type", {"data": {"order_id": ["A1"]}}, [("/data/order_id", "type")]),
    (
        "a script as a link",
        {"data": {"order_id": "A1", "tracking_url": "javascript:alert(1)"}},
        [("/data/tracking_url", "pattern")],
    ),
    ("a template nobody published", {"template": "order_shipped@99"}, [("/template", "unknown_template")]),
    (
        "marketing that wants to be urgent",
        {"type": "newsletter", "data": {"title": "t", "body": "b"}, "priority": "urgent"},
        [("/priority", "priority_too_high")],
    ),
    ("a time in the past", {"send_at": now() - timedelta(hours=1)}, [("/send_at", "in_the_past")]),
    ("a time beyond a year", {"send_at": now() + timedelta(days=400)}, [("/send_at", "too_far_ahead")]),
    (
        "a phone that is none",
        {"recipients": (InlineRecipient("zoe", {"phone": "12"}),)},
        [("/recipients/0/phone", "invalid_phone")],
    ),
    (
        "an e-mail that is none",
        {"recipients": (InlineRecipient("zoe", {"email": "nope"}),)},
        [("/recipients/0/email", "invalid_email")],
    ),
]


@pytest.mark.parametrize(("fields", "faults"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused_stores_nothing(
    cast: dict[str, str], submit: Submit, fields: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    before = row_counts()
    with pytest.raises(Rejected) as refused:
        submit(
            *fields.get("recipients", ("alice",)),
            **{name: value for name, value in fields.items() if name != "recipients"},
        )
    assert [(f.pointer, f.code) for f in refused.value.faults] == faults
    assert row_counts() == before
    assert traces() == []


def test_a_key_may_be_limited_to_types(cast: dict[str, str], caller: Caller, submit: Submit) -> None:
    limited = replace(caller, types=frozenset({"like"}))
    with pytest.raises(Rejected, match="may not submit"):
        submit("alice", caller=limited)


def test_a_bad_item_never_harms_its_neighbours(cast: dict[str, str], caller: Caller) -> None:
    batch = [submission("alice"), submission("nobody"), submission("bob", data={}), submission("dave")]
    results = accept([Item(caller, s) for s in batch])
    assert [type(r) for r in results] == [Accepted, Rejected, Rejected, Accepted]
    assert {n.user_id for n in rows(Notification)} == {"alice", "dave"}


def test_somebody_created_by_one_item_is_known_to_the_next(app: APIFlask, caller: Caller) -> None:
    results = accept(
        [Item(caller, submission(InlineRecipient("erin", {"name": "Erin"}))), Item(caller, submission("erin"))]
    )
    assert [type(r) for r in results] == [Accepted, Accepted]


def test_an_outage_is_told_once_and_not_to_each_item_alone(cast: dict[str, str], caller: Caller) -> None:
    asked = []

    def no_connection(_: Any) -> None:
        asked.append(1)
        raise PoolExhausted

    sa.event.listen(db.engine, "begin", no_connection)
    try:
        with pytest.raises(PoolExhausted):
            accept([Item(caller, submission("alice"))] * 3)
    finally:
        sa.event.remove(db.engine, "begin", no_connection)
    assert len(asked) == 1


# ---- cost


@pytest.mark.parametrize("with_keys", [False, True])
def test_the_number_of_statements_does_not_grow_with_the_batch(
    cast: dict[str, str], caller: Caller, with_keys: bool
) -> None:
    def cost(size: int) -> int:
        batch = [
            Item(
                caller,
                submission(
                    InlineRecipient(f"new-{size}-{i}", {"email": f"p{size}-{i}@x.test"}),
                    "alice",
                    idempotency=(f"{size}-{i}", "00" * 32) if with_keys else None,
                ),
            )
            for i in range(size)
        ]
        with statements() as sent:
            assert all(isinstance(r, Accepted) for r in accept(batch))
        return len(sent)

    cost(1)  # templates are cached from now on
    assert cost(2) == cost(40)


# ---- idempotency


def test_the_same_key_gives_the_first_answer_again(cast: dict[str, str], caller: Caller) -> None:
    item = Item(caller, submission("alice", idempotency=("k1", "aa" * 32)))
    [first], [second] = accept([item]), accept([item])
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert (first.answer, first.replayed, second.replayed) == (second.answer, False, True)
    assert len(rows(Notification)) == 1


def test_the_same_key_with_another_body_is_refused(cast: dict[str, str], caller: Caller) -> None:
    accept([Item(caller, submission("alice", idempotency=("k1", "aa" * 32)))])
    [second] = accept([Item(caller, submission("bob", idempotency=("k1", "bb" * 32)))])
    assert isinstance(second, Rejected)
    assert second.code == "idempotency_mismatch"


def test_repeats_inside_one_batch_are_recognised(cast: dict[str, str], caller: Caller) -> None:
    same, other = submission("alice", idempotency=("k1", "aa" * 32)), submission("bob", idempotency=("k1", "bb" * 32))
    first, again, mismatch = accept([Item(caller, same), Item(caller, same), Item(caller, other)])
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (first.answer, again.replayed) == (again.answer, True)
    assert isinstance(mismatch, Rejected)


def test_a_replay_gets_the_first_answer_whatever_has_changed_since(cast: dict[str, str], caller: Caller) -> None:
    send_at = now() + timedelta(hours=1)
    item = Item(caller, submission("dave", send_at=send_at, idempotency=("k1", "aa" * 32)))
    [first] = accept([item])
    profiles.erase("dave")
    with time_machine.travel(send_at + timedelta(hours=1)):
        [second] = accept([item])
    assert isinstance(first, Accepted)
    assert second == Accepted(first.answer, replayed=True)


def test_who_was_created_by_a_refused_item_is_unknown_to_the_next(cast: dict[str, str], caller: Caller) -> None:
    first, other = (
        submission("alice", idempotency=("k1", "aa" * 32)),
        submission(InlineRecipient("erin", {"name": "E"}), idempotency=("k1", "bb" * 32)),
    )
    results = accept([Item(caller, first), Item(caller, other), Item(caller, submission("erin"))])
    assert [r.code if isinstance(r, Rejected) else "accepted" for r in results] == [
        "accepted",
        "idempotency_mismatch",
        "unknown_user",
    ]


def test_keys_are_each_producers_own(cast: dict[str, str], caller: Caller) -> None:
    stranger = replace(caller, producer_id=keys.create_producer("Other").id)
    body = submission("alice", idempotency=("k1", "aa" * 32))
    assert [r.replayed for r in accept([Item(caller, body), Item(stranger, body)]) if isinstance(r, Accepted)] == [
        False,
        False,
    ]


def test_of_many_at_once_with_one_key_one_is_the_first(app: APIFlask, cast: dict[str, str], caller: Caller) -> None:
    item = Item(caller, submission("alice", idempotency=("k1", "aa" * 32)))
    results: list[Any] = []
    barrier = threading.Barrier(8)

    def run() -> None:
        with app.app_context():
            barrier.wait()
            results.extend(accept([item]))  # each a batch of its own, as in eight processes

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(r, Accepted) for r in results), results
    assert sorted(r.replayed for r in results) == [False] + [True] * 7
    assert len({r.answer["id"] for r in results}) == 1
    assert len(rows(Notification)) == 1


# ---- large submissions


def test_more_than_a_hundred_recipients_are_expanded_once(app: APIFlask, submit: Submit) -> None:
    crowd = [InlineRecipient(f"u{i}", {"name": f"U {i}"}) for i in range(101)]
    answer = submit(*crowd)
    assert answer["notifications"] is None
    [row] = rows(Submission)
    assert row.status == "expanding"
    assert queue("expand.low").job_ids == [answer["id"]]
    assert expand(row.id) == 101
    assert expand(row.id) == 0
    assert len(rows(Notification)) == 101
    [row] = rows(Submission)
    assert (row.status, row.expanded, row.body, row.wake_at) == ("expanded", 101, None, None)


def test_a_large_submission_with_an_unknown_recipient_stores_nothing(app: APIFlask, submit: Submit) -> None:
    before = row_counts()
    with pytest.raises(Rejected) as refused:
        submit(*[InlineRecipient(f"u{i}", {"name": "x"}) for i in range(150)], "stranger")
    assert [f.pointer for f in refused.value.faults] == ["/recipients/150"]
    assert row_counts() == before


# ---- group commit


class Patient(Submissions):
    """Whoever leads gathers until all are there, however slow the machine is."""

    def _gather(self) -> None:
        eventually(lambda: len(self._waiting) == 24)


def test_requests_at_the_same_time_share_a_transaction_and_each_gets_its_own_answer(
    app: APIFlask, cast: dict[str, str], caller: Caller
) -> None:
    group, answers = Patient(), {}

    def run(index: int) -> None:
        with app.app_context():
            try:
                answers[index] = group.submit(
                    Item(caller, submission("nobody" if index % 8 == 0 else "alice", data={"order_id": f"o{index}"}))
                ).answer["id"]
            except Rejected as refused:
                answers[index] = refused.code

    threads = [threading.Thread(target=run, args=(i,)) for i in range(24)]
    with statements() as sent:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answers[i] for i in (0, 8, 16)] == ["unknown_user"] * 3
    assert len({answers[i] for i in range(24) if i % 8}) == 21
    assert sum("INSERT INTO submission" in s for s in sent) == 1


def test_a_test_key_takes_the_whole_path_and_shows_nothing(
    cast: dict[str, str], caller: Caller, submit: Submit
) -> None:
    submit("alice", caller=replace(caller, is_test=True), channels=("inapp", "email"))
    assert [(d.channel, d.status) for d in deliveries()] == [("inapp", "queued"), ("email", "queued")]
    assert rows(InboxItem) == []


# ---- test keys


def test_a_rehearsal_never_swallows_the_real_call(cast: dict[str, str], caller: Caller) -> None:
    body = submission("alice", idempotency=("k1", "aa" * 32))
    [rehearsal], [real] = accept([Item(replace(caller, is_test=True), body)]), accept([Item(caller, body)])
    assert isinstance(rehearsal, Accepted)
    assert isinstance(real, Accepted)
    assert not real.replayed
    assert real.answer["id"] != rehearsal.answer["id"]


class Leaderless(Submissions):
    """Its first leader is ended from outside while it gathers."""

    has_lost_one = False

    def _gather(self) -> None:
        if not self.has_lost_one:
            self.has_lost_one = True
            eventually(lambda: len(self._waiting) == 2)
            raise SystemExit
        super()._gather()


def test_a_leader_that_is_ended_leaves_nobody_waiting(app: APIFlask, caller: Caller, cast: dict[str, str]) -> None:
    group = Leaderless()

    def lead() -> None:
        with app.app_context(), contextlib.suppress(SystemExit):
            group.submit(Item(caller, submission("alice")))

    leader = threading.Thread(target=lead)
    leader.start()
    eventually(lambda: group.has_lost_one)
    assert group.submit(Item(caller, submission("bob"))).answer["notifications"]
    leader.join()
