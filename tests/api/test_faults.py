"""What is wrong with a body is said in words of JSON, whatever is wrong with whichever schema."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel, ValidationError

from notifier.api.errors import from_validation
from notifier.api.fields import Part
from notifier.api.schemas import catalogue, inbox, seeds, submissions, users
from notifier.core.errors import Fault, Rejected
from notifier.realtime import console, gateway
from notifier.realtime.door import Arguments
from tests.conftest import Api

URL = "/api/v1/notifications"
LONG = "x" * 100_000
WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    5,
    10**12,
    5.5,
    5.0,
    "",
    "x",
    LONG,
    [],
    [None],
    [5, "x", {}],
    ["x"] * 2_000,
    {},
    {"x": 1},
    {"x": {"y": None}},
]
# Words of the language or the library that this is written in.
FOREIGN = re.compile(
    (
        r"input should|should have|field required|extra inputs|value error|valid "
        r"dict|instance|python|\b(none|dict|tuple|str|bool|int)\b"
    ),
    re.I,
)


def kinds(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


SCHEMAS = sorted({*kinds(Part), *kinds(Arguments)}, key=lambda kind: (kind.__module__, kind.__name__))


def bodies(schema: type[BaseModel]) -> Iterator[Any]:
    """Wrong as a whole, and wrong in one field each."""
    yield from WRONG
    yield {"there is no such field": 1}
    for name in schema.model_fields:
        for value in WRONG:
            yield {name: value}
            yield {name: {"id": value, "start": value, "channel": value, "x": value}}
            yield {name: [{"id": value, "email": value, "channel": value, "title": value}]}


def test_every_schema_of_a_body_is_looked_at() -> None:
    assert {module.__name__ for module in (submissions, users, catalogue, seeds, inbox, gateway, console)} <= {
        schema.__module__ for schema in SCHEMAS
    }
    assert len(SCHEMAS) > 20


def refusal_of(schema: type[BaseModel], body: Any) -> Rejected | None:
    try:
        schema.model_validate(body)
    except ValidationError as error:
        return from_validation(error)
    return None


def leads_somewhere(fault: Fault, body: Any) -> bool:
    """Whether the pointer is one into the body; only what is missing is not there."""
    for part in fault.pointer.split("/")[1:]:
        if isinstance(body, list) and part.isdecimal() and int(part) < len(body):
            body = body[int(part)]
        elif isinstance(body, dict) and part in body:
            body = body[part]
        else:
            return fault.code == "missing" and fault.pointer.endswith(f"/{part}")
    return True


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_no_fault_is_told_in_words_of_the_language_we_are_written_in(schema: type[BaseModel]) -> None:
    refused = [(body, rejected) for body in bodies(schema) if (rejected := refusal_of(schema, body))]
    faults = [(body, fault) for body, rejected in refused for fault in rejected.faults]
    assert faults
    assert [fault for _, fault in faults if FOREIGN.search(fault.message) or fault.message == "this is not valid"] == []
    assert {fault.code for _, fault in faults if re.search(r"_(type|parsing|float|error|size)$", fault.code)} <= {
        "wrong_type"
    }
    assert [fault for body, fault in faults if not leads_somewhere(fault, body)] == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], ["/: this must be an object"]),
        ("text", ["/: this must be an object"]),
        (
            {"type": 5, "recipients": []},
            ["/type: this must be text", "/recipients: this has too few entries: the minimum is 1"],
        ),
        (
            {"type": "like", "recipients": ["alice"], "data": [], "x": 1},
            ["/data: this must be an object", "/x: there is no such field"],
        ),
        (
            {"type": "like", "recipients": ["alice"], "priority": "huge"},
            ["/priority: this must be 'urgent', 'high', 'medium' or 'low'"],
        ),
        ({"type": "like", "recipients": ["alice"], "expires_in": 0}, ["/expires_in: this must be at least 1"]),
        ({"type": "like", "recipients": ["alice"], "expires_in": 1.5}, ["/expires_in: this must be a whole number"]),
        ({"recipients": ["alice"]}, ["/type: this is required"]),
    ],
)
def test_faults_read_like_sentences(api: Api, body: Any, expected: list[str]) -> None:
    answer = api.post(URL, body)
    assert answer.status_code == 422
    assert [f"{fault['pointer'] or '/'}: {fault['message']}" for fault in answer.json["errors"]] == expected


BODY = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}


def send(client: FlaskClient, key: str, data: bytes, **headers: str) -> Any:
    return client.post(
        URL, data=data, headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    )


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
def test_a_compressed_body_is_refused_by_name(client: FlaskClient, producer_key: str, encoding: str) -> None:
    answer = send(client, producer_key, gzip.compress(json.dumps(BODY).encode()), **{"Content-Encoding": encoding})
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert "Content-Encoding" in answer.json["detail"]


def test_a_body_as_it_is_may_say_so(client: FlaskClient, producer_key: str, cast: Any) -> None:
    assert send(client, producer_key, json.dumps(BODY).encode(), **{"Content-Encoding": "identity"}).status_code == 202


def test_a_byte_order_mark_is_passed_over(client: FlaskClient, producer_key: str, cast: Any) -> None:
    assert send(client, producer_key, b"\xef\xbb\xbf" + json.dumps(BODY).encode()).status_code == 202


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "the body is not valid JSON: it is empty"),
        (b'{"type":\n "x"', "the body is not valid JSON: Expecting ',' delimiter in line 2, column 5"),
        (b'{"type": NaN}', "the body is not valid JSON: NaN is not a number"),
        (b'{"n": ' + b"1" * 5_000 + b"}", "the body cannot be read: a number in it has too many digits"),
        ("{}".encode("utf-16"), "the body is not UTF-8"),
        (b"[" * 100_000, "the body is nested too deeply"),
    ],
    ids=["empty", "cut off", "NaN", "digits", "UTF-16", "nesting"],
)
def test_a_body_that_is_no_json_is_told_why(client: FlaskClient, producer_key: str, data: bytes, detail: str) -> None:
    answer = send(client, producer_key, data)
    assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (400, "malformed_json", detail)


def test_faults_of_data_are_told_in_words_of_json_too(api: Api, cast: Any) -> None:
    schema = {
        "type": "object",
        "properties": {
            "is_on": {"const": True},
            "count": {"type": ["integer", "null"]},
            "zip": {"pattern": "^[0-9]{5}$"},
            "size": {"enum": ["S", None]},
        },
    }
    assert (
        api.put(
            "/api/v1/types/flagged",
            {
                "titles": {"en": "Flagged"},
                "category": "social",
                "priority": "low",
                "channels": ["inapp"],
                "schema": schema,
            },
        ).status_code
        == 201
    )
    answer = api.post(
        URL,
        {"type": "flagged", "recipients": ["alice"], "data": {"is_on": None, "count": "x", "size": "L", "zip": "no"}},
    )
    assert sorted(fault["message"] for fault in answer.json["errors"]) == [
        "'count' must be of type integer or null",
        "'is_on' does not satisfy const: true",
        "'size' does not satisfy enum: [\"S\", null]",
        "'zip' does not satisfy pattern: \"^[0-9]{5}$\"",
    ]
