"""Uploaded lists: each row once, whoever dies; nothing half-stored where the whole is refused."""

import contextlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask

from notifier.batchworker.take import PRESSING
from notifier.core.errors import Rejected
from notifier.core.people import LARGEST_ATTRIBUTES
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db, redis_store
from notifier.ground.ids import new_id, show
from notifier.models import Account, Address, AuditEntry, Broadcast, Submission, Upload, UploadMember, UploadPart, User
from notifier.people import profiles, upload_reading, upload_rows, uploads
from notifier.people.upload_reading import MOST_TOLD
from notifier.people.uploads import LONG_PART, PART, Rights
from notifier.signals.queueing import EXPAND_QUEUE, queue
from tests.conftest import Statements
from tests.stored import rows

RIGHTS = Rights(None, is_test=False, may_change_people=True, may_change_staff=False, actor="Shop ntf_live_abc")


def sent(file: str | bytes, **rights: bool) -> UUID:
    """An upload that has been taken in, and not been read."""
    data = file.encode() if isinstance(file, str) else file
    return uploads.receive([data], Rights(**{**vars_of(RIGHTS), **rights}))


def vars_of(rights: Rights) -> dict[str, Any]:
    return {name: getattr(rights, name) for name in Rights.__slots__}


def uploaded(file: str, **rights: bool) -> dict[str, Any]:
    """What its upload has come to."""
    upload_id = sent(file, **rights)
    while upload_reading.read(upload_id):
        pass
    return told(upload_id)


def told(upload_id: UUID) -> dict[str, Any]:
    upload = db.session.get(Upload, upload_id, populate_existing=True)
    assert upload is not None
    return {name: value for name, value in uploads.shape(upload).items() if name != "id"}


def finished(**counts: Any) -> dict[str, Any]:
    return {"status": "finished", "rows": 0, "created": 0, "changed": 0, "bad": [], "bad_rows": 0} | counts


def profile(user_id: str) -> dict[str, Any] | None:
    user = db.session.get(User, user_id, populate_existing=True)
    addresses = sa.select(Address).where(Address.user_id == user_id)
    given = {address.channel: address.value for address in db.session.scalars(addresses)}
    fields = ("name", "locale", "time_zone", "attributes", "home_region")
    return user and {**{name: value for name in fields if (value := getattr(user, name))}, **given}


def members(upload_id: UUID | None = None) -> list[str]:
    found = sa.select(UploadMember.user_id).order_by(UploadMember.user_id)
    return sorted(db.session.scalars(found.where(UploadMember.upload_id == upload_id) if upload_id else found))


# ---- what rows say --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("app")
def test_a_list_creates_and_changes_people() -> None:
    first = "id,email,phone,locale,time_zone,name,home_region,attributes.plan,attributes.age\n"
    row = "u1,a@x.test,+49 151 12345678,pt_BR,Europe/Berlin,Ann,eu,pro,18\n"
    assert uploaded(first + row + "u2,,,,,,,,\n") == finished(rows=2, created=2)
    ann = {
        "name": "Ann",
        "locale": "pt-BR",
        "time_zone": "Europe/Berlin",
        "attributes": {"plan": "pro", "age": 18},
        "home_region": "eu",
        "email": "a@x.test",
        "sms": "+4915112345678",
    }
    assert (profile("u1"), profile("u2")) == (ann, {})
    # What is empty, or not there, stays as it is; attributes are added to those that are known
    assert uploaded("id,name,attributes.vip\nu1,,true\nu2,,\n") == finished(rows=2, changed=1)
    assert profile("u1") == {**ann, "attributes": {"plan": "pro", "age": 18, "vip": True}}
    assert uploaded(first + row) == finished(rows=1)
    changes = [(entry.action, entry.actor, entry.after) for entry in rows(AuditEntry) if entry.subject == "u1"]
    assert [(action, actor) for action, actor, _ in changes] == [
        ("person.created", RIGHTS.actor),
        ("person.changed", RIGHTS.actor),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("-1.5", -1.5),
        ("true", True),
        ("false", False),
        ('"18"', "18"),
        ("018", "018"),
        ("+49", "+49"),
        ("null", "null"),
        ("[1]", "[1]"),
        ("1e400", "1e400"),
        ("NaN", "NaN"),
        ("9007199254740993", "9007199254740993"),
        ("9" * 5_000, "9" * 5_000),
        ("[" * 100_000, "[" * 100_000),
        ('"\\ud800"', '"\\ud800"'),
        ("New York", "New York"),
    ],
)
def test_attributes_are_what_json_would_read(text: str, value: Any) -> None:
    found = upload_rows.attribute(text)
    assert (type(found), found) == (type(value), value)


