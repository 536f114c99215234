"""The dry run: what would happen, and why, in the very words; and nothing is left of it."""

from typing import Any

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.core.explain import told, unpacked
from notifier.core.submission import InlineRecipient
from notifier.ground.extensions import db
from notifier.models import Notification
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.item import Caller, Item
from notifier.words import store as template_store
from tests.stored import row_counts, rows, traces
from tests.submitting import submission


def test_a_dry_run_says_what_would_happen_and_leaves_no_trace(cast: dict[str, str], caller: Caller) -> None:
    before = row_counts()
    [answer] = dry_run(
        [
            Item(
                caller,
                submission(InlineRecipient("erin", {"email": "erin@x.test"}), "bob", idempotency=("k1", "aa" * 32)),
            )
        ]
    )
    assert row_counts() == before
    assert traces() == []
    erin, bob = answer["notifications"]
    assert [(d["channel"], d["status"]) for d in erin["deliveries"]] == [
        ("inapp", "queued"),
        ("email", "queued"),
        ("push", "skipped"),
        ("sms", "skipped"),
    ]
    assert "A1" in erin["rendered"]["email"]["text"]
    assert "<html" in bob["rendered"]["email"]["html"]
    assert {step["channel"] for step in bob["trace"]} == {"inapp", "email", "push", "sms"}


def test_a_dry_run_shows_which_channels_would_wait_for_others_to_fail(cast: dict[str, str], caller: Caller) -> None:
    [answer] = dry_run([Item(caller, submission("alice", channels=("sms", "email"), routing="first"))])
    assert [(d["channel"], d["status"], d["reason"]) for d in answer["notifications"][0]["deliveries"]] == [
        ("sms", "queued", None),
        ("email", "waiting", "fallback"),
    ]


def test_a_dry_run_is_refused_as_the_real_thing_is(cast: dict[str, str], caller: Caller) -> None:
    [refused] = dry_run([Item(caller, submission("nobody"))])
    assert isinstance(refused, Rejected)
    assert (refused.code, refused.detail) == ("unknown_user", "there is no user 'nobody'")


def test_a_dry_run_and_the_real_thing_are_told_alike(cast: dict[str, str], caller: Caller, submit: Any) -> None:
    [rehearsed] = dry_run([Item(caller, submission("alice", "bob", "carol", "dave"))])
    submit("alice", "bob", "carol", "dave")
    stored = {row.user_id: told(unpacked(row.decision)) for row in rows(Notification)}
    assert {one["user"]: one["trace"] for one in rehearsed["notifications"]} == stored


def test_the_words_are_made_when_nobody_waits_for_the_lock_any_more(cast: dict[str, str], caller: Caller) -> None:
    happened: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        happened.append("words" if "template_content" in statement else "facts")

    def rolled_back(_c: Any) -> None:
        happened.append("rolled back")

    template_store._kept.clear()
    sa.event.listen(db.engine, "before_cursor_execute", note)
    sa.event.listen(db.engine, "rollback", rolled_back)
    try:
        dry_run([Item(caller, submission("alice"))])
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
        sa.event.remove(db.engine, "rollback", rolled_back)
    assert "facts" in happened[: happened.index("rolled back")]
    assert happened.index("words") > happened.index("rolled back")


def test_several_are_rehearsed_beside_each_other_as_in_a_bulk_call(cast: dict[str, str], caller: Caller) -> None:
    """The third one repeats the first, the fourth is for somebody whom the second would make;
    the bad one stops nobody.
    """
    before = row_counts()
    like = {"type": "like", "data": {"actor": "Eve"}, "dedupe": True}
    results = dry_run(
        [
            Item(caller, submission("alice", **like)),
            Item(caller, submission(InlineRecipient("erin", {"email": "erin@x.test"}))),
            Item(caller, submission("alice", **like)),
            Item(caller, submission("erin")),
            Item(caller, submission("nobody")),
        ]
    )
    assert [result.code for result in results if isinstance(result, Rejected)] == ["unknown_user"]
    told = [result["notifications"] for result in results if not isinstance(result, Rejected)]
    assert [[one["user"] for one in each] for each in told] == [["alice"], ["erin"], ["alice"], ["erin"]]
    assert {delivery["reason"] for delivery in told[2][0]["deliveries"]} == {"duplicate"}
    assert {delivery["channel"] for delivery in told[3][0]["deliveries"] if delivery["status"] == "queued"} == {
        "inapp",
        "email",
    }
    assert row_counts() == before
