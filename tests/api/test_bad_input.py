"""Bad input is named by JSON pointer and stores nothing."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

GOOD = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
NEW = {"id": "erin", "email": "erin@example.test"}  # would be created, were the rest in order
SUBMIT = "/api/v1/notifications"


def submission(**changes: Any) -> dict[str, Any]:
    return GOOD | {"recipients": [NEW]} | changes


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


# what is wrong → the body → the pointers and codes of the faults
SUBMISSIONS: dict[str, tuple[Any, set[tuple[str, str]]]] = {
    "nothing": ({}, {("/type", "missing"), ("/recipients", "missing")}),
    "a list": ([GOOD], {("", "wrong_type")}),
    "a text": ("order_shipped", {("", "wrong_type")}),
    "an unknown field": (submission(colour="red"), {("/colour", "unknown_field")}),
    "an unknown field whose name needs escaping": (submission(**{"a/b~c": 1}), {("/a~1b~0c", "unknown_field")}),
    "an unknown field of a recipient": (
        submission(recipients=[NEW | {"age": 5}]),
        {("/recipients/0/age", "unknown_field")},
    ),
    "an unknown type": (submission(type="order_lost"), {("/type", "unknown_type")}),
    "a type that is no text": (submission(type=5), {("/type", "wrong_type")}),
    "an empty type": (submission(type=""), {("/type", "too_short")}),
    "no recipients": (submission(recipients=[]), {("/recipients", "too_short")}),
    "1,001 recipients": (submission(recipients=[f"u{n}" for n in range(1001)]), {("/recipients", "too_long")}),
    "a recipient that is a fraction": (submission(recipients=[1.5]), {("/recipients/0", "invalid_user_id")}),
    "a recipient that is true": (submission(recipients=[True]), {("/recipients/0", "invalid_user_id")}),
    "a recipient that is null": (submission(recipients=[None]), {("/recipients/0", "invalid_user_id")}),
    "a recipient with a space": (submission(recipients=["a b"]), {("/recipients/0", "invalid_user_id")}),
    "a recipient of 129 characters": (
        submission(recipients=[{"id": "x" * 129}]),
        {("/recipients/0/id", "invalid_user_id")},
    ),
    "a recipient that ends in a line break": (
        submission(recipients=["alice\n"]),
        {("/recipients/0", "invalid_user_id")},
    ),
    "recipients that nobody knows": (
        submission(recipients=["alice", "nobody", NEW, "no.one"]),
        {("/recipients/1", "unknown_user"), ("/recipients/3", "unknown_user")},
    ),
    "attributes of more than 64 KiB": (
        submission(recipients=[NEW | {"attributes": {"note": "x" * 65_536}}]),
        {("/recipients/0/attributes", "too_large")},
    ),
    "an e-mail that is none": (
        submission(recipients=[NEW | {"email": "erin"}]),
        {("/recipients/0/email", "invalid_email")},
    ),
    "a phone that is none": (
        submission(recipients=[NEW | {"phone": "call me"}]),
        {("/recipients/0/phone", "invalid_phone")},
    ),
    "a phone that is a number": (
        submission(recipients=[NEW | {"phone": 4915112345678}]),
        {("/recipients/0/phone", "wrong_type")},
    ),
    "an unknown zone": (
        submission(recipients=[NEW | {"time_zone": "Europe/Atlantis"}]),
        {("/recipients/0/time_zone", "unknown_time_zone")},
    ),
    "a zone that is a path": (
        submission(recipients=[NEW | {"time_zone": "../../etc/passwd"}]),
        {("/recipients/0/time_zone", "unknown_time_zone")},
    ),
    "a locale that is none": (
        submission(recipients=[NEW | {"locale": "de_"}]),
        {("/recipients/0/locale", "invalid_locale")},
    ),
    "data that are a list": (submission(data=[]), {("/data", "wrong_type")}),
    "data that lack what the type requires": (submission(data={}), {("/data/order_id", "missing")}),
    "data of a wrong type": (submission(data={"order_id": ["A1"]}), {("/data/order_id", "type")}),
    "data by a name of ours": (
        submission(data={"order_id": "A1", "notification": {}}),
        {("/data/notification", "reserved_name")},
    ),
    "NUL in data": (submission(data={"order_id": "A\x00"}), {("/data/order_id", "unstorable_text")}),
    "NUL in a name inside data": (submission(data={"order_id": "A", "x\x00": 1}), {("/data/x\x00", "unstorable_text")}),
    "half a surrogate pair in data": (
        submission(data={"order_id": "A", "note": ["\ud800"]}),
        {("/data/note/0", "unstorable_text")},
    ),
    "half a surrogate pair in a name": (
        submission(recipients=[NEW | {"name": "\udfff"}]),
        {("/recipients/0/name", "unstorable_text")},
    ),
    "half a surrogate pair as a field": (submission(**{"\ud800": 1}), {("/\\ud800", "unstorable_text")}),
    "an integer of 30 digits in data": (
        submission(data={"order_id": "A", "n": 10**30}),
        {("/data/n", "number_too_large")},
    ),
    "data nested too deeply": (
        submission(data={"order_id": "A", "deep": nested(40)}),
        {("/data/deep" + "/a" * 30, "nested_too_deeply")},
    ),
    "an unknown channel": (submission(channels=["email", "pigeon"]), {("/channels/1", "unknown_channel")}),
    "no channels": (submission(channels=[]), {("/channels", "too_short")}),
    "an unknown priority": (submission(priority="top"), {("/priority", "not_one_of")}),
    "marketing above medium": (
        submission(type="newsletter", data={"title": "T", "body": "B"}, priority="high"),
        {("/priority", "priority_too_high")},
    ),
    "social above high": (
        submission(type="like", data={"actor": "Bob"}, priority="urgent"),
        {("/priority", "priority_too_high")},
    ),
    "an unknown routing": (submission(routing="some"), {("/routing", "not_one_of")}),
    "a delay of steps that are not taken": (
        submission(routing="all", escalate_after=60),
        {("/escalate_after", "contradicts_routing")},
    ),
    "a delay with the type's own routing": (
        submission(escalate_after=60),
        {("/escalate_after", "contradicts_routing")},
    ),
    "a delay beyond the expiry": (
        submission(routing="escalate", escalate_after=600, expires_in=600),
        {("/escalate_after", "contradicts_expiry")},
    ),
    "a delay of no time": (submission(routing="escalate", escalate_after=9), {("/escalate_after", "too_small")}),
    "a delay of days": (submission(routing="escalate", escalate_after=86_401), {("/escalate_after", "too_large")}),
    "a sequence of nothing": (submission(sequence=1), {("/sequence", "needs_collapse_key")}),
    "a negative sequence": (submission(collapse_key="k", sequence=-1), {("/sequence", "too_small")}),
    "a sequence beyond what JavaScript counts": (
        submission(collapse_key="k", sequence=2**53 + 1),
        {("/sequence", "too_large")},
    ),
    "an empty collapse key": (submission(collapse_key=""), {("/collapse_key", "too_short")}),
    "a naive time": (submission(send_at="2026-12-01T09:00:00"), {("/send_at", "invalid_time")}),
    "a date": (submission(send_at="2026-12-01"), {("/send_at", "invalid_time")}),
    "a Unix time": (submission(send_at=1796115600), {("/send_at", "invalid_time")}),
    "a time in the past": (submission(send_at="2020-01-01T00:00:00Z"), {("/send_at", "in_the_past")}),
    "a time that no calendar has": (submission(send_at="0001-01-01T00:00:00+14:00"), {("/send_at", "invalid_time")}),
    "a time beyond a year": (submission(send_at="2099-01-01T00:00:00Z"), {("/send_at", "too_far_ahead")}),
    "an expiry of nothing": (submission(expires_in=0), {("/expires_in", "too_small")}),
    "an expiry of ages": (submission(expires_in=10**12), {("/expires_in", "too_large")}),
    "an expiry that is text": (submission(expires_in="60"), {("/expires_in", "wrong_type")}),
    "an expiry that is true": (submission(expires_in=True), {("/expires_in", "wrong_type")}),
    "a long collapse key": (submission(collapse_key="x" * 256), {("/collapse_key", "too_long")}),
    "a dedupe that is text": (submission(dedupe="yes"), {("/dedupe", "wrong_type")}),
    "a long idempotency key": (submission(idempotency_key="x" * 256), {("/idempotency_key", "too_long")}),
    "an unknown template": (submission(template="order_shipped@99"), {("/template", "unknown_template")}),
    "two faults at once": (
        submission(colour=1, priority="top"),
        {("/colour", "unknown_field"), ("/priority", "not_one_of")},
    ),
}


def test_a_bad_submission_is_a_422_that_names_every_fault_and_stores_nothing(
    api: Any, cast: Any, count_rows: Callable[[], Any], subtests: pytest.Subtests
) -> None:
    for case, (body, faults) in SUBMISSIONS.items():
        with subtests.test(case=case):
            before = count_rows()

            response = api.post(SUBMIT, data=json.dumps(body), content_type="application/json")

            assert (response.status_code, response.content_type) == (422, "application/problem+json")
            assert {(fault["pointer"], fault["code"]) for fault in response.json["errors"]} == faults
            assert response.json.keys() == PROBLEM
            assert count_rows() == before


PROBLEM = {"type", "title", "status", "detail", "instance", "code", "errors", "request_id"}


MALFORMED = {
    "half an object": b'{"type": ',
    "no JSON": b"type=order_shipped",
    "nothing": b"",
    "two values": b"{} {}",
    "NaN": b'{"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1", "n": NaN}}',
    "Infinity": b'{"data": {"n": -Infinity}}',
    "bytes that are no text": b'{"type": "\xff"}',
    "surrogates in UTF-8": b'{"type": "\xed\xa0\x80"}',
    "UTF-16": '{"type": "x"}'.encode("utf-16"),
    "a raw NUL": b'{"type": "a\x00b"}',
    "100,000 brackets": b"[" * 100_000,
    "a number of 5,000 digits": b'{"n": ' + b"9" * 5000 + b"}",
}


def test_what_is_no_json_is_a_400_that_stores_nothing(
    api: Any, cast: Any, count_rows: Callable[[], Any], subtests: pytest.Subtests
) -> None:
    for case, body in MALFORMED.items():
        with subtests.test(case=case):
            before = count_rows()

            response = api.post(SUBMIT, data=body, content_type="application/json")

            assert (response.status_code, response.json["code"]) == (400, "malformed_json")
            assert count_rows() == before


def test_a_number_beyond_every_float_is_refused(api: Any, cast: Any) -> None:
    body = b'{"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1", "n": 1e999}}'

    response = api.post(SUBMIT, data=body)

    assert [(fault["pointer"], fault["code"]) for fault in response.json["errors"]] == [("/data/n", "number_too_large")]


def test_of_a_field_given_twice_the_last_counts(api: Any, cast: Any) -> None:
    response = api.post(
        SUBMIT, data=b'{"type": "x", "type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}'
    )

    assert response.status_code == 202


BIG = json.dumps(GOOD | {"data": {"order_id": "A1", "note": "x" * 1024 * 1024}}).encode()


def test_a_body_over_1_mib_is_a_413(api: Any, cast: Any, count_rows: Callable[[], Any]) -> None:
    before = count_rows()

    response = api.post(SUBMIT, data=b'"' + b"x" * (1024 * 1024 - 1) + b'"')  # 1 MiB + 1

    assert (response.status_code, response.json["code"]) == (413, "body_too_large")
    assert count_rows() == before


def test_a_body_of_1_mib_is_read(api: Any, cast: Any) -> None:
    text = json.dumps(GOOD)
    response = api.post(SUBMIT, data=(text + " " * (1024 * 1024 - len(text))).encode())

    assert response.status_code == 202


def test_a_chunked_body_over_1_mib_is_a_413(client: Any, producer_key: str, cast: Any) -> None:
    response = _chunked(client, producer_key, BIG)

    assert (response.status_code, response.json["code"]) == (413, "body_too_large")


def test_a_chunked_body_is_read(client: Any, producer_key: str, cast: Any) -> None:
    assert _chunked(client, producer_key, json.dumps(GOOD).encode()).status_code == 202


def _chunked(client: Any, key: str, body: bytes) -> Any:
    """As a server hands it over that has undone the chunks but does not say so."""
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(body)}
    return client.post(SUBMIT, headers={"Authorization": f"Bearer {key}"}, environ_overrides=environ)


def test_a_stranger_is_told_nothing_about_the_body(client: Any) -> None:
    for body in (b"{", BIG, json.dumps({"colour": 1}).encode()):
        response = client.post(SUBMIT, data=body)

        assert (response.status_code, response.json["code"]) == (401, "unauthenticated")


OTHER_CALLS: dict[str, tuple[str, str, Any, int, set[tuple[str, str]]]] = {
    "a user's id with a slash": ("PUT", "/api/v1/users/a%20b", {}, 422, {("/id", "invalid_user_id")}),
    "a user's id with NUL": ("PUT", "/api/v1/users/a%00b", {}, 422, {("/id", "invalid_user_id")}),
    "another id in the body": ("PUT", "/api/v1/users/erin", {"id": "eve"}, 422, {("/id", "ids_differ")}),
    "a user with an unknown field": ("PUT", "/api/v1/users/erin", {"age": 5}, 422, {("/age", "unknown_field")}),
    "a user with a bad e-mail": ("PUT", "/api/v1/users/erin", {"email": "x"}, 422, {("/email", "invalid_email")}),
    "attributes that are a text": (
        "PATCH",
        "/api/v1/users/alice",
        {"attributes": "pro"},
        422,
        {("/attributes", "wrong_type")},
    ),
    "attributes of more than 64 KiB": (
        "PATCH",
        "/api/v1/users/alice",
        {"attributes": {"note": "ä" * 32_763}},  # with the braces and the name, 65,537 bytes
        422,
        {("/attributes", "too_large")},
    ),
    "NUL in an attribute": (
        "PATCH",
        "/api/v1/users/alice",
        {"attributes": {"plan": "\x00"}},
        422,
        {("/attributes/plan", "unstorable_text")},
    ),
    "somebody asked for with NUL": ("GET", "/api/v1/users/a%00b", None, 404, set()),
    "an address on an unknown channel": (
        "POST",
        "/api/v1/users/alice/addresses",
        {"channel": "pigeon", "value": "x"},
        422,
        {("/channel", "unknown_channel")},
    ),
    "an address on in-app": (
        "POST",
        "/api/v1/users/alice/addresses",
        {"channel": "inapp", "value": "x"},
        422,
        {("/channel", "unknown_channel")},
    ),
    "a javascript: URL": (
        "POST",
        "/api/v1/users/alice/addresses",
        {"channel": "webhook", "value": "javascript:alert(1)"},
        422,
        {("/value", "invalid_address")},
    ),
    "a file: URL": (
        "POST",
        "/api/v1/users/alice/addresses",
        {"channel": "slack", "value": "file:///etc/passwd"},
        422,
        {("/value", "invalid_address")},
    ),
    "an address of nobody": (
        "POST",
        "/api/v1/users/nobody/addresses",
        {"channel": "email", "value": "a@x.test"},
        404,
        set(),
    ),
    "a token for ever": (
        "POST",
        "/api/v1/users/alice/token",
        {"expires_in": 10**9},
        422,
        {("/expires_in", "too_large")},
    ),
    "a token for nobody": ("POST", "/api/v1/users/nobody/token", None, 404, set()),
    "a page of nothing": ("GET", "/api/v1/notifications?limit=0", None, 422, {("/limit", "too_small")}),
    "a page of everything": ("GET", "/api/v1/notifications?limit=201", None, 422, {("/limit", "too_large")}),
    "a page of words": ("GET", "/api/v1/notifications?limit=ten", None, 422, {("/limit", "wrong_type")}),
    "a cursor that is none": ("GET", "/api/v1/notifications?after=xyz", None, 422, {("/after", "invalid_cursor")}),
    "a cursor with NUL": ("GET", "/api/v1/notifications?after=%00", None, 422, {("/after", "unstorable_text")}),
    "a filter with NUL": ("GET", "/api/v1/notifications?user=%00", None, 422, {("/user", "unstorable_text")}),
    "a filter nobody knows": ("GET", "/api/v1/notifications?colour=red", None, 422, {("/colour", "unknown_field")}),
    "an experiment with NUL": ("GET", "/api/v1/templates/a%00b/experiment", None, 404, set()),
    "a variant of a template with NUL": (
        *("POST", "/api/v1/templates/a%00b/variants"),
        *({"name": "b", "weight": 1, "contents": [{"title": "t"}]}, 404, set()),
    ),
    "a notification that is none": ("GET", "/api/v1/notifications/%00", None, 404, set()),
    "a submission's id for a notification's": ("GET", "/api/v1/notifications/sub_" + "0" * 32, None, 404, set()),
    "a dry run of 101": (
        "POST",
        "/api/v1/notifications?dry_run=true",
        submission(recipients=[{"id": f"u{n}", "name": "U"} for n in range(101)]),
        422,
        {("/recipients", "too_long")},
    ),
    "a dry run of maybe": (
        "POST",
        "/api/v1/notifications?dry_run=maybe",
        submission(),
        422,
        {("/dry_run", "not_one_of")},
    ),
    "a bulk of nothing": (
        "POST",
        "/api/v1/notifications/bulk",
        {"notifications": []},
        422,
        {("/notifications", "too_short")},
    ),
    "a bulk of 1,001": (
        "POST",
        "/api/v1/notifications/bulk",
        {"notifications": [{}] * 1001},
        422,
        {("/notifications", "too_long")},
    ),
    "a bulk that is no list": (
        "POST",
        "/api/v1/notifications/bulk",
        {"notifications": {}},
        422,
        {("/notifications", "wrong_type")},
    ),
    "the seeds' bulk of nothing": (
        "POST",
        "/notify/bulk",
        {"notifications": []},
        422,
        {("/notifications", "too_short")},
    ),
}


def test_bad_input_of_the_other_calls_stores_nothing_either(
    api: Any, cast: Any, count_rows: Callable[[], Any], subtests: pytest.Subtests
) -> None:
    for case, (method, path, body, status, faults) in OTHER_CALLS.items():
        with subtests.test(case=case):
            before = count_rows()

            response = getattr(api, method.lower())(path, body)

            told = {(fault["pointer"], fault["code"]) for fault in response.json["errors"]}
            assert (response.status_code, told) == (status, faults)
            assert count_rows() == before


def test_an_unusable_idempotency_key_header_is_refused(
    api: Any, cast: Any, count_rows: Callable[[], Any], subtests: pytest.Subtests
) -> None:
    for key in ("", '""', "x" * 256, "a\tb"):
        with subtests.test(key=key):
            before = count_rows()

            response = api.post(SUBMIT, GOOD, headers={"Idempotency-Key": key})

            assert [(fault["pointer"], fault["code"]) for fault in response.json["errors"]] == [
                ("/idempotency_key", "invalid_idempotency_key")
            ]
            assert count_rows() == before


@pytest.mark.parametrize(
    "data", [{"a": ["\0"] * 100_000}, {f"\0{n}": n for n in range(5_000)}], ids=["values", "names"]
)
def test_of_very_many_faults_the_first_thousand_are_told(api: Any, cast: Any, data: dict[str, Any]) -> None:
    response = api.post(SUBMIT, submission(data=data))

    assert (response.status_code, len(response.json["errors"])) == (422, 1000)


def test_of_very_many_unknown_fields_the_first_thousand_are_told(api: Any, cast: Any) -> None:
    response = api.post(SUBMIT, submission(**{f"k{n}": n for n in range(2_000)}))

    assert (response.status_code, len(response.json["errors"])) == (422, 1000)
