"""A refusal says what is likely to be meant, and tells nobody what is another's."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from notifier.access import keys
from tests.conftest import Api

GOOD = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}


def faults(answer: Any) -> list[tuple[str, str]]:
    return [(fault["pointer"], fault["message"]) for fault in answer.json["errors"]]


@pytest.mark.parametrize(
    ("given", "pointer", "message"),
    [
        (
            {"type": "order_shiped"},
            "/type",
            "there is no event type 'order_shiped'; did you mean 'order_shipped'? GET /api/v1/types lists them",
        ),
        ({"type": "zzz"}, "/type", "there is no event type 'zzz'; GET /api/v1/types lists them"),
        (
            {"recipients": ["ann@example.test"]},
            "/recipients/0",
            "there is no user 'ann@example.test'; to create one in the same call, "
            'send {"id": "…", "email": "…"} instead',
        ),
        (
            {"recipients": ["+4915112345678"]},
            "/recipients/0",
            "there is no user '+4915112345678'; to create one in the same call, "
            'send {"id": "…", "phone": "…"} instead',
        ),
        ({"recipients": ["nobody"]}, "/recipients/0", "there is no user 'nobody'"),
        ({"recipient": ["alice"]}, "/recipient", "there is no such field; did you mean 'recipients'?"),
        ({"colour": "red"}, "/colour", "there is no such field"),
        (
            {"recipients": [{"id": "zoe", "emial": "zoe@example.test"}]},
            "/recipients/0/emial",
            "there is no such field; did you mean 'email'?",
        ),
    ],
)
def test_it_names_what_is_likely_to_be_meant(
    api: Api, cast: dict[str, str], given: dict[str, Any], pointer: str, message: str
) -> None:
    assert (pointer, message) in faults(api.post("/api/v1/notifications", {**GOOD, **given}))


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ({"type": "order_shiped"}, "order_shipped"),
        ({"recipient": ["alice"]}, "recipients"),
        ({"recipients": [{"id": "zoe", "emial": "zoe@example.test"}]}, "email"),
        ({"type": "zzz"}, None),
        ({"colour": "red"}, None),
    ],
)
def test_programs_can_read_it_too(api: Api, cast: dict[str, str], given: dict[str, Any], suggested: str | None) -> None:
    [fault, *_] = api.post("/api/v1/notifications", {**GOOD, **given}).json["errors"]
    assert fault.get("suggestion") == suggested


def test_a_key_that_may_submit_some_types_is_told_of_those(client: FlaskClient, cast: dict[str, str]) -> None:
    _, key = keys.create_key(keys.create_producer("Shop").id, scopes=("notify",), types=("comment",))
    for wrong, meant in (("order_shiped", ";"), ("coment", "; did you mean 'comment'?")):
        [(_, message)] = faults(Api(client, key).post("/api/v1/notifications", {**GOOD, "type": wrong}))
        assert message == f"there is no event type {wrong!r}{meant} GET /api/v1/types lists them"


def test_of_a_bulk_call_the_first_few_are_guessed_at(api: Api, cast: dict[str, str]) -> None:
    answer = api.post("/api/v1/notifications/bulk", {"notifications": [{**GOOD, "type": "order_shiped"}] * 20})
    said = [result["error"]["detail"] for result in answer.json["results"]]
    assert [("did you mean" in one) for one in said] == [True] * 5 + [False] * 15


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Bearer ntf_live_abcdefghijklmnopqrstuvwxyz", "; it begins with ntf_live_abcdefg"),
        ("Bearer sk_live_abcdefghijklmnop", "; it does not begin with ntf_live_ or ntf_test_, as keys do"),
        ("ntf_live_abcdefghijklmnopqrstuvwxyz", "; 'Bearer' is missing"),
        ("Basic YWxhZGRpbjpvcGVu", "'Authorization: Bearer <key>'"),
    ],
)
def test_a_401_says_what_it_saw(client: FlaskClient, header: str, said: str) -> None:
    answer = client.get("/api/v1/types", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json["detail"].endswith(said)
    assert "hijklmnop" not in answer.get_data(as_text=True)
