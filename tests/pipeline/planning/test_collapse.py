"""collapse_key: a newer notification takes the place of an older one that was not sent, or not read."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.ids import parse, show
from notifier.inbox import marks
from notifier.inbox.marks import Chosen
from notifier.models import Capture, CollapseHead, Delivery, InboxItem, InboxState, Notification
from notifier.pipeline.delivery.deliver import begin, deliver, send
from notifier.pipeline.delivery.record import record
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.cancel import cancel
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Caller, Item
from notifier.pipeline.planning import replacing
from notifier.pipeline.upkeep import due
from notifier.queries import inbox as queries
from tests.pipeline.intake.test_accept_races import at_once
from tests.pipeline.upkeep.test_due import wake
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements
from tests.submitting import submission

Submit = Callable[..., Any]
BOTH = ("inapp", "email")
HOUR = timedelta(hours=1)


@pytest.fixture
def say(submit: Submit) -> Callable[..., str]:
    """`say("shipped", …)` → the shown id of the notification, to alice, by mail, with the key `order-1` unless told
    otherwise.
    """

    def _say(what: str, to: Any = "alice", **fields: Any) -> str:
        fields = {"channels": ("email",), "collapse_key": "order-1", **fields}
        return str(submit(to, data={"order_id": what}, **fields)["notifications"][0]["id"])

    return _say


def said(**columns: Any) -> list[tuple[str, str, str, str | None]]:
    """(what, channel, status, reason) of every delivery."""
    what = {row.id: row.data["order_id"] for row in rows(Notification)}
    return [(what[row.notification_id], row.channel, row.status, row.reason) for row in deliveries(**columns)]


def in_view(filter: str = "all", user_id: str = "alice") -> list[str]:
    return [item["data"]["order_id"] for item in queries.page(user_id, filter=filter)["data"]]


def counts(user_id: str = "alice") -> tuple[int, int]:
    [state] = rows(InboxState, user_id=user_id)
    return state.unread, state.unseen


# ---- what was not sent


def test_what_waits_or_is_queued_makes_way(say: Any, cast: Any) -> None:
    say("placed", send_at=now() + HOUR)
    say("shipped")
    newest = say("delivered")
    assert said() == [
        ("placed", "email", "skipped", "superseded"),
        ("shipped", "email", "skipped", "superseded"),
        ("delivered", "email", "queued", None),
    ]
    assert [row.detail["superseded_by"] for row in deliveries(status="skipped")][1] == newest
    assert [outcome.status for outcome in deliver([row.id for row in deliveries()])] == ["delivered"]


def test_cancelling_the_newer_one_brings_the_older_one_back(say: Any, cast: Any) -> None:
    say("placed")
    newer = say("shipped", send_at=now() + HOUR)
    assert said()[0] == ("placed", "email", "skipped", "superseded")
    cancel(parse("ntf", newer))
    due.ring_due()
    assert said() == [("placed", "email", "queued", None), ("shipped", "email", "cancelled", "cancelled")]
    assert [row.detail for row in deliveries(status="queued")] == [{}]
    assert [outcome.status for outcome in deliver([row.id for row in deliveries()])] == ["delivered"]


def test_what_comes_back_waits_for_what_it_waited_for(say: Any, cast: Any) -> None:
    say("placed", send_at=now() + 2 * HOUR)
    cancel(parse("ntf", say("shipped", send_at=now() + HOUR)))
    due.ring_due()
    assert said()[0] == ("placed", "email", "waiting", "scheduled")
    say("delivered")
    assert said()[0] == ("placed", "email", "skipped", "superseded")


def test_the_later_steps_of_a_routing_come_back_as_such(say: Any, cast: Any) -> None:
    say("placed", channels=("email", "sms"), routing="first", send_at=now() + HOUR)
    cancel(parse("ntf", say("shipped", send_at=now() + HOUR)))
    assert said()[:2] == [("placed", "email", "waiting", "scheduled"), ("placed", "sms", "waiting", "fallback")]
    [later] = deliveries(reason="fallback")
    assert later.wake_at == later.expires_at, "nothing waits for ever"


def test_nothing_comes_back_for_one_that_has_gone_out_or_was_replaced_itself(say: Any, cast: Any) -> None:
    say("placed")
    newer = say("shipped", channels=("inapp", "email"))  # its item is shown at once
    cancel(parse("ntf", newer))
    assert said()[0] == ("placed", "email", "skipped", "superseded")
    say("packed", collapse_key="order-2", send_at=now() + HOUR)
    middle = say("sent", collapse_key="order-2", channels=("email", "sms"), send_at=now() + HOUR)
    say("arrived", collapse_key="order-2", send_at=now() + HOUR)
    with pytest.raises(Rejected):
        cancel(parse("ntf", middle))
    assert [fate for what, _, *fate in said() if what == "packed"] == [["skipped", "superseded"]]


def test_what_was_sent_stays(say: Any, cast: Any) -> None:
    say("shipped")
    deliver([row.id for row in deliveries()])
    say("delivered")
    assert said() == [("shipped", "email", "delivered", None), ("delivered", "email", "queued", None)]


def test_the_steps_of_an_escalation_make_way(say: Any, cast: Any) -> None:
    say("shipped", channels=("inapp", "email", "sms"), routing="escalate")
    say("delivered", channels=("inapp", "email"), routing="escalate")
    assert said()[1:3] == [("shipped", "email", "skipped", "superseded"), ("shipped", "sms", "skipped", "superseded")]
    assert said()[4:] == [("delivered", "email", "waiting", "escalation")]


ELSEWHERE: dict[str, dict[str, Any]] = {
    "another key": {"collapse_key": "order-2"},
    "another person": {"to": "bob"},
    "no key": {"collapse_key": None},
}


@pytest.mark.parametrize("fields", ELSEWHERE.values(), ids=ELSEWHERE)
def test_it_makes_way_for_its_own_key_only(say: Any, cast: Any, fields: dict[str, Any]) -> None:
    say("shipped")
    say("delivered", **fields)
    assert [row.status for row in deliveries()] == ["queued", "queued"]


@pytest.mark.parametrize("is_test", [False, True], ids=["another producer", "a test key"])
def test_keys_of_others_never_meet(say: Any, caller: Caller, cast: Any, is_test: bool) -> None:
    producer_id = caller.producer_id if is_test else create_producer("Other").id
    say("shipped")
    say("delivered", caller=Caller(producer_id, is_test=is_test, may_be_urgent=True, types=None, request_id="req-2"))
    assert [row.status for row in deliveries()] == ["queued", "queued"]


def test_what_is_not_said_itself_replaces_nothing(say: Any, cast: Any) -> None:
    say("shipped", to="dave", channels=("inapp",), send_at=now() + HOUR)
    say("delivered", to="dave", channels=("email",))
    assert said() == [("shipped", "inapp", "waiting", "scheduled"), ("delivered", "email", "skipped", "no_address")]
    say("returned", to="dave", channels=("inapp",))
    assert said()[0] == ("shipped", "inapp", "skipped", "superseded")


def test_the_key_reaches_the_provider(say: Any, caller: Caller, cast: Any) -> None:
    test_key = Caller(caller.producer_id, is_test=True, may_be_urgent=True, types=None, request_id="req-2")
    say("shipped", channels=("inapp",), caller=test_key)
    deliver([row.id for row in deliveries()])
    assert [row.content["payload"]["collapse_key"] for row in rows(Capture)] == ["order-1"]


# ---- what was not read


def test_an_unread_item_is_replaced(say: Any, cast: Any, ear: Any) -> None:
    say("shipped", channels=("inapp",))
    ear.heard()
    say("delivered", channels=("inapp",))
    old, new = rows(InboxItem)
    assert (old.replaced_by, old.archived_at is not None, new.replaced_by) == (new.id, True, None)
    assert (in_view(), in_view("unread"), in_view("archived"), counts()) == (["delivered"], ["delivered"], [], (1, 1))
    (_, first, arrived), (user_id, second, changed) = ear.heard()
    assert (first, arrived["seq"], arrived["item"]["id"], "replaced_by" in arrived["item"]) == (
        "item",
        2,
        show("dlv", new.id),
        False,
    )
    assert (user_id, second, changed["seq"], changed["unread"], changed["unseen"]) == ("alice", "state", 3, 1, 1)
    assert [(item["id"], item["replaced_by"]) for item in changed["changed"]] == [
        (show("dlv", old.id), show("dlv", new.id))
    ]
    assert queries.changes("alice", 1)["changed"][1] == changed["changed"][0]


def mark(name: str) -> Callable[[], Any]:
    if name == "snooze":
        return lambda: marks.snooze("alice", Chosen(), now() + HOUR)
    return lambda: getattr(marks, name)("alice", Chosen())


LEFT: dict[str, tuple[str, bool, tuple[int, int], list[str]]] = {
    # the mark on the older one; whether it is replaced; the counts and the list after that
    "seen": ("seen", True, (1, 1), ["delivered"]),
    "read": ("read", False, (1, 1), ["delivered", "shipped"]),
    "archived": ("archive", False, (1, 1), ["delivered"]),
    "snoozed": ("snooze", True, (1, 1), ["delivered"]),
}


@pytest.mark.parametrize(("name", "is_replaced", "counted", "left"), LEFT.values(), ids=LEFT)
def test_what_was_read_or_put_away_stays(
    say: Any, cast: Any, name: str, is_replaced: bool, counted: Any, left: Any
) -> None:
    say("shipped", channels=("inapp",))
    mark(name)()
    say("delivered", channels=("inapp",))
    assert ([row.replaced_by is not None for row in rows(InboxItem)], counts(), in_view()) == (
        [is_replaced, False],
        counted,
        left,
    )
    marks.wake_snoozed(now() + 2 * HOUR)
    assert (counts(), in_view()) == (counted, left)


def test_a_replaced_item_cannot_be_brought_back(say: Any, cast: Any) -> None:
    say("shipped", channels=("inapp",))
    say("delivered", channels=("inapp",))
    old = rows(InboxItem)[0].id
    for name in ("unarchive", "read", "seen", "snooze"):
        answer = (
            marks.snooze("alice", Chosen((old,)), now())
            if name == "snooze"
            else getattr(marks, name)("alice", Chosen((old,)))
        )
        assert (answer["seq"], answer["unread"]) == (3, 1)


def test_an_item_is_replaced_by_an_item(say: Any, cast: Any) -> None:
    say("placed", channels=("inapp",))
    say("shipped", channels=("email",))
    assert in_view() == ["placed"]
    say("delivered", channels=BOTH)
    assert (in_view(), counts()) == (["delivered"], (1, 1))


def test_an_item_for_later_replaces_when_it_is_shown(say: Any, cast: Any, ear: Any) -> None:
    say("shipped", channels=("inapp",))
    say("delivered", channels=("inapp",), send_at=now() + HOUR)
    assert (in_view(), counts()) == (["shipped"], (1, 1))
    ear.heard()
    wake()
    due.ring_due()
    assert (in_view(), counts(), [event for _, event, _ in ear.heard()]) == (["delivered"], (1, 1), ["item", "state"])


# ---- which is the newer one


def test_a_late_one_of_an_older_sequence_is_left_out(say: Any, cast: Any) -> None:
    newest = say("delivered", channels=BOTH, sequence=7)
    say("shipped", channels=BOTH, sequence=6)
    assert said()[2:] == [("shipped", "inapp", "skipped", "superseded"), ("shipped", "email", "skipped", "superseded")]
    assert [row.detail for row in deliveries(status="skipped")] == [{"superseded_by": newest}] * 2
    assert (in_view(), [row.sequence for row in rows(Notification)]) == (["delivered"], [7, 6])


def test_among_equal_sequences_the_later_one_counts(say: Any, cast: Any) -> None:
    for what in ("shipped", "delivered"):
        say(what, sequence=2**53)
    assert said() == [("shipped", "email", "skipped", "superseded"), ("delivered", "email", "queued", None)]


BATCHES: dict[str, tuple[list[int | None], int]] = {
    "by their order": ([None, None, None], 2),
    "by their sequence": ([2, 3, 1], 1),
    "by their order among equals": ([5, 5, 4], 1),
}


@pytest.mark.parametrize(("sequences", "newest"), BATCHES.values(), ids=BATCHES)
def test_of_several_in_one_batch_one_goes(caller: Caller, cast: Any, sequences: list[int | None], newest: int) -> None:
    items = [
        Item(
            caller,
            submission("alice", data={"order_id": f"n{index}"}, channels=BOTH, collapse_key="k", sequence=sequence),
        )
        for index, sequence in enumerate(sequences)
    ]
    items.append(Item(caller, submission("alice", data={"order_id": "other"}, channels=BOTH, collapse_key="other")))
    assert len(accept(items)) == 4
    alive = {what for what, _, status, _ in said() if status != "skipped"}
    assert (alive, sorted(in_view()), counts()) == ({f"n{newest}", "other"}, sorted([f"n{newest}", "other"]), (2, 2))


def test_what_is_expanded_late_is_as_old_as_its_submission(submit: Submit, say: Any, cast: Any) -> None:
    crowd = ["alice", *(InlineRecipient(f"u{n}", {"email": f"u{n}@x.test"}) for n in range(100))]
    older = submit(*crowd, data={"order_id": "older"}, channels=("email",), collapse_key="order-1")
    say("newer")
    expand(parse("sub", older["id"]))
    mine = [row.id for row in rows(Notification, user_id="alice")]
    assert [(row.status, row.reason) for row in deliveries() if row.notification_id in mine] == [
        ("queued", None),
        ("skipped", "superseded"),
    ]
    assert len(deliveries(status="queued")) == 101


def test_a_dry_run_tells_and_takes_nothing(say: Any, caller: Caller, cast: Any) -> None:
    say("delivered", sequence=7)
    head = rows(CollapseHead)[0].notification_id

    def rehearsed(sequence: int) -> Any:
        item = Item(caller, submission("alice", channels=("email",), collapse_key="order-1", sequence=sequence))
        [answer] = dry_run([item])[0]["notifications"]
        return answer["deliveries"][0]["reason"]

    assert (rehearsed(6), rehearsed(8), rows(CollapseHead)[0].notification_id) == ("superseded", None, head)


# ---- races


def test_one_that_is_being_sent_is_not_tried_again(say: Any, cast: Any) -> None:
    say("shipped", to=InlineRecipient("alice", {"email": "soft-fail@sandbox.test"}))
    tasks, _ = begin([row.id for row in deliveries()])
    say("delivered")
    send(tasks[0])
    record(tasks)
    assert said()[0] == ("shipped", "email", "waiting", "retry")
    wake()
    due.ring_due()
    assert [(outcome.status, outcome.explanation) for outcome in deliver([deliveries()[0].id])] == [
        ("skipped", "superseded")
    ]


@pytest.mark.parametrize("channel", ["email", "inapp"])
def test_what_a_scheduler_held_just_then_is_stopped_later(say: Any, cast: Any, channel: str) -> None:
    say("shipped", channels=(channel,), send_at=now() + HOUR)
    newest = say("delivered", channels=(channel,))
    with transaction() as session:  # as if it had been locked while the newer one looked for it
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == deliveries()[0].id)
            .values(status="waiting", reason="scheduled", wake_at=now(), detail={})
        )
    due.ring_due()
    deliver([row.id for row in deliveries(status="queued")])
    older = deliveries()[0]
    assert (older.status, older.reason, older.detail) == ("skipped", "superseded", {"superseded_by": newest})
    assert in_view() == (["delivered"] if channel == "inapp" else [])


def test_of_many_at_once_one_is_left(app: APIFlask, caller: Caller, cast: Any) -> None:
    def submit_some(worker: int) -> Callable[[], Any]:
        def repeatedly() -> None:
            for number in range(6):
                batch = [
                    Item(
                        caller,
                        submission(user, data={"order_id": f"{worker}.{number}"}, channels=BOTH, collapse_key="k"),
                    )
                    for user in random.Random(worker * 10 + number).sample(["alice", "bob"], 2)
                ]
                accept(batch)

        return repeatedly

    assert at_once(app, *(submit_some(worker) for worker in range(4))) == [None] * 4
    for user_id in ("alice", "bob"):
        assert (len(in_view(user_id=user_id)), counts(user_id)) == (1, (1, 1))
    heads = {row.notification_id for row in rows(CollapseHead)}
    assert {row.notification_id for row in deliveries(channel="email", status="queued")} == heads
    assert {row.notification_id for row in rows(InboxItem) if row.replaced_by is None} == heads


def test_the_greatest_sequence_wins_whoever_is_first(app: APIFlask, caller: Caller, cast: Any) -> None:
    def submit_one(sequence: int) -> Callable[[], Any]:
        return lambda: len(
            accept(
                [
                    Item(
                        caller,
                        submission(
                            "alice",
                            data={"order_id": str(sequence)},
                            channels=BOTH,
                            collapse_key="k",
                            sequence=sequence,
                        ),
                    )
                ]
            )
        )

    numbers = list(range(12))
    random.Random(1).shuffle(numbers)
    for start in range(0, 12, 4):
        assert at_once(app, *(submit_one(number) for number in numbers[start : start + 4])) == [1] * 4
    assert (in_view(), counts()) == (["11"], (1, 1))
    assert [what for what, *_ in said(channel="email", status="queued")] == ["11"]


def test_a_worker_and_a_newer_one_at_once_agree(app: APIFlask, say: Any, caller: Caller, cast: Any) -> None:
    """Each mail was sent, or is superseded by a newer one; the last is sent in any case."""

    def work() -> None:
        for _ in range(8):
            deliver([row.id for row in deliveries(status="queued")])

    def talk() -> None:
        for number in range(8):
            accept(
                [
                    Item(
                        caller,
                        submission("alice", data={"order_id": str(number)}, channels=("email",), collapse_key="k"),
                    )
                ]
            )

    assert at_once(app, work, talk, work) == [None] * 3
    work()
    assert {row[2:] for row in said()} <= {("delivered", None), ("skipped", "superseded")}
    assert said()[-1] == ("7", "email", "delivered", None)
    assert len(rows(Capture)) == len(deliveries(status="delivered"))


# ---- its cost, and its end


def test_a_batch_costs_the_same_whatever_its_size(caller: Caller, cast: Any) -> None:
    def stored(word: str, number: int) -> int:
        crowd = [InlineRecipient(f"{word}{n}", {"email": f"{word}{n}@x.test"}) for n in range(number)]
        for _ in range(2):
            with statements() as sent:
                accept([Item(caller, submission(*crowd, channels=BOTH, collapse_key="k"))])
        return len(sent)

    stored("warm", 20)
    assert stored("few", 20) == stored("many", 80)


def test_a_key_nothing_was_heard_of_is_forgotten(say: Any, cast: Any) -> None:
    say("shipped", collapse_key="silent")
    deliver([row.id for row in deliveries()])
    say("reminder", collapse_key="scheduled", send_at=now() + 300 * timedelta(days=1))
    assert replacing.prune(now() + replacing.KEPT - HOUR) == 0
    assert replacing.prune(now() + replacing.KEPT + HOUR) == 1
    assert [row.collapse_key for row in rows(CollapseHead)] == ["scheduled"]


def test_keys_are_told_apart_exactly() -> None:
    producer = UUID(int=1)
    keys = {
        replacing.key_of("a", producer, False, "k"),
        replacing.key_of("a", producer, True, "k"),
        replacing.key_of("a", None, False, "k"),
        replacing.key_of("b", producer, False, "k"),
        replacing.key_of("a", producer, False, "K"),
    }
    assert (len(keys), max(len(scope) for _, scope, _ in keys)) == (5, 37)
