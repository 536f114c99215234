"""Values given inline by a key that may not change people: they hold for their notification alone, and change nothing
that is stored.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import accounts, keys
from notifier.core.message import Message
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import Address, Capture, Delivery, Digest, Notification, Preference, Schedule, Suppression, User
from notifier.people import preferences as choosing
from notifier.people import profiles, suppressions
from notifier.pipeline.delivery.claim import claim
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake import schedules
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.dry_run import dry_run
from notifier.pipeline.intake.expand import expand
from notifier.pipeline.intake.item import Caller, Item
from notifier.pipeline.upkeep import due
from notifier.pipeline.upkeep.summaries import GRACE, close_due
from notifier.queries.notifications import Sight
from notifier.queries.person_export import export
from tests.stored import deliveries, rows
from tests.submitting import submission

Submit = Callable[..., Any]
OTHER = "other@x.test"
ALICE = InlineRecipient(
    "alice", {"email": OTHER, "phone": "+4915199999999", "name": "Allie", "locale": "de", "time_zone": "Asia/Tokyo"}
)


@pytest.fixture(autouse=True)
def _cast(cast: Any) -> None:
    """They are there."""


@pytest.fixture
def shop(caller: Caller) -> Caller:
    """A key with the scope notify, and no more."""
    return replace(caller, may_change_people=False)


def profile_rows() -> list[Any]:
    db.session.close()
    found = [
        list(map(tuple, db.session.execute(sa.select(model.__table__).order_by(*sa.inspect(model).primary_key))))
        for model in (User, Address, Preference)
    ]
    db.session.close()
    return found


def sent_to() -> list[str]:
    deliver([row.id for row in deliveries() if row.status == "queued"])
    return [capture.content["to"] for capture in captures()]


def captures() -> list[Capture]:
    """In the order of their deliveries: what is sent together is kept in any order."""
    return sorted(rows(Capture), key=lambda capture: capture.delivery_id)


def test_they_are_used_for_it_and_nothing_stored_changes(submit: Submit, shop: Caller) -> None:
    before = profile_rows()
    submit(ALICE, caller=shop, channels=("email", "sms"))
    assert [(row.address_id, row.address_masked) for row in deliveries()] == [(None, "o…@x.test"), (None, "+49…99")]
    assert sent_to() == [OTHER, "+4915199999999"]
    [mail, _] = captures()
    assert "Allie" in mail.content["text"]
    assert "Bestellung" in mail.content["subject"]
    assert profile_rows() == before


def test_the_next_one_goes_where_it_went_before(submit: Submit, shop: Caller) -> None:
    submit(ALICE, caller=shop, channels=("email",))
    submit("alice", caller=shop, channels=("email",), data={"order_id": "A2"})
    assert sent_to() == [OTHER, "alice@example.test"]


def test_with_the_scope_users_they_change_the_profile(submit: Submit, caller: Caller) -> None:
    submit(ALICE, caller=caller, channels=("email",))
    assert [row.value for row in rows(Address, user_id="alice", channel="email")] == [OTHER]
    assert [row.given for row in rows(Notification)] == [None]


def test_who_is_new_is_created_by_them_with_an_address_that_nobody_has_confirmed(submit: Submit, shop: Caller) -> None:
    submit(InlineRecipient("newcomer", {"email": OTHER, "name": "Nora"}), caller=shop, channels=("email",))
    [address] = rows(Address, user_id="newcomer")
    assert (address.value, address.is_primary, address.verified_at is not None, address.confirmed_at) == (
        OTHER,
        True,
        True,
        None,
    )
    submit(
        InlineRecipient("newcomer", {"email": "evil@x.test"}), caller=shop, channels=("email",), data={"order_id": "A2"}
    )
    assert [row.value for row in rows(Address, user_id="newcomer")] == [OTHER]
    assert sent_to() == [OTHER, "evil@x.test"]


def test_in_a_bulk_call_the_first_creates_and_the_second_changes_nothing(shop: Caller) -> None:
    items = [
        Item(
            shop,
            submission(
                InlineRecipient("newcomer", {"email": f"{n}@x.test"}), channels=("email",), data={"order_id": n}
            ),
        )
        for n in "ab"
    ]
    accept(items)
    assert [row.value for row in rows(Address, user_id="newcomer")] == ["a@x.test"]
    assert sent_to() == ["a@x.test", "b@x.test"]


def test_of_many_who_create_somebody_at_once_one_does_and_the_others_change_nothing(
    app: APIFlask, shop: Caller
) -> None:
    def create(number: int) -> None:
        with app.app_context():
            body = submission(
                InlineRecipient("newcomer", {"email": f"n{number}@x.test"}),
                channels=("email",),
                data={"order_id": str(number)},
            )
            accept([Item(shop, body)])

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [address] = rows(Address, user_id="newcomer")
    assert sorted(sent_to()) == [f"n{number}@x.test" for number in range(6)]
    assert [row.given for row in rows(Notification)].count(None) == 1
    assert address.value in sent_to()


@pytest.mark.parametrize(("may_change_staff", "stored"), [(False, "alice@example.test"), (True, OTHER)])
def test_those_who_run_the_installation_are_changed_with_the_scope_admin_only(
    submit: Submit, caller: Caller, may_change_staff: bool, stored: str
) -> None:
    accounts.create_account("alice@example.test", None, "viewer", "alice")
    submit(ALICE, caller=replace(caller, may_change_staff=may_change_staff), channels=("email",))
    assert [row.value for row in rows(Address, user_id="alice", channel="email")] == [stored]
    assert sent_to() == [OTHER]


def test_null_leaves_an_address_out_for_this_once(submit: Submit, shop: Caller) -> None:
    submit(InlineRecipient("alice", {"email": None}), caller=shop, channels=("email",))
    assert [(row.status, row.reason) for row in deliveries()] == [("skipped", "no_address")]
    assert len(rows(Address, user_id="alice", channel="email")) == 1


def test_they_are_kept_sealed(submit: Submit, shop: Caller) -> None:
    submit(ALICE, caller=shop)
    stored = db.session.execute(sa.text("SELECT given FROM notification")).scalar_one()
    assert b"other" not in bytes(stored)
    assert b"Allie" not in bytes(stored)


def test_a_retry_goes_there_too(submit: Submit, shop: Caller) -> None:
    submit(InlineRecipient("alice", {"email": "flaky-2@sandbox.test"}), caller=shop, channels=("email",))
    for _ in range(3):
        [row] = deliveries()
        with db.session.begin_nested():
            db.session.execute(sa.update(Delivery).values(status="queued"))
        db.session.commit()
        deliver([row.id])
    [row], [capture] = deliveries(), rows(Capture)
    assert (row.status, row.tries, capture.content["to"]) == ("delivered", 3, "flaky-2@sandbox.test")


def test_later_steps_go_there_too(submit: Submit, shop: Caller) -> None:
    given = {"email": "rejected@sandbox.test", "phone": "+4915199999999"}
    submit(InlineRecipient("alice", given), caller=shop, channels=("email", "sms"), routing="first")
    first, second = deliveries()
    deliver([first.id])
    deliver([second.id])
    assert [(row.channel, row.status) for row in deliveries()] == [("email", "failed"), ("sms", "delivered")]
    assert [capture.content["to"] for capture in rows(Capture)][-1] == "+4915199999999"


def test_a_large_submission_goes_there_too(submit: Submit, shop: Caller) -> None:
    answer = submit(
        ALICE,
        *(InlineRecipient(f"p{n}", {"email": f"p{n}@x.test"}) for n in range(120)),
        caller=shop,
        channels=("email",),
    )
    expand(parse("sub", answer["id"]))
    [notification] = rows(Notification, user_id="alice")
    [delivery] = deliveries(notification_id=notification.id)
    deliver([delivery.id])
    assert [capture.content["to"] for capture in rows(Capture)] == [OTHER]
    assert [row.value for row in rows(Address, user_id="alice", channel="email")] == ["alice@example.test"]


def test_a_schedule_has_the_rights_its_key_has(caller: Caller, shop: Caller) -> None:
    assert shop.producer_id is not None
    key, _ = keys.create_key(shop.producer_id, scopes=("notify",))
    schedules.create(shop, key.id, "* * * * *", "UTC", submission(ALICE, channels=("email",)))
    db.session.execute(sa.update(Schedule).values(next_at=now()))
    db.session.commit()
    schedules.submit_due()
    assert [row.value for row in rows(Address, user_id="alice", channel="email")] == ["alice@example.test"]
    assert sent_to() == [OTHER]


def test_a_dry_run_says_where_it_would_go_and_changes_nothing(shop: Caller) -> None:
    before = profile_rows()
    [answer] = dry_run([Item(shop, submission(ALICE, channels=("email",)))])
    assert isinstance(answer, dict)
    [delivery] = answer["notifications"][0]["deliveries"]
    assert (delivery["status"], delivery["address"]) == ("queued", "o…@x.test")
    assert "Allie" in answer["notifications"][0]["rendered"]["email"]["text"]
    assert profile_rows() == before


def test_the_persons_choices_and_hours_hold_as_ever(submit: Submit, shop: Caller) -> None:
    submit(InlineRecipient("carol", {"email": OTHER, "time_zone": "Asia/Tokyo"}), caller=shop, channels=("email",))
    assert [(row.status, row.reason) for row in deliveries()] == [("skipped", "opted_out")]


def test_a_digest_goes_where_each_was_to_go(submit: Submit, shop: Caller) -> None:
    choosing.change("alice", {"digest": {"social": "daily"}}, replace=False, source="test")
    for actor, recipient in (
        ("mira", "alice"),
        ("otto", InlineRecipient("alice", {"email": OTHER})),
        ("ivan", "alice"),
    ):
        submit(recipient, caller=shop, type="like", channels=("email",), data={"actor": actor})
    db.session.execute(sa.update(Digest).values(due_at=now() - GRACE))
    db.session.commit()
    close_due()
    due.ring_due()
    assert sorted(sent_to()) == ["alice@example.test", OTHER]
    by_address = {capture.content["to"]: capture.content["text"] for capture in rows(Capture)}
    assert "otto" in by_address[OTHER]
    assert not any(name in by_address[OTHER] for name in ("mira", "ivan"))
    assert "otto" not in by_address["alice@example.test"]


def test_they_are_exported_with_the_person_and_erased_with_them(submit: Submit, shop: Caller) -> None:
    submit(ALICE, caller=shop, channels=("email",))
    [exported] = export("alice", Sight())["notifications"]
    assert exported["given"] == ALICE.changes
    profiles.erase("alice")
    assert [(row.data, row.given) for row in rows(Notification)] == [(None, None)]


# ---- what whoever reads it there can do


def message_to(submit: Submit, shop: Caller, **fields: Any) -> Message:
    submit(
        InlineRecipient("alice", {"email": OTHER}),
        caller=shop,
        type="promotional_offer",
        channels=("email",),
        data={"title": "Sale"},
        **fields,
    )
    [task], _ = claim([row.id for row in deliveries() if row.status == "queued"])
    assert isinstance(task.message, Message)
    return task.message


def test_the_mail_opens_no_page_of_the_person(submit: Submit, shop: Caller) -> None:
    message = message_to(submit, shop)
    assert "/p/" not in f"{message.content.body}{message.content.html}"
    token = str(message.unsubscribe_url).rpartition("/")[2]
    assert tokens.read_unsubscribe(token) is None


def test_unsubscribing_there_holds_for_that_address_and_not_for_the_person(submit: Submit, shop: Caller) -> None:
    before = profile_rows()
    token = str(message_to(submit, shop).unsubscribe_url).rpartition("/")[2]
    wish = tokens.read_address_unsubscribe(token)
    assert wish is not None
    suppressions.unsubscribe(wish.digest, wish.channel, wish.category)
    suppressions.unsubscribe(wish.digest, wish.channel, wish.category)
    assert profile_rows() == before
    assert [(row.scope, row.channel, row.reason) for row in rows(Suppression)] == [
        ("marketing", "email", "unsubscribed")
    ]
    submit(
        InlineRecipient("bob", {"email": OTHER}),
        caller=shop,
        type="promotional_offer",
        channels=("email",),
        data={"title": "More"},
    )
    submit("alice", caller=shop, type="promotional_offer", channels=("email",), data={"title": "More"})
    submit(InlineRecipient("bob", {"email": OTHER}), caller=shop, channels=("email",))
    assert [(row.status, row.reason) for row in deliveries()][1:] == [
        ("skipped", "suppressed"),
        ("queued", None),
        ("queued", None),
    ]


def test_a_dead_address_is_remembered_and_none_of_the_persons_is_switched_off(submit: Submit, shop: Caller) -> None:
    submit(InlineRecipient("alice", {"email": "dead@sandbox.test"}), caller=shop, channels=("email",))
    sent_to()
    assert [row.disabled_at for row in rows(Address, user_id="alice")] == [None, None]
    submit(
        InlineRecipient("alice", {"email": "dead@sandbox.test"}),
        caller=shop,
        channels=("email",),
        data={"order_id": "A2"},
    )
    assert [(row.status, row.reason) for row in deliveries()] == [("failed", None), ("skipped", "suppressed")]
