"""Event types and templates over the API."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.database import transaction
from notifier.models import EventType

INVOICE = {
    "titles": {"en": "Invoice", "de": "Rechnung"},
    "descriptions": {"en": "Your invoice is ready.", "de": "Ihre Rechnung liegt bereit."},
    "category": "transactional",
    "priority": "high",
    "channels": ["inapp", "email"],
    "schema": {"type": "object", "required": ["number"], "properties": {"number": {"type": "string"}}},
}
TYPE = "/api/v1/types/invoice_ready"
DOUBLING = {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)} | {"d30": {}}}


@pytest.fixture(autouse=True)
def _only_the_catalogue(app: APIFlask) -> Iterator[None]:
    """Event types outlive a test; these do not."""
    yield
    with transaction() as session:
        session.execute(sa.delete(EventType).where(EventType.key == "invoice_ready"))


def test_the_catalogue_is_listed(api: Any) -> None:
    types = {row["key"]: row for row in api.get("/api/v1/types").json["data"]}

    assert types.keys() >= {"order_shipped", "one_time_code", "newsletter", "fraud_alert"}
    assert types["one_time_code"] == api.get("/api/v1/types/one_time_code").json
    assert (
        types["one_time_code"]["mandatory"],
        types["one_time_code"]["priority"],
        types["one_time_code"]["channels"],
    ) == (True, "urgent", ["sms", "email"])


def test_a_type_is_created_replaced_and_used_at_once(api: Any, cast: Any) -> None:
    created = api.put(TYPE, INVOICE)
    submitted = api.post(
        "/api/v1/notifications", {"type": "invoice_ready", "recipients": ["alice"], "data": {"number": "7"}}
    )
    replaced = api.put(TYPE, INVOICE | {"schema": {"type": "object", "required": ["total"]}})
    refused = api.post(
        "/api/v1/notifications", {"type": "invoice_ready", "recipients": ["alice"], "data": {"number": "7"}}
    )

    defaults = {
        "key": "invoice_ready",
        "mandatory": False,
        "to_admins": False,
        "resend_unknown": None,
        "dedupe_window": None,
        "dedupe_near": False,
    }
    defaults |= {"routing": None, "escalate_after": None, "tracking": {"opens": False, "clicks": False}}
    assert (created.status_code, created.json) == (201, INVOICE | defaults)
    assert (submitted.status_code, replaced.status_code) == (202, 200)
    assert refused.json["errors"][0]["pointer"] == "/data/total"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, {"opens": False, "clicks": False}),
        ({"opens": True}, {"opens": True, "clicks": False}),
        ({"clicks": True}, {"opens": False, "clicks": True}),
        ({"opens": True, "clicks": True}, {"opens": True, "clicks": True}),
    ],
)
def test_opens_and_clicks_are_tracked_separately(api: Any, given: dict[str, bool], kept: dict[str, bool]) -> None:
    assert api.put(TYPE, INVOICE | {"tracking": given}).json["tracking"] == kept


def test_a_schema_may_change_into_one_that_python_takes_for_the_same(api: Any) -> None:
    for const in (1, True):
        api.put(TYPE, INVOICE | {"schema": {"const": const}})

        assert api.get(TYPE).json["schema"]["const"] is const


def test_an_answer_can_be_sent_back(api: Any) -> None:
    answer = api.put(TYPE, INVOICE).json

    assert api.put(TYPE, answer).json == answer


BAD: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "an unknown category": ({"category": "gossip"}, {("/category", "not_one_of")}),
    "an unknown channel": ({"channels": ["pigeon"]}, {("/channels/0", "unknown_channel")}),
    "a title in what can be no language": ({"titles": {"x" * 36: "Invoice"}}, {("/titles/" + "x" * 36, "too_long")}),
    "a description that is none": ({"descriptions": {"en": ""}}, {("/descriptions/en", "too_short")}),
    "a description without end": ({"descriptions": {"en": "x" * 301}}, {("/descriptions/en", "too_long")}),
    "no channels": ({"channels": []}, {("/channels", "too_short")}),
    "marketing that presses": ({"category": "marketing"}, {("/priority", "priority_too_high")}),
    "a schema that is none": ({"schema": {"type": "objekt"}}, {("/schema/type", "invalid_schema")}),
    "data by a name of ours": (
        {"schema": {"properties": {"notification": {}}}},
        {("/schema/properties/notification", "reserved_name")},
    ),
    "a schema of an older kind": (
        {"schema": {"$schema": "http://json-schema.org/draft-07/schema#"}},
        {("/schema/$schema", "invalid_schema")},
    ),
    "a schema that fetches": ({"schema": {"$ref": "http://169.254.169.254/"}}, {("/schema/$ref", "invalid_reference")}),
    "a schema that points nowhere": (
        {"schema": {"properties": {"a": {"$ref": "#/$defs/b"}}}},
        {("/schema/properties/a/$ref", "invalid_reference")},
    ),
    "a schema that fetches from a place of its own": (
        {"schema": {"$ref": "#/x", "x": {"allOf": [{"$id": "http://169.254.169.254/", "$ref": "#"}]}}},
        {("/schema/$ref", "invalid_reference")},
    ),
    "a schema that moves": (
        {"schema": {"properties": {"a": {"$id": "http://169.254.169.254/"}}}},
        {("/schema/properties/a/$id", "unavailable_keyword")},
    ),
    "a default that is taken for a schema": (
        {"schema": {"$ref": "#/default", "default": {"type": "objekt"}}},
        {("/schema/$ref", "invalid_reference")},
    ),
    "a schema that points by a name": (
        {"schema": {"$defs": {"a": {"$anchor": "b"}}, "$ref": "#b"}},
        {("/schema/$ref", "invalid_reference")},
    ),
    "a schema that points to itself": ({"schema": {"$ref": "#"}}, {("/schema", "invalid_schema")}),
    "a schema without an end": (
        {"schema": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}},
        {("/schema", "invalid_schema")},
    ),
    "a schema that doubles its work": ({"schema": {**DOUBLING, "$ref": "#/$defs/d0"}}, {("/schema", "invalid_schema")}),
    "a schema with thousands of required objects": (
        {"schema": {"required": [{"a": n} for n in range(30_000)]}},
        {("/schema", "invalid_schema")},
    ),
    "a pattern that looks around": (
        {"schema": {"properties": {"a": {"pattern": "(?=a)"}}}},
        {("/schema/properties/a/pattern", "invalid_pattern")},
    ),
    "a keyword that is not available": (
        {"schema": {"patternProperties": {"^(a+)+$": {}}}},
        {("/schema/patternProperties", "unavailable_keyword")},
    ),
    "a window of years": ({"dedupe_window": 2_592_001}, {("/dedupe_window", "too_large")}),
    "codes that are tracked": (
        {"mandatory": True, "tracking": {"opens": True, "clicks": True}},
        {("/tracking/opens", "never_tracked"), ("/tracking/clicks", "never_tracked")},
    ),
    "tracking of what cannot be tracked": ({"tracking": {"reads": True}}, {("/tracking/reads", "unknown_field")}),
    "tracking that is a word": ({"tracking": {"opens": "yes"}}, {("/tracking/opens", "wrong_type")}),
    "a nearness that is a number": ({"dedupe_near": 2}, {("/dedupe_near", "wrong_type")}),
    "an unknown routing": ({"routing": "some"}, {("/routing", "not_one_of")}),
    "a delay of steps that are not taken": (
        {"routing": "first", "escalate_after": 60},
        {("/escalate_after", "contradicts_routing")},
    ),
    "a delay of no time": ({"routing": "escalate", "escalate_after": 9}, {("/escalate_after", "too_small")}),
    "an unknown field": ({"colour": 1}, {("/colour", "unknown_field")}),
}


def test_a_bad_type_is_refused(api: Any, count_rows: Any, subtests: pytest.Subtests) -> None:
    for case, (changes, faults) in BAD.items():
        with subtests.test(case=case):
            before = count_rows()

            response = api.put(TYPE, INVOICE | changes)

            assert (response.status_code, {(f["pointer"], f["code"]) for f in response.json["errors"]}) == (422, faults)
            assert count_rows() == before


def test_a_bad_key_is_refused(api: Any, subtests: pytest.Subtests) -> None:
    for key in ("Invoice", "1st", "a-b", "x" * 65):
        with subtests.test(key=key):
            assert api.put(f"/api/v1/types/{key}", INVOICE).json["errors"][0]["code"] == "invalid_key"
            assert api.get(f"/api/v1/types/{key}").status_code == 404


def test_templates_are_listed_and_shown_with_their_words(api: Any) -> None:
    listed = {row["key"]: row for row in api.get("/api/v1/templates").json["data"]}
    published, pinned = (
        api.get("/api/v1/templates/order_shipped").json,
        api.get("/api/v1/templates/order_shipped@1").json,
    )

    assert (listed["order_shipped"]["version"], listed["order_shipped"]["status"]) == (1, "published")
    assert published == pinned
    assert {(content["channel"], content["locale"]) for content in published["contents"]} >= {
        ("email", "en"),
        ("email", "de"),
    }
    assert [
        api.get(f"/api/v1/templates/{name}").status_code
        for name in ("order_shipped@99", "order_shipped@", "nothing", "a%00b", "a@b")
    ] == [404] * 5


MUCH = [[n] for n in range(10_000)]

# Each would have kept the whole installation busy for long. REFUSED: already when the type is saved.
REFUSED = ["invalid_schema"]
HEAVY: dict[str, tuple[dict[str, Any], Any, list[str]]] = {
    "a pattern that backtracks": ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!", ["pattern"]),
    "a pattern for a text of which nobody knows the end": (
        {"pattern": "[ab]*a[ab]{490}c"},
        "abaab" * 10_000,
        ["too_complex"],
    ),
    "a pattern as large as an alphabet": ({"pattern": "\\p{L}{300}"}, "a", ["invalid_pattern"]),
    "a part that names its dialect": (
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "items": {"uniqueItems": True}},
        [[{"i": n} for n in range(40_000)]],
        ["too_complex"],
    ),
    "a pattern for many texts": ({"items": {"pattern": "^(a+)+$"}}, ["a" * 10 + "!"] * 40_000, ["too_complex"]),
    "a pattern for some texts": ({"items": {"pattern": "^(a+)+$"}}, ["a" * 10 + "!"] * 100, ["pattern"] * 20),
    "many unique items": ({"uniqueItems": True}, [{"i": n} for n in range(40_000)], ["too_complex"]),
    "unique items": ({"uniqueItems": True}, [{"i": n} for n in range(300)], []),
    "items that are not unique": ({"uniqueItems": True}, [{"a": 1}, {"a": 1.0}], ["uniqueItems"]),
    "true is not one": ({"uniqueItems": True}, [True, 1, "1", [1], {"1": 1}], []),
    "doubling": ({"$ref": "#/$defs/d0"}, 1, REFUSED),
    "no end": ({"$ref": "#/$defs/loop"}, 1, REFUSED),
    "many choices for many items": ({"items": {"enum": list(range(1_000))}}, [1_000] * 10_000, ["too_complex"]),
    "many choices for one item": ({"items": {"enum": list(range(1_000))}}, [999], []),
    "nothing asked of many items, often": ({"allOf": [{"items": {}}] * 200}, [0] * 50_000, ["too_complex"]),
    "nothing asked of many names, often": (
        {"allOf": [{"propertyNames": {}}] * 200},
        {f"k{n}": 0 for n in range(10_000)},
        ["too_complex"],
    ),
    "much that is quoted again and again": (
        {"anyOf": [{"type": "string"}] * 200},
        [[n] for n in range(40_000)],
        ["too_complex"],
    ),
    "a long constant, often": ({"allOf": [{"$ref": "#/$defs/const"}] * 200}, MUCH, REFUSED),
    "unique items within few, often": ({"allOf": [{"$ref": "#/$defs/unique"}] * 200}, [MUCH], ["too_complex"]),
    "a regular expression as data": ({"format": "regex"}, "(" * 100_000, []),
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")  # what it costs is asked of no SQL
@pytest.mark.parametrize("case", HEAVY)
def test_no_schema_and_no_data_take_long_to_check(api: Any, cast: Any, case: str) -> None:
    rule, value, codes = HEAVY[case]
    more = {"loop": {"$ref": "#/$defs/loop"}, "const": {"const": MUCH}, "unique": {"uniqueItems": True}}
    schema = {"$defs": {**DOUBLING["$defs"], **more}, "properties": {"a": rule}}
    saved = api.put(TYPE, INVOICE | {"schema": schema})
    if saved.status_code != 201:
        assert (saved.status_code, [fault["code"] for fault in saved.json["errors"]]) == (422, codes)
        return

    begun = time.thread_time()
    response = api.post(
        "/api/v1/notifications", {"type": "invoice_ready", "recipients": ["alice"], "data": {"a": value}}
    )

    assert time.thread_time() - begun < 2  # most of it is reading a megabyte
    assert response.status_code == (422 if codes else 202)
    assert {fault["code"] for fault in response.json.get("errors", [])} == set(codes)


def test_the_checks_of_a_bulk_call_do_not_add_up_where_everybody_waits(api: Any, cast: Any) -> None:
    """What is cheap is checked at once, and what is not, apart; the answers are the same."""
    api.put(TYPE, INVOICE | {"schema": {"properties": {"a": {"items": {"type": "integer"}}}}})
    many, bad = {"a": [1] * 250}, {"a": [1] * 250 + ["x"]}
    items = [
        {"type": "invoice_ready", "recipients": ["alice"], "data": bad if n % 10 == 0 else many} for n in range(60)
    ]

    results = api.post("/api/v1/notifications/bulk", {"notifications": items}).json["results"]

    assert [index for index, result in enumerate(results) if "error" in result] == list(range(0, 60, 10))
    assert {fault["pointer"] for result in results for fault in result.get("error", {}).get("errors", [])} == {
        "/notifications/0/data/a/250".replace("/0/", f"/{n}/") for n in range(0, 60, 10)
    }


def test_a_property_may_be_called_like_a_keyword(api: Any) -> None:
    schema = {"properties": {"pattern": {"const": {"pattern": "(?="}}, "patternProperties": {"type": "string"}}}

    assert api.put(TYPE, INVOICE | {"schema": schema}).status_code == 201
