"""Audiences in SQL: what each operator means, by both databases, and who can be reached."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extras import Json

from notifier.access import keys
from notifier.channels import CHANNELS
from notifier.core import audience, conditions
from notifier.core.conditions import Comparison, Condition
from notifier.core.errors import Rejected
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import Address, Upload, UploadMember, User
from notifier.people import addresses, audiences, profiles, suppressions
from notifier.people import preferences as choosing
from notifier.people.audiences import People, check, count, ids_after, survey
from tests.conftest import Statements

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def people(document: Any, *, is_test: bool = False, until: datetime | None = None) -> People:
    return People(audience.parse(document), is_test, until or now())


def members(found: People, page: int = 100) -> list[str]:
    """All of them, page by page."""
    ids: list[str] = []
    while batch := list(db.session.scalars(ids_after(found, ids[-1] if ids else None, page))):
        ids += batch
    return ids


def who(condition: Any) -> set[str]:
    return set(members(people({"where": condition})))


def add(**profiles_by_id: Mapping[str, Any]) -> None:
    with transaction() as session:
        for user_id, fields in profiles_by_id.items():
            session.add(User(id=user_id, **fields))


@pytest.fixture
def crowd(app: APIFlask) -> None:
    add(
        ann={"attributes": {"plan": "pro", "age": 18, "tags": ["new", 7, True], "note": "10% off, \\ and 'more'"}},
        ben={"attributes": {"plan": "Pro", "age": 18.5, "tags": "renewed", "vip": True}},
        cat={"attributes": {"plan": None, "age": "18", "tags": [], "vip": False}},
        dan={"attributes": {"plan": "free", "age": 9_007_199_254_740_993, "tags": {"new": 1}, "vip": 1}},
        eve={"attributes": {}},
        fay={
            "attributes": {
                "a.b": "x",
                'q"': "x",
                "größe": "x",
                "😀": "x",
                "back\\slash": "x",
                "$": "x",
                "a": {"b": "y"},
            }
        },
    )


# condition → who of the crowd meets it
MEANINGS: list[tuple[dict[str, Any], set[str]]] = [
    ({"attributes.plan": "pro"}, {"ann"}),
    ({"attributes.plan": {"ne": "pro"}}, {"ben", "dan"}),
    ({"not": {"attributes.plan": "pro"}}, {"ben", "cat", "dan", "eve", "fay"}),
    ({"attributes.plan": {"exists": True}}, {"ann", "ben", "dan"}),
    ({"attributes.plan": {"exists": False}}, {"cat", "eve", "fay"}),
    ({"attributes.plan": {"in": ["pro", "free", 5]}}, {"ann", "dan"}),
    ({"attributes.age": 18}, {"ann"}),
    ({"attributes.age": 18.0}, {"ann"}),
    ({"attributes.age": "18"}, {"cat"}),
    ({"attributes.age": {"in": [18, "18"]}}, {"ann", "cat"}),
    ({"attributes.age": {"gte": 18}}, {"ann", "ben", "dan"}),
    ({"attributes.age": {"gt": 18, "lte": 18.5}}, {"ben"}),
    ({"attributes.age": {"gt": 2**53}}, {"dan"}),
    ({"attributes.age": {"gte": "1"}}, {"cat"}),
    ({"attributes.plan": {"gt": "Pro"}}, {"ann", "dan"}),
    ({"attributes.plan": {"lt": "a"}}, {"ben"}),
    ({"attributes.plan": {"gt": 5}}, set()),
    ({"attributes.vip": True}, {"ben"}),
    ({"attributes.vip": 1}, {"dan"}),
    ({"attributes.vip": {"in": [False, 1]}}, {"cat", "dan"}),
    ({"attributes.vip": {"ne": False}}, {"ben", "dan"}),
    ({"attributes.tags": {"contains": "new"}}, {"ann", "ben"}),
    ({"attributes.tags": {"contains": "New"}}, set()),
    ({"attributes.tags": {"contains": 7}}, {"ann"}),
    ({"attributes.tags": {"contains": 1}}, set()),
    ({"attributes.tags": {"contains": True}}, {"ann"}),
    ({"attributes.tags": {"ne": "renewed"}}, {"ann", "cat", "dan"}),
    ({"attributes.note": {"contains": "10% off, \\ and 'more'"}}, {"ann"}),
    ({"attributes.note": {"contains": "_"}}, set()),
    ({"attributes.a.b": "x"}, {"fay"}),
    ({'attributes.q"': "x"}, {"fay"}),
    ({"attributes.größe": "x"}, {"fay"}),
    ({"attributes.😀": "x"}, {"fay"}),
    ({"attributes.back\\slash": "x"}, {"fay"}),
    ({"attributes.$": "x"}, {"fay"}),
    ({"attributes.a": {"exists": True}}, {"fay"}),
    ({"attributes.'; DROP TABLE address; --": "x"}, set()),
    ({"attributes.plan": "x' OR '1'='1"}, set()),
    ({"any": [{"attributes.plan": "pro"}, {"attributes.vip": True}]}, {"ann", "ben"}),
    ({"all": [{"attributes.age": {"gte": 18}}, {"not": {"attributes.vip": True}}]}, {"ann", "dan"}),
    ({"attributes.plan": "free", "attributes.vip": 1}, {"dan"}),
]


@pytest.mark.usefixtures("crowd")
def test_each_operator_means_the_same_in_both_databases() -> None:
    assert [(condition, who(condition)) for condition, _ in MEANINGS] == MEANINGS


@pytest.mark.usefixtures("app")
def test_fields_of_the_profile_are_asked_for_too() -> None:
    profile = {"locale": "de", "time_zone": "Europe/Berlin", "home_region": "eu"}
    add(ann=profile | {"created_at": AT}, ben={"locale": "de-AT", "created_at": AT + timedelta(seconds=1)}, cat={})
    with transaction():
        profiles.upsert(
            [InlineRecipient("ann", {"email": "a@x.test"}), InlineRecipient("ben", {"phone": "+4915112345678"})]
        )
    addresses.add_given("cat", "webhook", "http://127.0.0.1/hook", label=None)
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({"locale": "de"}, {"ann"}),
        ({"locale": {"ne": "de"}}, {"ben"}),
        ({"locale": {"contains": "de"}}, {"ann", "ben"}),
        ({"locale": {"gt": "de"}}, {"ben"}),
        ({"locale": {"in": ["fr", "de-AT"]}}, {"ben"}),
        ({"locale": {"exists": False}}, {"cat"}),
        ({"not": {"locale": "de"}}, {"ben", "cat"}),
        ({"time_zone": "Europe/Berlin"}, {"ann"}),
        ({"home_region": {"exists": True}}, {"ann"}),
        ({"created_at": {"lte": "2026-11-01T13:00:00+01:00"}}, {"ann"}),
        ({"created_at": {"gt": "2026-11-01T12:00:00Z"}}, {"ben", "cat"}),
        ({"created_at": "2026-11-01T12:00:01Z"}, {"ben"}),
        ({"created_at": {"exists": True}}, {"ann", "ben", "cat"}),
        ({"email": {"exists": True}}, {"ann"}),
        ({"phone": {"exists": False}}, {"ann", "cat"}),
        ({"not": {"email": {"exists": True}}}, {"ben", "cat"}),
    ]
    assert [(condition, who(condition)) for condition, _ in asked] == asked


# ---- the same, by plain Python --------------------------------------------------------------------------------------

NAMES = ["a", "b.c", "ü"]
TEXTS = st.text("ab\"'\\%ü😀\n1", max_size=3)
NUMBERS = st.integers(-3, 3) | st.integers(-(2**53), 2**53) | st.sampled_from([0.5, -0.0, 1.0, 1e-7, 12345.678])
PLAIN = TEXTS | NUMBERS | st.booleans()
STORED = PLAIN | st.none() | st.lists(PLAIN, max_size=3) | st.dictionaries(TEXTS, PLAIN, max_size=2)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), STORED)
ASKED_ABOUT = st.sampled_from([f"attributes.{name}" for name in NAMES])
ORDERED = TEXTS | NUMBERS
COMPARISONS = st.one_of(
    st.builds(
        lambda field, operator, value: {field: {operator: value}}, ASKED_ABOUT, st.sampled_from(["eq", "ne"]), PLAIN
    ),
    st.builds(
        lambda field, operator, value: {field: {operator: value}},
        ASKED_ABOUT,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        ORDERED,
    ),
    st.builds(lambda field, values: {field: {"in": values}}, ASKED_ABOUT, st.lists(PLAIN, min_size=1, max_size=4)),
    st.builds(lambda field, value: {field: {"exists": value}}, ASKED_ABOUT, st.booleans()),
    st.builds(lambda field, value: {field: {"contains": value}}, ASKED_ABOUT, PLAIN.filter(lambda value: value != "")),
    st.builds(lambda operator, value: {"locale": {operator: value}}, st.sampled_from(["eq", "ne", "gt", "lte"]), TEXTS),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(lambda part: {"not": part}, inner),
        st.builds(
            lambda kind, parts: {kind: parts}, st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)
        ),
    ),
    max_leaves=6,
)


def meets(attributes: Mapping[str, Any], locale: str | None, condition: Condition) -> bool:
    """The rules of `core.conditions`, read a second time."""
    match condition:
        case conditions.All(parts):
            return all(meets(attributes, locale, part) for part in parts)
        case conditions.AnyOf(parts):
            return any(meets(attributes, locale, part) for part in parts)
        case conditions.Not(part):
            return not meets(attributes, locale, part)
        case Comparison(field, operator, values):
            value = locale if field.kind == "text" else attributes.get(field.name)
            if operator == "exists":
                return (value is not None) == values[0]
            return value is not None and compares(value, operator, values)


def compares(value: Any, operator: str, values: tuple[Any, ...]) -> bool:
    asked = values[0]
    if operator in ("eq", "in"):
        return any(same(value, each) for each in values)
    if operator == "ne":
        return not same(value, asked)
    if operator == "contains":
        part = isinstance(value, str) and isinstance(asked, str) and asked in value
        return part or (isinstance(value, list) and any(same(each, asked) for each in value))
    if kind(value) != kind(asked) or kind(asked) not in ("number", "text"):
        return False
    return {"gt": value > asked, "gte": value >= asked, "lt": value < asked, "lte": value <= asked}[operator]


def kind(value: Any) -> str:
    return (
        "truth"
        if isinstance(value, bool)
        else "number"
        if isinstance(value, int | float)
        else "text"
        if isinstance(value, str)
        else "other"
    )


def same(value: Any, asked: Any) -> bool:
    return kind(value) == kind(asked) and value == asked


@pytest.mark.slow
@settings(max_examples=100)
@given(
    crowd=st.lists(st.tuples(ATTRIBUTES, st.none() | TEXTS), min_size=1, max_size=12),
    documents=st.lists(CONDITIONS, min_size=1, max_size=8),
)
def test_sql_finds_whom_plain_python_finds(
    app: APIFlask, crowd: list[tuple[dict[str, Any], str | None]], documents: list[Any]
) -> None:
    db.session.close()
    db.session.connection(execution_options={"writes": True})
    try:
        db.session.execute(sa.delete(User))
        rows = [
            {"id": f"u{index:02}", "attributes": attributes, "locale": locale, "created_at": AT, "updated_at": AT}
            for index, (attributes, locale) in enumerate(crowd)
        ]
        db.session.execute(sa.insert(User), rows)
        for document in documents:
            condition = conditions.parse(document)
            expected = [row["id"] for row in rows if meets(row["attributes"], row["locale"], condition)]
            found = people({"where": document})
            assert (document, members(found, 5)) == (document, expected)
    finally:
        db.session.rollback()


# ---- who there is, and who can be reached ---------------------------------------------------------------------------


@pytest.fixture
def two_worlds(app: APIFlask) -> None:
    add(
        **{user_id: {"created_at": AT, "attributes": {"n": n}} for n, user_id in enumerate(["A1", "a1", "b.2", "~a1"])},
        late={"created_at": AT + timedelta(days=1)},
    )


@pytest.mark.parametrize("page", [1, 2, 100])
@pytest.mark.usefixtures("two_worlds")
def test_everybody_of_a_world_is_met_once_page_by_page(page: int) -> None:
    found = members(people({"all": True}, until=AT), page)
    assert (sorted(found), len(found)) == (["A1", "a1", "b.2"], 3)


@pytest.mark.parametrize(
    ("document", "is_test", "until", "found"),
    [
        ({"all": True}, False, None, {"A1", "a1", "b.2", "late"}),
        ({"all": True}, True, None, {"~a1"}),
        ({"where": {"attributes.n": {"gte": 2}}}, False, AT, {"b.2"}),
        ({"where": {"attributes.n": {"gte": 2}}}, True, AT, {"~a1"}),
        ({"users": ["late", "a1", "nobody"]}, False, None, {"a1", "late"}),
        ({"users": ["late", "a1"]}, False, AT, {"a1"}),
        ({"users": ["late", "a1"]}, True, None, {"~a1"}),
    ],
)
@pytest.mark.usefixtures("two_worlds")
def test_an_audience_is_of_one_world_and_of_a_moment(
    document: Any, is_test: bool, until: datetime | None, found: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "_WINDOW", 1)
    asked = people(document, is_test=is_test, until=until)
    assert (set(members(asked)), count(asked), survey(asked).people) == (found, len(found), len(found))


def uploaded(*user_ids: str, is_test: bool = False, status: str = "finished", producer_id: UUID | None = None) -> str:
    """The shown id of an upload that names these people."""
    with transaction() as session:
        upload = Upload(
            producer_id=producer_id,
            is_test=is_test,
            may_change_people=True,
            may_change_staff=False,
            actor="Shop",
            status=status,
            columns=["id"],
        )
        session.add(upload)
        session.flush()
        session.add_all(UploadMember(upload_id=upload.id, user_id=user_id) for user_id in user_ids)
    return show("upl", upload.id)


@pytest.mark.usefixtures("two_worlds")
def test_an_upload_is_an_audience_of_those_it_names() -> None:
    first, second = uploaded("a1", "late"), uploaded("b.2")
    assert set(members(people({"upload": first}))) == {"a1", "late"}
    assert members(people({"upload": first}, until=AT)) == ["a1"]
    assert members(people({"upload": second})) == ["b.2"]
    profiles.erase("a1")
    assert members(people({"upload": first})) == ["late"]


@pytest.mark.usefixtures("two_worlds")
def test_what_an_audience_names_must_be_there() -> None:
    shop, other = uploaded("a1"), uploaded("a1", producer_id=keys.create_producer("Other").id)
    running, of_tests = uploaded("a1", status="running"), uploaded("~a1", is_test=True)
    mine = db.session.scalar(sa.select(Upload.producer_id).where(Upload.producer_id.is_not(None)))
    for document in ({"all": True}, {"users": ["a1"]}, {"upload": shop}, {"upload": other}):
        check(audience.parse(document), producer_id=None, is_test=False)
    check(audience.parse({"upload": other}), producer_id=mine, is_test=False)
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"users": ["a1", "nobody"]}, "/audience/users/1", "unknown_user"),
        ({"upload": "upl_1"}, "/audience/upload", "unknown_upload"),
        ({"upload": of_tests}, "/audience/upload", "unknown_upload"),
        ({"upload": shop}, "/audience/upload", "unknown_upload"),
    ]
    for document, pointer, code in refused:
        with pytest.raises(Rejected) as error:
            check(audience.parse(document), producer_id=mine, is_test=False)
        assert [(fault.pointer, fault.code) for fault in error.value.faults] == [(pointer, code)]
    with pytest.raises(Rejected, match="still being read"):
        check(audience.parse({"upload": running}), producer_id=None, is_test=False)


@pytest.mark.usefixtures("cast")
def test_reachable_are_those_with_an_active_address_whose_channel_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiences, "_WINDOW", 2)
    everybody = people({"all": True})
    # Nobody but alice has switched sms, whatsapp and voice on; carol has switched email and inapp off
    before = dict.fromkeys(CHANNELS, 0) | {"inapp": 3, "email": 2, "sms": 1, "whatsapp": 1, "voice": 1}
    assert survey(everybody) == audiences.Survey(4, before, ["alice", "bob", "carol", "dave"])
    addresses.add_given("dave", "email", "dave@example.test", label=None)
    for number in "12":
        addresses.add_given("dave", "webhook", f"http://127.0.0.1/{number}", label=None)
    addresses.keep_own("carol", "webhook", "http://127.0.0.1/3", label=None)  # not confirmed
    choosing.change("bob", {"channels": {"sms": True}}, replace=False, source="test")
    assert survey(everybody).reachable == before | {"email": 3, "sms": 2, "webhook": 1}
    digests = {
        row.user_id: row.digest for row in db.session.scalars(sa.select(Address).where(Address.channel == "email"))
    }
    phone = db.session.scalar(sa.select(Address.digest).where(Address.user_id == "alice", Address.channel == "sms"))
    assert phone is not None
    with transaction() as session:
        suppressions.stop([(phone, "sms", "sms", "twilio")])
        suppressions.complain([(digests["dave"], "email", "smtp")])  # of one category: no reason to count them out
        suppressions.hold([suppressions.Hold(digests["alice"], "email", suppressions.BOUNCED, "gone", "smtp")])
        session.execute(
            sa.update(Address).where(Address.user_id == "bob", Address.channel == "email").values(disabled_at=AT)
        )
    assert survey(everybody).reachable == before | {"email": 1, "webhook": 1}
    assert survey(people({"where": {"email": {"exists": True}}})).reachable["email"] == 1


@pytest.mark.usefixtures("cast")
def test_a_survey_takes_a_fixed_number_of_statements(statements: Statements) -> None:
    with statements() as asked:
        survey(people({"where": {"attributes.n": {"exists": False}}}))
    assert len([statement for statement in asked if statement.startswith("SELECT")]) <= 4


def test_equality_is_found_by_the_index_of_attributes(app: APIFlask) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite looks at everybody")
    with transaction() as session:
        rows = [
            {"id": f"u{n}", "attributes": {"n": n, "tags": [str(n)]}, "created_at": AT, "updated_at": AT}
            for n in range(5_000)
        ]
        session.execute(sa.insert(User), rows)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text('VACUUM ANALYZE "user"'))
    for condition in ({"attributes.n": 7}, {"attributes.tags": {"contains": 7}}):
        assert "ix_user_attributes" in plan_of(ids_after(people({"where": condition}), None, 1_000))


def test_a_page_of_a_list_is_read_from_its_place_on(app: APIFlask) -> None:
    # Neither what comes before nor all that comes after: a list of a million has four thousand pages.
    ids = [f"u{n}" for n in range(10)]
    add(**{user_id: {} for user_id in ids})
    page = ids_after(people({"upload": uploaded(*ids)}), "u5", 3)
    assert list(db.session.scalars(page)) == ["u6", "u7", "u8"]
    if db.engine.dialect.name == "postgresql":
        assert plan_of(page).count("> 'u5'") == 2  # of the list and of the people
        return
    literal = page.compile(db.engine, compile_kwargs={"literal_binds": True})
    plan = [row[3] for row in db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}")]
    assert len(plan) == 2, plan
    assert "upload_member USING COVERING INDEX" in plan[0], plan
    assert "(upload_id=? AND user_id>?)" in plan[0], plan


def plan_of(statement: sa.Select[str]) -> str:
    """PostgreSQL's."""
    compiled = statement.compile(db.engine)
    values = {name: Json(value) if isinstance(value, dict) else value for name, value in compiled.params.items()}
    return "\n".join(db.session.connection().exec_driver_sql(f"EXPLAIN {compiled}", values).scalars())