BAD_ROWS: dict[str, tuple[str, str]] = {
    "no id": (",a@x.test,,", "invalid_user_id"),
    "a marked id": ("~u1,,,", "invalid_user_id"),
    "no address": ("u1,a.x.test,,", "invalid_email"),
    "no locale": ("u1,,german,", "invalid_locale"),
    "no zone": ("u1,,,Berlin", "unknown_time_zone"),
    "too few fields": ("u1,a@x.test", "wrong_columns"),
    "too many fields": ("u1,,,,", "wrong_columns"),
    "NUL": ("u1,,de\0,", "unstorable_text"),
}


@pytest.mark.usefixtures("app")
def test_bad_lines_are_left_out_and_named() -> None:
    lines = "\n".join(row for row, _ in BAD_ROWS.values())
    found = uploaded(f'id,email,locale,time_zone\nok,,,\n{lines}\n"ok2","","",""\n')
    assert [(bad["line"], bad["code"]) for bad in found["bad"]] == [
        (line, code) for line, (_, code) in enumerate(BAD_ROWS.values(), start=3)
    ]
    assert (found["rows"], found["bad_rows"], members()) == (len(BAD_ROWS) + 2, len(BAD_ROWS), ["ok", "ok2"])
    assert "a.x.test" not in str(found)  # it is kept in clear


@pytest.mark.usefixtures("app")
def test_a_hundred_bad_lines_are_told_and_all_are_counted() -> None:
    file = "id,locale\n" + "".join(f"u{n},german\n" for n in range(MOST_TOLD + PART + 1))
    found = uploaded(file)
    assert (len(found["bad"]), found["bad_rows"]) == (MOST_TOLD, MOST_TOLD + PART + 1)
    assert (found["bad"][0]["line"], found["bad"][-1]["line"]) == (2, MOST_TOLD + 1)


@pytest.mark.usefixtures("app")
def test_of_two_lines_about_one_person_the_first_counts() -> None:
    between = "".join(f"u{n},\n" for n in range(PART))
    found = uploaded(f"id,name\na,first\na,second\n{between}a,third\n")
    assert profile("a") == {"name": "first"}
    assert (found["created"], found["bad_rows"]) == (PART + 1, 2)
    assert [(bad["line"], bad["code"]) for bad in found["bad"]] == [(3, "duplicate_id"), (PART + 4, "duplicate_id")]


# ---- who may change whom --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cast")
def test_without_the_right_to_change_people_known_ones_stay_as_they_are() -> None:
    before = profile("alice")
    file = "id,email,name\nalice,mallory@x.test,Mallory\nzoe,zoe@x.test,Zoe\n"
    assert uploaded(file, may_change_people=False) == finished(rows=2, created=1)
    assert (profile("alice"), profile("zoe")) == (before, {"name": "Zoe", "email": "zoe@x.test"})
    assert members() == ["alice", "zoe"]


@pytest.mark.usefixtures("cast")
def test_staff_are_changed_by_keys_that_may_change_staff() -> None:
    with transaction() as session:
        session.add(Account(email="alice@example.test", user_id="alice", role="admin"))
    before, file = profile("alice"), "id,email\nalice,mallory@x.test\nbob,bob2@x.test\n"
    assert uploaded(file) == finished(rows=2, changed=1)
    assert profile("alice") == before
    assert members() == ["alice", "bob"]
    assert uploaded(file, may_change_staff=True) == finished(rows=2, changed=1)


@pytest.mark.usefixtures("cast")
def test_a_test_key_s_list_is_of_people_of_its_own() -> None:
    assert uploaded("id,name\nalice,Test\n", is_test=True) == finished(rows=1, created=1)
    assert (profile("~alice"), members()) == ({"name": "Test"}, ["~alice"])
    assert rows(AuditEntry) == []


# ---- whoever dies ---------------------------------------------------------------------------------------------------

LARGE = "id,name\n" + "".join(f"u{n},N{n}\n" for n in range(2 * PART + 1))


