"""Whatever a key changes about a person stands in the audit trail, with the key's name, and without what could not be
erased there.
"""

from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys
from notifier.core.submission import InlineRecipient
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import AuditEntry, ConsentEvent, Producer
from notifier.models.producer import SCOPES
from notifier.people import profiles
from notifier.pipeline.intake.accept import accept
from notifier.pipeline.intake.item import Caller, Item
from tests.conftest import Api
from tests.submitting import submission

ERIN = "/api/v1/users/erin"
ORDER = {
    "type": "order_shipped",
    "recipients": [{"id": "erin", "email": "new@example.test"}],
    "data": {"order_id": "A1"},
}

# what → the call, and what stands in the trail: action and what changed
CALLS: dict[str, tuple[str, str, Any, list[tuple[str, Any]]]] = {
    "a profile is replaced": (
        "PUT",
        ERIN,
        {"name": "E.", "email": "erin@example.test"},
        [("person.changed", {"fields": ["locale", "name"]})],
    ),
    "a profile is put as it is": ("PUT", ERIN, {"name": "Erin", "email": "erin@example.test", "locale": "de"}, []),
    "a field is changed": ("PATCH", ERIN, {"email": "new@example.test"}, [("person.changed", {"fields": ["email"]})]),
    "an address is taken away": ("PATCH", ERIN, {"email": None}, [("person.changed", {"fields": ["email"]})]),
    "choices are changed": (
        "PATCH",
        f"{ERIN}/preferences",
        {"channels": {"sms": True}},
        [("preferences.changed", {"choices": ["channels.sms"]})],
    ),
    "a choice, by the earlier call": (
        "POST",
        "/notifications/preferences",
        {"userId": "erin", "eventType": "LIKE", "channel": "SMS", "enabled": True},
        [("preferences.changed", {"choices": ["types.like.sms"]})],
    ),
    "tokens are ended": ("DELETE", f"{ERIN}/tokens", None, [("person.tokens_ended", None)]),
    "the person is erased": ("DELETE", ERIN, None, [("person.erased", None)]),
    "inline values": ("POST", "/api/v1/notifications", ORDER, [("person.changed", {"fields": ["email"]})]),
    "somebody new": ("PUT", "/api/v1/users/zoe", {"name": "Zoe"}, [("person.created", {"fields": ["name"]})]),
    "a dry run": ("POST", "/api/v1/notifications?dry_run=true", ORDER, []),
}


@pytest.fixture
def erin(api: Api) -> None:
    api.put(ERIN, {"name": "Erin", "email": "erin@example.test", "locale": "de"})


def entries() -> list[AuditEntry]:
    db.session.rollback()
    return [
        row
        for row in db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id))
        if not row.action.startswith(("producer.", "key."))
    ]


@pytest.mark.parametrize("what", CALLS)
def test_what_a_key_changes_is_told_with_its_name(api: Api, erin: None, what: str) -> None:
    method, path, body, expected = CALLS[what]
    known = len(entries())
    assert (
        api.client.open(path, method=method, json=body, headers={"Authorization": f"Bearer {api.key}"}).status_code
        < 300
    )
    told = entries()[known:]
    assert [(entry.action, entry.after) for entry in told] == expected
    assert {entry.actor for entry in told} <= {f"Shop, key {api.key[:16]}…"}
    assert all(entry.subject in ("erin", "zoe") or entry.subject.startswith("era_") for entry in told)
    assert "example.test" not in str([(entry.before, entry.after) for entry in entries()])


def test_addresses_are_told_of_by_their_ids(api: Api, erin: None) -> None:
    added = api.post(f"{ERIN}/addresses", {"channel": "email", "value": "second@example.test"}).json["id"]
    api.post(f"{ERIN}/addresses", {"channel": "email", "value": "second@example.test"})
    api.delete(f"{ERIN}/addresses/{added}")
    told = [(entry.action, entry.subject, entry.after) for entry in entries()[1:]]
    what = {"channel": "email", "address": added}
    assert told == [
        ("address.added", "erin", what),
        ("address.given_again", "erin", what),
        ("address.removed", "erin", what),
    ]


def test_requests_that_share_a_transaction_are_told_apart(app: APIFlask, cast: Any) -> None:
    def item(user_id: str, label: str) -> Item:
        producer_id = keys.create_producer(label).id
        caller = Caller.of_key(producer_id, ("notify", "users"), None, is_test=False, request_id=label, label=label)
        return Item(caller, submission(InlineRecipient(user_id, {"name": label})))

    with audit.acting_as("whoever leads", "10.0.0.1"):
        accept([item("alice", "Shop"), item("bob", "Bank"), item("newcomer", "Club")])
    told = {(entry.subject, entry.action, entry.actor, entry.origin) for entry in entries()}
    assert told == {
        ("alice", "person.changed", "Shop", None),
        ("bob", "person.changed", "Bank", None),
        ("newcomer", "person.created", "Club", None),
    }


def test_who_erases_themselves_is_on_record_without_their_e_mail(app: APIFlask, cast: Any) -> None:
    with audit.acting_as(audit.THEMSELVES):
        profiles.erase("alice")
    assert [(entry.action, entry.actor) for entry in entries()] == [("person.erased", "the person themselves")]
    assert entries()[0].subject.startswith("era_")


def test_what_people_choose_themselves_stands_in_their_history_alone(app: APIFlask, cast: Any) -> None:
    assert entries() == []
    assert db.session.scalar(sa.select(sa.func.count()).select_from(ConsentEvent)) > 0


def test_the_people_of_test_keys_leave_no_line(api: Api) -> None:
    producer_id = db.session.scalars(sa.select(Producer.id)).one()
    tester = Api(api.client, keys.create_key(producer_id, scopes=SCOPES, is_test=True)[1])
    tester.put(ERIN, {"name": "Tess", "email": "t@example.test"})
    tester.patch(f"{ERIN}/preferences", {"channels": {"sms": True}})
    tester.post("/api/v1/notifications", ORDER)
    tester.post(f"{ERIN}/addresses", {"channel": "email", "value": "second@example.test"})
    tester.delete(f"{ERIN}/tokens")
    tester.delete(ERIN)
    assert entries() == []


def test_what_is_not_stored_is_not_on_record(app: APIFlask, cast: Any) -> None:
    with transaction() as session:
        profiles.upsert([InlineRecipient("alice", {"name": "A."})], actors={})
        session.rollback()
    assert entries() == []
