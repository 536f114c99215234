"""De-duplication: what was said a short time ago is left out, and the answer names the earlier notification."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, keys
from notifier.catalogue.known import load_wordings
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.encryption import vault
from notifier.ground.ids import new_id, parse
from notifier.models import ContentMark, EventType, InboxItem, Notification, Submission
from notifier.people import preferences as choosing
from notifier.people import profiles
from notifier.pipeline.intake import own
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.cancel import cancel
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Accepted, Caller, Item
from notifier.pipeline.planning import repeats
from tests import submitting
from tests.stored import deliveries, rows
from tests.stored import sent_statements as statements

Submit = Callable[..., Any]
submission = partial(submitting.submission, dedupe=None)  # as of a producer that says nothing about it
LIKE: dict[str, Any] = {"type": "like", "data": {"actor": "Mira", "text": "Nice mug"}, "channels": ("inapp",)}

# The rule is the same on both
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.fixture
def submit(submit: Submit) -> Submit:
    return partial(submit, dedupe=None)


@pytest.fixture(autouse=True)
def types(app: APIFlask) -> Any:
    """`types("like", dedupe_near=True)` changes a type until the end of the test."""
    before: dict[str, dict[str, Any]] = {}

    def change(key: str, **columns: Any) -> None:
        with transaction() as session:
            row = session.get_one(EventType, key, populate_existing=True)
            before.setdefault(key, {name: getattr(row, name) for name in columns})
            for name, value in columns.items():
                setattr(row, name, value)

    yield change
    for key, columns in list(before.items()):
        change(key, **columns)


def of(answer: Any) -> str:
    """`went`, or the id of the notification it repeats."""
    result = answer.answer if isinstance(answer, Accepted) else answer
    [notification] = result["notifications"]
    told = {d["detail"].get("duplicate_of", "went") for d in notification["deliveries"]}
    assert {d["reason"] for d in notification["deliveries"] if d["status"] == "skipped"} <= {"duplicate"}
    return str(told.pop())


def id_of(answer: dict[str, Any]) -> str:
    return str(answer["notifications"][0]["id"])


# ---- what is a repeat


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "changes", "is_repeat"),
    [
        ("the same", {}, True),
        ("the same, asked for", {"dedupe": True}, True),
        ("the same, on purpose", {"dedupe": False}, False),
        ("other data", {"data": {"actor": "Eve", "text": "Nice mug"}}, False),
        ("nearly the same data", {"data": {"actor": "MIRA", "text": "Nice  mug"}}, False),
        ("another type", {"type": "follow"}, False),
        ("by another channel", {"channels": ("email",)}, False),
        ("by that channel, named twice", {"channels": ("inapp", "inapp")}, True),
        ("under another idempotency key", {"idempotency": ("k2", "bb" * 32)}, True),
        ("for another time", {"send_at": timedelta(days=30)}, False),
        ("for a time that has just passed", {"send_at": timedelta(seconds=-1)}, True),
    ],
)
def test_what_is_a_repeat(
    cast: dict[str, str], submit: Submit, case: str, changes: dict[str, Any], is_repeat: bool
) -> None:
    changes = {name: now() + value if isinstance(value, timedelta) else value for name, value in changes.items()}
    first = submit("alice", **LIKE)
    assert of(submit("alice", **{**LIKE, **changes})) == (id_of(first) if is_repeat else "went")


def test_somebody_else_has_not_heard_it_yet(cast: dict[str, str], submit: Submit) -> None:
    first = submit("alice", **LIKE)
    both = submit("alice", "bob", **LIKE)
    assert {n["user"]: {d["detail"].get("duplicate_of") for d in n["deliveries"]} for n in both["notifications"]} == {
        "alice": {id_of(first)},
        "bob": {None},
    }


def test_a_repeat_is_told_in_every_channel_and_stored(cast: dict[str, str], submit: Submit) -> None:
    first = submit("alice", type="like", data={"actor": "Mira"})
    second = submit("alice", type="like", data={"actor": "Mira"})
    stored = [
        (d.channel, d.status, d.reason, d.detail)
        for d in deliveries()
        if d.notification_id.hex == id_of(second).removeprefix("ntf_")
    ]
    assert stored == [
        (channel, "skipped", "duplicate", {"duplicate_of": id_of(first)}) for channel in ("inapp", "push", "email")
    ]
    assert len(rows(InboxItem)) == 1


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("type_", "data", "is_on"),
    [
        ("promotional_offer", {"title": "t"}, True),
        ("newsletter", {"title": "t", "body": "b"}, True),
        ("like", {"actor": "a"}, True),
        ("comment", {"actor": "a"}, True),
        ("order_shipped", {"order_id": "A1"}, True),
        ("account_activity", {"event": "e"}, True),
        ("one_time_code", {"code": "1"}, False),
        ("security_alert", {"event": "e"}, False),
    ],
)
def test_it_is_on_for_every_type_that_is_not_mandatory(
    cast: dict[str, str], submit: Submit, type_: str, data: dict[str, Any], is_on: bool
) -> None:
    first = submit("alice", type=type_, data=data)
    second = submit("alice", type=type_, data=data)
    assert {d["reason"] for d in second["notifications"][0]["deliveries"]} == (
        {"duplicate"} if is_on else {d["reason"] for d in first["notifications"][0]["deliveries"]}
    )


@ON_ONE_DATABASE
def test_what_is_mandatory_is_left_out_only_if_that_is_asked_for(
    cast: dict[str, str], submit: Submit, types: Any
) -> None:
    types("one_time_code", dedupe_window_s=600)
    code: dict[str, Any] = {"type": "one_time_code", "data": {"code": "123456"}, "channels": ("email",)}
    first, second = submit("alice", **code), submit("alice", **code)
    assert [of(first), of(second), of(submit("alice", **code, dedupe=True))] == ["went", "went", id_of(second)]


@ON_ONE_DATABASE
@pytest.mark.parametrize(("near", "is_repeat"), [(True, True), (False, False)])
def test_what_is_nearly_the_same_counts_where_the_type_says_so(
    cast: dict[str, str], submit: Submit, types: Any, near: bool, is_repeat: bool
) -> None:
    types("like", dedupe_near=near)
    first = submit("alice", **LIKE)
    assert of(submit("alice", **{**LIKE, "data": {"actor": "MIRA ", "text": "nice  Mug"}})) == (
        id_of(first) if is_repeat else "went"
    )


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "window_s", "first", "second", "is_repeat"),
    [
        ("both leave it open", 3_600, None, None, True),
        ("only the second asks, of a type with a window", 3_600, False, True, True),
        ("only the second asks, of a type without one", None, None, True, True),
        ("only the second asks, of one without, where the first refused", None, False, True, True),
        ("the first asks, the second leaves it open", None, True, None, False),
        ("the first asks, the second refuses", 3_600, True, False, False),
        ("the window is switched off", 0, None, True, False),
        ("the window is switched off, and both ask", 0, True, True, True),
    ],
)
def test_who_asks_finds_those_that_did_not(
    cast: dict[str, str],
    submit: Submit,
    types: Any,
    case: str,
    window_s: int | None,
    first: bool | None,
    second: bool | None,
    is_repeat: bool,
) -> None:
    types("like", dedupe_window_s=window_s)
    said = submit("alice", **LIKE, dedupe=first)
    assert of(submit("alice", **LIKE, dedupe=second)) == (id_of(said) if is_repeat else "went")


@ON_ONE_DATABASE
def test_of_several_that_did_not_ask_the_newest_is_remembered(cast: dict[str, str], submit: Submit) -> None:
    start = now()
    for after_s in (0, 3_000):
        with time_machine.travel(start + timedelta(seconds=after_s), tick=False):
            newest = submit("alice", **LIKE, dedupe=False)
    with time_machine.travel(start + timedelta(seconds=6_000), tick=False):
        assert of(submit("alice", **LIKE)) == id_of(newest)


@ON_ONE_DATABASE
@pytest.mark.parametrize(("first", "second"), [(None, False), (False, None), (False, False)])
def test_in_one_batch_only_who_asks_is_left_out(
    cast: dict[str, str], caller: Caller, first: bool | None, second: bool | None
) -> None:
    answers = accept([Item(caller, submission("alice", **LIKE, dedupe=dedupe)) for dedupe in (first, second)])
    assert isinstance(answers[0], Accepted)
    assert [of(answer) for answer in answers] == ["went", id_of(answers[0].answer) if second is None else "went"]


def test_what_the_product_itself_says_is_never_left_out_nor_remembered(cast: dict[str, str], types: Any) -> None:
    """Whatever window somebody gave its type: an alarm, a code or a link that is sent again is meant."""
    types("delivery_failure", dedupe_window_s=3_600)
    accounts.create_account("boss@example.test", None, role="admin", user_id="alice")
    alarm = submission("admins", type="delivery_failure", data={"channel": "email", "failed": 3}, channels=("inapp",))
    assert [of(own.submit(alarm)) for _ in range(2)] == ["went", "went"]
    assert rows(ContentMark) == []


# ---- to another address


@pytest.fixture
def shop(caller: Caller) -> Caller:
    """A key that may not change people: what it gives inline holds for one notification."""
    return replace(caller, may_change_people=False)


RIGHT, WRONG, PHONE = "right@x.test", "wrogn@x.test", "+4915199999999"
MAIL: dict[str, Any] = {**LIKE, "channels": ("email",)}
BOTH: dict[str, Any] = {**LIKE, "channels": ("email", "sms")}
NEXT: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], bool]] = [
    ("newcomer", MAIL, {"email": WRONG}, {"email": WRONG}, True),
    ("newcomer", MAIL, {"email": WRONG}, {"email": "wrogn@X.TEST"}, True),
    ("newcomer", MAIL, {"email": WRONG}, {"email": RIGHT}, False),
    ("newcomer", MAIL, {"email": WRONG}, {}, True),
    ("alice", MAIL, {}, {"email": "alice@example.test"}, True),
    ("alice", MAIL, {"email": "alice@example.test"}, {}, True),
    ("alice", MAIL, {}, {"email": RIGHT}, False),
    ("alice", MAIL, {"email": WRONG}, {"email": RIGHT}, False),
    ("alice", MAIL, {"email": WRONG}, {}, False),
    ("alice", MAIL, {"email": WRONG}, {"email": WRONG}, True),
    ("alice", BOTH, {"email": WRONG, "phone": PHONE}, {"phone": PHONE, "email": WRONG}, True),
    ("alice", BOTH, {"email": WRONG}, {"email": WRONG, "phone": "+4915112345678"}, True),  # which is hers
    ("alice", BOTH, {"email": WRONG}, {"email": WRONG, "phone": PHONE}, False),
    ("alice", MAIL, {}, {"phone": PHONE}, True),  # nothing of it goes there
    ("alice", LIKE, {}, {"email": RIGHT}, True),
    ("alice", MAIL, {}, {"name": "Allie", "locale": "de"}, True),
]


@ON_ONE_DATABASE
@pytest.mark.parametrize(("who", "what", "first", "second", "is_repeat"), NEXT)
def test_the_same_to_another_address_is_no_repeat(
    cast: dict[str, str],
    submit: Submit,
    shop: Caller,
    who: str,
    what: dict[str, Any],
    first: dict[str, Any],
    second: dict[str, Any],
    is_repeat: bool,
) -> None:
    said = submit(InlineRecipient(who, first), **what, caller=shop)
    again = submit(InlineRecipient(who, second), **what, caller=shop)
    assert of(again) == (id_of(said) if is_repeat else "went")
    assert of(submit(InlineRecipient(who, second), **what, caller=shop)) == (id_of(said) if is_repeat else id_of(again))


@pytest.mark.parametrize(("second", "is_repeat"), [(RIGHT, False), (WRONG, True)])
def test_in_one_batch_it_is_compared_with_what_the_first_has_stored(
    cast: dict[str, str], shop: Caller, second: str, is_repeat: bool
) -> None:
    them = [InlineRecipient("newcomer", {"email": email}) for email in (WRONG, second)]
    answers = accept([Item(shop, submission(one, **MAIL)) for one in them])
    assert isinstance(answers[0], Accepted)
    assert of(answers[1]) == (id_of(answers[0].answer) if is_repeat else "went")


@ON_ONE_DATABASE
@pytest.mark.parametrize("size", [1, 120])
def test_a_large_submission_and_a_rehearsal_compare_it_too(
    cast: dict[str, str], submit: Submit, shop: Caller, size: int
) -> None:
    others = [InlineRecipient(f"p{n}", {}) for n in range(size - 1)]
    with transaction():
        profiles.create(others, actors={})

    def say(email: str) -> str:
        answer = submit(InlineRecipient("alice", {"email": email}), *others, **MAIL, caller=shop)
        expand(parse("sub", answer["id"]))
        [newest] = [
            row for row in rows(Notification, user_id="alice") if row.submission_id == parse("sub", answer["id"])
        ]
        return str({d.reason for d in deliveries(notification_id=newest.id)})

    def rehearse(email: str) -> str:
        return of(dry_run([Item(shop, submission(InlineRecipient("alice", {"email": email}), **MAIL))])[0])

    said = [say(WRONG), say(WRONG), say(RIGHT), say(RIGHT)]
    assert said == ["{None}", "{'duplicate'}"] * 2
    assert (rehearse(WRONG) == "went", rehearse("third@x.test") == "went") == (False, True)


def test_a_mark_of_the_last_release_still_counts(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    """It holds the digest of a text without addresses."""
    first = submit("alice", **MAIL)
    [mark] = rows(ContentMark)
    assert caller.producer_id is not None
    text = json.dumps(
        [caller.producer_id.hex, "like", load_wordings(["like"])["like"].template_id.hex, ["email"], "", LIKE["data"]],
        sort_keys=True,
        separators=(",", ":"),
    )
    assert bytes(mark.digest) == vault.digest(text)
    assert of(submit("alice", **MAIL)) == id_of(first)


MOVES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    (MAIL, {"email": RIGHT}, False),
    (BOTH, {"phone": PHONE}, False),
    (MAIL, {"phone": PHONE}, True),
    (MAIL, {"email": "alice@example.test"}, True),
    (MAIL, {"name": "Allie"}, True),
]


@pytest.mark.parametrize(("what", "changes", "is_repeat"), MOVES)
def test_whose_stored_address_it_corrects_hears_it_there_once(
    cast: dict[str, str], submit: Submit, what: dict[str, Any], changes: dict[str, Any], is_repeat: bool
) -> None:
    """By a key with the scope users."""
    first = submit("alice", **what)
    corrected = submit(InlineRecipient("alice", changes), **what)
    assert of(corrected) == (id_of(first) if is_repeat else "went")
    for again in (InlineRecipient("alice", changes), "alice"):
        assert of(submit(again, **what)) == (id_of(first) if is_repeat else id_of(corrected))


@ON_ONE_DATABASE
@pytest.mark.parametrize("emails", [(RIGHT, RIGHT), (None, RIGHT), (RIGHT, None)])
def test_of_those_that_correct_it_in_one_batch_one_goes(
    cast: dict[str, str], submit: Submit, caller: Caller, emails: tuple[str | None, ...]
) -> None:
    submit("alice", **MAIL)
    them = [InlineRecipient("alice", {"email": email} if email else {}) for email in emails]
    answers = accept([Item(caller, submission(one, **MAIL)) for one in them])
    assert isinstance(answers[0], Accepted)
    assert [of(answer) for answer in answers] == ["went", id_of(answers[0].answer)]


@ON_ONE_DATABASE
def test_a_stored_address_that_a_large_submission_corrects_is_told_once(cast: dict[str, str], submit: Submit) -> None:
    others = [InlineRecipient(f"p{n}", {"name": "P"}) for n in range(120)]
    reasons = []
    for alice in ("alice", InlineRecipient("alice", {"email": RIGHT}), InlineRecipient("alice", {"email": RIGHT})):
        submission_id = parse("sub", submit(alice, *others, **MAIL)["id"])
        expand(submission_id)
        [newest] = [row for row in rows(Notification, user_id="alice") if row.submission_id == submission_id]
        reasons.append({d.reason for d in deliveries(notification_id=newest.id)})
    assert reasons == [{None}, {None}, {"duplicate"}]


# ---- for how long


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("case", "window_s", "dedupe", "after_s", "is_repeat"),
    [
        ("within the window of the type", 600, None, 599, True),
        ("after it", 600, None, 601, False),
        ("with the window switched off", 0, None, 1, False),
        ("asked for all the same", 0, True, 3_599, True),
        ("without a window", None, None, 1, False),
        ("within the hour that holds without one", None, True, 3_599, True),
        ("after that hour", None, True, 3_601, False),
    ],
)
def test_for_how_long(
    cast: dict[str, str],
    submit: Submit,
    types: Any,
    case: str,
    window_s: int | None,
    dedupe: bool | None,
    after_s: int,
    is_repeat: bool,
) -> None:
    types("like", dedupe_window_s=window_s)
    first = submit("alice", **LIKE, dedupe=dedupe)
    with time_machine.travel(now() + timedelta(seconds=after_s), tick=False):
        assert of(submit("alice", **LIKE, dedupe=dedupe)) == (id_of(first) if is_repeat else "went")


@ON_ONE_DATABASE
def test_a_repeat_does_not_prolong_the_window(cast: dict[str, str], submit: Submit) -> None:
    start = now()
    for after_s, goes in ((0, True), (2_000, False), (3_700, True), (7_000, False)):
        with time_machine.travel(start + timedelta(seconds=after_s), tick=False):
            assert (of(submit("alice", **LIKE)) == "went") is goes


@ON_ONE_DATABASE
def test_the_window_of_a_scheduled_one_begins_at_its_time(cast: dict[str, str], submit: Submit) -> None:
    at = now() + timedelta(days=1)
    first = submit("alice", **LIKE, send_at=at)
    with time_machine.travel(at - timedelta(minutes=5)):
        assert of(submit("alice", **LIKE, send_at=at)) == id_of(first)


# ---- what came to nothing hinders nobody


def test_a_cancelled_one_may_be_said_again(cast: dict[str, str], submit: Submit) -> None:
    first = submit("alice", **LIKE, send_at=now() + timedelta(hours=1))
    [notification] = rows(Notification)
    cancel(notification.id)
    again = submit("alice", **LIKE, send_at=notification.send_at)
    assert of(again) == "went"
    assert of(submit("alice", **LIKE, send_at=notification.send_at)) == id_of(again) != id_of(first)


@pytest.mark.parametrize(
    ("status", "reason", "may_repeat"),
    [
        ("queued", None, False),
        ("sent", None, False),
        ("unknown", None, False),
        ("skipped", "digested", False),
        ("skipped", "frequency_cap", True),
        ("expired", "expired", True),
        ("failed", None, True),
        ("bounced", None, True),
    ],
)
def test_what_became_of_the_first_decides(
    cast: dict[str, str], submit: Submit, status: str, reason: str | None, may_repeat: bool
) -> None:
    mail = {**LIKE, "channels": ("email",)}
    first = submit("alice", **mail)
    with transaction() as session:
        session.execute(
            sa.text("UPDATE delivery SET status = :status, reason = :reason"), {"status": status, "reason": reason}
        )
    assert of(submit("alice", **mail)) == ("went" if may_repeat else id_of(first))


def test_who_had_opted_out_hears_it_when_they_opt_in(cast: dict[str, str], submit: Submit) -> None:
    [skipped] = submit("carol", **LIKE)["notifications"][0]["deliveries"]
    assert skipped["reason"] == "opted_out"
    choosing.change("carol", {"channels": {"inapp": True}}, replace=False, source="test")
    assert of(submit("carol", **LIKE)) == "went"


# ---- whose


@ON_ONE_DATABASE
def test_producers_are_not_compared_with_each_other(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    stranger = replace(caller, producer_id=keys.create_producer("Other").id)
    assert [of(submit("alice", **LIKE)), of(submit("alice", caller=stranger, **LIKE))] == ["went", "went"]


@ON_ONE_DATABASE
def test_a_rehearsal_never_swallows_the_real_one(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    rehearsing = replace(caller, is_test=True)
    first = submit("alice", caller=rehearsing, **LIKE)
    assert of(submit("alice", caller=rehearsing, **LIKE)) == id_of(first)
    assert of(submit("alice", **LIKE)) == "went"


def test_a_dry_run_marks_nothing_and_knows_what_was_said(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    item = Item(caller, submission("alice", **LIKE))
    first_look = dry_run([item])[0]["notifications"][0]["deliveries"]
    assert rows(ContentMark) == []
    said = submit("alice", **LIKE)
    second_look = dry_run([item])[0]["notifications"][0]["deliveries"]
    assert [(d["reason"], d["detail"].get("duplicate_of")) for d in (*first_look, *second_look)] == [
        (None, None),
        ("duplicate", id_of(said)),
    ]


def test_what_is_refused_marks_nothing(cast: dict[str, str], submit: Submit) -> None:
    with pytest.raises(Rejected):
        submit("alice", "nobody", **LIKE)
    assert rows(ContentMark) == []


def test_what_came_to_nothing_marks_nothing(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    """A producer that there is not: the row cannot be stored, and the transaction ends."""
    ghost = replace(caller, producer_id=new_id())
    results = accept([Item(caller, submission("alice", **LIKE)), Item(ghost, submission("alice", **LIKE))])
    assert [isinstance(result, Accepted) for result in results] == [True, False]
    assert [of(results[0]), len(rows(ContentMark))] == ["went", 1]


def test_marks_go_with_the_person_and_tell_nobody_what_was_said(cast: dict[str, str], submit: Submit) -> None:
    submit("alice", **LIKE)
    [mark] = rows(ContentMark)
    assert len(mark.digest) == 32
    profiles.erase("alice")
    assert rows(ContentMark) == []


# ---- batches


def test_equal_ones_in_one_batch_are_one(cast: dict[str, str], caller: Caller) -> None:
    first, second, other = accept([Item(caller, submission(name, **LIKE)) for name in ("alice", "alice", "bob")])
    assert isinstance(first, Accepted)
    assert [of(first), of(second), of(other)] == ["went", id_of(first.answer), "went"]


def test_equal_ones_of_a_batch_name_what_came_before_it(cast: dict[str, str], submit: Submit, caller: Caller) -> None:
    first = submit("alice", **LIKE)
    assert [of(answer) for answer in accept([Item(caller, submission("alice", **LIKE))] * 2)] == [id_of(first)] * 2


@pytest.mark.parametrize(
    ("case", "dedupe", "statements_more"),
    [("none of it to be left out", False, 0), ("all of it new", True, 0)],
)
def test_the_number_of_statements_does_not_grow_with_the_batch(
    cast: dict[str, str], caller: Caller, case: str, dedupe: bool, statements_more: int
) -> None:
    def cost(size: int, **more: Any) -> int:
        batch = [
            Item(caller, submission("alice", "bob", data={"order_id": f"{size}.{i}"}, **more)) for i in range(size)
        ]
        with statements() as sent:
            assert all(isinstance(r, Accepted) for r in accept(batch))
        return len(sent)

    plain = [cost(1), cost(2)][-1]
    assert cost(3, dedupe=dedupe) == cost(40, dedupe=dedupe) == plain + statements_more


def test_repeats_cost_two_statements_more_however_many(cast: dict[str, str], caller: Caller) -> None:
    def cost(size: int) -> int:
        batch = [
            Item(caller, submission("alice", "bob", data={"order_id": f"{size}.{i}"}, dedupe=True)) for i in range(size)
        ]
        accept(batch)
        with statements() as sent:
            accept(batch)
        return len(sent)

    cost(1)
    assert cost(2) == cost(30)


def test_a_large_submission_is_compared_too(app: APIFlask, caller: Caller, submit: Submit) -> None:
    with transaction():
        profiles.upsert([profiles.InlineRecipient(f"u{i}", {"name": "U"}) for i in range(101)])
    everybody = tuple(f"u{i}" for i in range(101))
    earlier = submit("u7", **LIKE, dedupe=True)
    for _ in range(2):
        submit(*everybody, **LIKE, dedupe=True)
    for row in rows(Submission, recipients=101):
        expand(row.id)
    assert len(rows(InboxItem)) == 101
    told = {d.detail.get("duplicate_of") for d in deliveries() if d.reason == "duplicate"}
    assert id_of(earlier) in told
    assert len(told) == 101


def test_on_and_off_survive_expansion(app: APIFlask, submit: Submit) -> None:
    crowd = [profiles.InlineRecipient(f"u{i}", {"name": "U"}) for i in range(101)]
    for dedupe in (None, False):
        submit(*crowd, **LIKE, dedupe=dedupe)
    for row in rows(Submission, recipients=101):
        expand(row.id)
    assert len(rows(InboxItem)) == 202


@pytest.mark.parametrize("names", [("alice",), ("alice", "bob", "carol", "dave")])
def test_of_many_senders_at_once_one_says_it(
    app: APIFlask, cast: dict[str, str], caller: Caller, names: tuple[str, ...]
) -> None:
    """Each its own transaction, as in many processes, and the people in every order."""
    barrier, answers = threading.Barrier(8), list[Any]()

    def run(index: int) -> None:
        with app.app_context():
            barrier.wait()
            answers.extend(accept([Item(caller, submission(*(names if index % 2 else names[::-1]), **LIKE))]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(answer) for answer in answers] == [Accepted] * 8
    by_person: dict[str, list[Any]] = {}
    for answer in answers:
        for n in answer.answer["notifications"]:
            by_person.setdefault(n["user"], []).append(
                (n["id"], *((d["reason"], d["detail"].get("duplicate_of")) for d in n["deliveries"]))
            )
    for name in names:
        said = [key for key, (reason, _) in by_person[name] if reason not in ("duplicate",)]
        named = {earlier for _, (reason, earlier) in by_person[name] if reason == "duplicate"}
        if name != "carol":  # who opted out has not been told, and so may be told again
            assert (len(said), named) == (1, set(said))


def test_who_comes_while_the_first_is_undecided_says_it_if_the_first_comes_to_nothing(
    app: APIFlask, cast: dict[str, str], caller: Caller
) -> None:
    item, answers = Item(caller, submission("alice", **LIKE)), list[Any]()
    accept([item])
    [mark] = rows(ContentMark)
    with transaction() as session:
        session.execute(sa.delete(ContentMark))

    def second() -> None:
        with app.app_context():
            answers.extend(accept([item]))

    thread = threading.Thread(target=second)
    with suppress(RuntimeError), transaction() as session:
        session.add(
            ContentMark(
                user_id="alice", digest=mark.digest, notification_id=mark.notification_id, expires_at=mark.expires_at
            )
        )
        session.flush()
        thread.start()
        time.sleep(0.3)
        assert answers == []
        raise RuntimeError
    thread.join()
    assert [of(answer) for answer in answers] == ["went"]


# ---- pruning


def test_marks_whose_time_has_passed_are_deleted(cast: dict[str, str], submit: Submit) -> None:
    submit("alice", **LIKE)
    submit("alice", **LIKE, send_at=now() + timedelta(hours=5))
    assert [repeats.prune(now()), repeats.prune(now() + timedelta(hours=2)), len(rows(ContentMark))] == [0, 1, 1]
