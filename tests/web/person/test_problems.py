"""Each problem of the API has a page that says what to do, and the `type` of an answer leads to it."""

import re
from urllib.parse import urlsplit

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.api.errors import problem
from notifier.core.problems import PROBLEMS
from notifier.core.problems.problem import address_of
from tests.conftest import Statements

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def test_the_type_of_every_answer_is_a_page_for_everybody(app: APIFlask, client: FlaskClient) -> None:
    for code in PROBLEMS:
        with app.test_request_context():
            told = problem(code, "Something is wrong.")
        answer = client.get(urlsplit(told["type"]).path, headers={"Accept-Language": "de"})
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert ("Set-Cookie" in answer.headers, "Cookie" in answer.headers.get("Vary", "")) == (False, False)
        assert '<html lang="en"' in answer.text
        assert re.findall(r"<h2>(.+)</h2>", answer.text) == ["What happened", "Why", "What to do", "An example"]
        assert f"<code>{code}</code>, status {told['status']}" in answer.text
        assert "`" not in answer.text.partition("<pre")[0]


def test_a_list_names_all_and_is_what_an_unknown_one_gets(client: FlaskClient) -> None:
    every, lost = client.get("/problems"), client.get("/problems/nothing")
    assert (every.status_code, lost.status_code) == (200, 404)
    for answer in (every, lost):
        assert re.findall(r'href="/problems/(\w+)"', answer.text) == list(PROBLEMS)


def test_a_page_needs_no_database(client: FlaskClient, statements: Statements) -> None:
    """One of them says what to do when it is away."""
    with statements() as asked:
        assert client.get("/problems/unavailable").status_code == 200
    assert asked == []


@pytest.mark.parametrize(
    ("send", "code"),
    [
        ({"json": {"type": "order_shiped", "recipients": ["alice"]}}, "unknown_type"),
        ({"json": {"type": "order_shipped", "recipients": ["nobody@example.test"], "data": {}}}, "validation_failed"),
        ({"data": "{,}"}, "malformed_json"),
        ({"data": b"{}", "headers": {"Content-Encoding": "gzip"}}, "unsupported_media_type"),
        ({"data": b"{}", "headers": {"Authorization": "Bearer ntf_live_abcdefghijklmnopqrstuvwxyz"}}, "invalid_key"),
        ({"data": b"{}", "headers": {"Authorization": ""}}, "unauthenticated"),
    ],
)
def test_the_example_is_what_is_answered(
    app: APIFlask, client: FlaskClient, producer_key: str, cast: dict[str, str], send: dict[str, object], code: str
) -> None:
    headers = {"Authorization": f"Bearer {producer_key}"} | dict(send.pop("headers", {}))  # type: ignore[call-overload]
    answer = client.post("/api/v1/notifications", headers=headers, **send)  # type: ignore[arg-type]
    example = PROBLEMS[code].example(code)
    assert (answer.status_code, answer.json["code"], answer.json["title"]) == (
        PROBLEMS[code].status,
        code,
        example["title"],
    )
    assert answer.json["type"] == address_of(code, "http://localhost")
    assert answer.json.keys() == example.keys()