@pytest.mark.usefixtures("app")
def test_parts_of_long_rows_have_few_of_them() -> None:
    long = "x" * (LONG_PART // 4)
    upload_id = sent("id,attributes.text\n" + "".join(f"u{n},{long}\n" for n in range(10)))
    assert [len(part.rows) for part in sorted(rows(UploadPart), key=lambda part: part.number)] == [4, 4, 2]
    while upload_reading.read(upload_id):
        pass
    assert told(upload_id) == finished(rows=10, created=10)


@pytest.mark.usefixtures("app")
def test_a_list_is_read_in_parts_of_which_each_counts_once() -> None:
    upload_id = sent(LARGE)
    assert queue(EXPAND_QUEUE).job_ids == [show("upl", upload_id)]
    first = upload_reading.next_part(upload_id)
    assert first is not None
    assert upload_reading.store_part(first)
    assert not upload_reading.store_part(first)  # a worker that was thought dead
    assert (told(upload_id)["status"], told(upload_id)["created"]) == ("running", PART)
    assert upload_reading.read(upload_id) == 2
    assert upload_reading.read(upload_id) == 0
    assert told(upload_id) == finished(rows=2 * PART + 1, created=2 * PART + 1)
    assert (len(members(upload_id)), rows(UploadPart)) == (2 * PART + 1, [])


@pytest.mark.usefixtures("app")
def test_who_reads_a_list_pauses_after_each_part_while_there_is_urgent_work(pauses: list[float]) -> None:
    redis_store.client.set(PRESSING, 1)
    upload_id = sent(LARGE)
    pauses.clear()
    assert (upload_reading.read(upload_id), len(pauses)) == (3, 3)


@contextlib.contextmanager
def a_fault_about(what: str) -> Iterator[None]:
    """People of whom this is said cannot be stored."""

    def fail(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if re.match('INSERT INTO "?user"? ', statement) and what in str(parameters):
            raise ValueError("a fault of ours that nobody has thought of")

    sa.event.listen(db.engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", fail)


@pytest.mark.usefixtures("app")
def test_when_no_row_can_be_stored_none_is_lost() -> None:
    upload_id = sent("id,time_zone\na,Europe/Berlin\nb,Europe/Berlin\n")
    with a_fault_about("Europe/Berlin"), pytest.raises(ValueError, match="a fault of ours"):
        upload_reading.read(upload_id)
    assert told(upload_id) == {**finished(rows=2), "status": "running"}
    assert upload_reading.read(upload_id) == 1
    assert told(upload_id) == finished(rows=2, created=2)


@pytest.mark.usefixtures("app")
def test_a_row_that_cannot_be_stored_stops_no_others() -> None:
    upload_id = sent("id,time_zone\na,Europe/Berlin\nb,UTC\n")
    with a_fault_about("Europe/Berlin"):
        assert upload_reading.read(upload_id) == 1
    found = told(upload_id)
    assert [(bad["line"], bad["code"]) for bad in found["bad"]] == [(2, "internal_error")]
    assert (found["status"], found["created"], members()) == ("finished", 1, ["b"])


def test_rows_are_read_before_the_transaction_begins(app: APIFlask) -> None:
    upload_id = sent("id,email\nu1,U1@X.test\nu2,nowhere\n")
    part = upload_reading.next_part(upload_id)
    assert part is not None
    (_, first), (_, second) = part.rows
    assert (first.changes, second.code) == ({"email": "U1@x.test"}, "invalid_email")  # type: ignore[union-attr]


@pytest.mark.usefixtures("app")
def test_a_lost_doorbell_is_rung_again() -> None:
    upload_id = sent(LARGE)
    queue(EXPAND_QUEUE).empty()
    assert uploads.ring_waiting() == 0
    with time_machine.travel(now() + uploads.READ_GRACE * 2, tick=False):
        assert uploads.ring_waiting() == 1
        assert uploads.ring_waiting() == 0
    with time_machine.travel(now() + uploads.READ_GRACE * 4, tick=False):
        assert uploads.ring_waiting() == 1
    assert queue(EXPAND_QUEUE).job_ids == [show("upl", upload_id)]  # once, while no worker runs
    while upload_reading.read(upload_id):
        pass
    with time_machine.travel(now() + uploads.READ_GRACE * 6, tick=False):
        assert uploads.ring_waiting() == 0


@pytest.mark.usefixtures("app")
def test_a_part_takes_a_fixed_number_of_statements(statements: Statements) -> None:
    counts = []
    for size in (2, 50):
        upload_id = sent("id,email\n" + "".join(f"s{size}-{n},{n}@x.test\n" for n in range(size)))
        part = upload_reading.next_part(upload_id)
        assert part is not None
        with statements() as asked:
            upload_reading.store_part(part)
        counts.append(len(asked))
    assert counts[0] == counts[1]


# ---- refused as a whole ---------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "empty"),
    "a first line alone": ("id,email\n", "empty"),
    "no id": ("email\na@x.test\n", "missing_column"),
    "a column of another name": ("id,mail\nu1,a@x.test\n", "unknown_column"),
    "semicolons": ("id;email\nu1;a@x.test\n", "unknown_column"),
    "an attribute without a name": ("id,attributes.\nu1,x\n", "unknown_column"),
    "two columns of one name": ("id,name,name\nu1,A,B\n", "duplicate_column"),
    "1,000 columns": ("id," + ",".join(f"attributes.a{n}" for n in range(999)) + "\n", "too_many_columns"),
    "5,000 columns": ("id," + ",".join(f"attributes.a{n}" for n in range(4_999)) + "\n", "too_long"),
    "another encoding far down": (LARGE.encode() + "u,Jörg\n".encode("latin-1"), "not_utf8"),
    "a quote that is not closed far down": (LARGE + 'x,"A\n', "malformed_csv"),
}


@pytest.mark.parametrize(("file", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("app")
def test_of_a_list_that_is_refused_nothing_stays(file: str | bytes, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        sent(file)
    assert [fault.code for fault in refused.value.faults] == [code]
    assert [rows(Upload), rows(UploadPart), rows(User), queue(EXPAND_QUEUE).job_ids] == [[], [], [], []]


@pytest.mark.usefixtures("app")
def test_of_a_request_that_breaks_off_nothing_stays() -> None:
    def broken() -> Iterator[bytes]:
        yield LARGE.encode() * 3
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        uploads.receive(broken(), RIGHTS)
    assert [rows(Upload), rows(UploadPart)] == [[], []]


# ---- personal data --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cast")
def test_who_is_erased_does_not_come_back_with_what_is_still_to_be_read() -> None:
    upload_id = sent("id,name\nalice,Alice\nbob,Bob\n")
    assert profiles.erase("alice")
    while upload_reading.read(upload_id):
        pass
    found = told(upload_id)
    assert [(bad["line"], bad["code"]) for bad in found["bad"]] == [(2, "erased")]
    assert (profile("alice"), members()) == (None, ["bob"])
    upload = db.session.get(Upload, upload_id)
    assert upload is not None
    assert upload.erased is None  # the id is kept no longer than it is needed
    assert uploaded("id,name\nalice,Alice\n")["created"] == 1  # a list that comes later is another matter


@pytest.mark.usefixtures("cast")
def test_who_is_erased_stands_on_no_list() -> None:
    uploaded("id\nalice\nbob\n")
    profiles.erase("alice")
    assert members() == ["bob"]


def test_what_is_still_to_be_read_is_encrypted(app: APIFlask) -> None:
    sent("id,email\nu1,secret@x.test\n")
    [stored] = db.session.execute(sa.text("SELECT rows FROM upload_part")).scalars()
    assert b"secret" not in bytes(stored)


@pytest.mark.usefixtures("app")
def test_old_lists_and_broken_requests_are_pruned() -> None:
    old = sent("id\na\n")
    while upload_reading.read(old):
        pass
    with transaction() as session:
        session.add(
            Upload(**vars_of(RIGHTS), status="receiving", columns=["id"], created_at=now() - timedelta(hours=7))
        )
    assert uploads.prune() == 1
    assert [upload.id for upload in rows(Upload)] == [old]
    with time_machine.travel(now() + timedelta(days=91), tick=False):
        assert uploads.prune() == 1
    assert (rows(Upload), members(), profile("a")) == ([], [], {})


NEEDED = {
    "scheduled": ("scheduled", False, True),
    "running": ("running", False, True),
    "paused": ("paused", False, True),
    "all have had their turn": ("running", True, False),
    "cancelled": ("cancelled", False, False),
}


@pytest.mark.parametrize(("status", "is_expanded", "is_kept"), NEEDED.values(), ids=NEEDED)
def test_a_list_stays_while_a_broadcast_is_to_find_people_on_it(
    app: APIFlask, status: str, is_expanded: bool, is_kept: bool
) -> None:
    old = sent("id\na\n")
    while upload_reading.read(old):
        pass
    with transaction() as session:
        key, at = new_id(), now()
        session.add(Submission(id=key, type="newsletter", recipients=1, expanded=0))
        session.flush()
        about = {"name": "N", "type": "newsletter", "category": "marketing", "audience": {"upload": show("upl", old)}}
        times = {"starts_at": at, "expanded_at": at if is_expanded else None}
        session.add(Broadcast(id=key, status=status, ended_before=0, failed_before=0, retries=0, **about, **times))
    with time_machine.travel(now() + timedelta(days=91), tick=False):
        assert uploads.prune() == int(not is_kept)
    assert members() == (["a"] if is_kept else [])


@pytest.mark.usefixtures("app")
def test_a_list_adds_to_attributes_up_to_their_limit() -> None:
    half = "x" * (LARGEST_ATTRIBUTES // 2)
    uploaded(f"id,attributes.one\nu1,{half}\n")
    counts = uploaded(f"id,attributes.two\nu1,{half}\nu2,{half}\n")
    message = "the attributes are too large: the maximum is 65,536 bytes of JSON"
    bad = [{"line": 2, "code": "too_large", "message": message}]
    assert (counts["changed"], counts["created"], counts["bad"]) == (0, 1, bad)
    assert profile("u1") == {"attributes": {"one": half}}
