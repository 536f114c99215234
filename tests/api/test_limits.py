"""The rate limit of a key: what a call costs, what it is told, and that an absent Redis limits nobody."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from apiflask import APIFlask
from limits import parse

from notifier.access import keys
from notifier.ground.config import Settings

LEFT = re.compile(r'"default";r=(\d+);t=(\d+)\Z')


@pytest.fixture(params=["10/hour"])
def limited(app: APIFlask, request: pytest.FixtureRequest) -> Iterator[APIFlask]:
    """The app with a limit small enough to be met."""
    settings: Settings = app.extensions["settings"]
    limiter = app.extensions["limiter"]
    usual = limiter.item
    app.extensions["settings"], limiter.item = (
        dataclasses.replace(settings, rate_limit=request.param),
        parse(request.param),
    )
    yield app
    app.extensions["settings"], limiter.item, limiter.asleep_until = settings, usual, 0.0


def order(*recipients: Any) -> dict[str, Any]:
    return {"type": "order_shipped", "recipients": list(recipients), "data": {"order_id": "A1"}}


def left(response: Any) -> int:
    found = LEFT.match(response.headers["RateLimit"])
    assert found is not None
    assert 1 <= int(found.group(2)) <= 3600
    return int(found.group(1))


def test_every_answer_says_the_limit_and_what_is_left(limited: APIFlask, api: Any) -> None:
    first, second = api.get("/api/v1/types"), api.get("/api/v1/types/nothing")

    assert first.headers["RateLimit-Policy"] == '"default";q=10;w=3600'
    assert (left(first), left(second)) == (9, 8)


def test_a_call_costs_the_notifications_it_asks_for(limited: APIFlask, api: Any, cast: Any) -> None:
    assert left(api.post("/api/v1/notifications", order("alice"))) == 9
    assert left(api.post("/api/v1/notifications", order("alice", "bob", "carol"))) == 6
    assert (
        left(api.post("/api/v1/notifications/bulk", {"notifications": [order("alice", "bob"), order("nobody"), 5]}))
        == 2
    )
    assert (
        left(
            api.post(
                "/notify/bulk",
                {"notifications": [{"userId": "alice", "template": "order_shipped", "data": {"orderId": "A"}}] * 2},
            )
        )
        == 0
    )


def test_over_the_limit_is_a_429_that_says_when_to_come_back(limited: APIFlask, api: Any) -> None:
    answers = [api.get("/api/v1/types") for _ in range(11)]

    assert [response.status_code for response in answers] == [200] * 10 + [429]
    refused = answers[-1]
    assert (refused.content_type, refused.json["code"]) == ("application/problem+json", "rate_limited")
    assert left(refused) == 0
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600


def test_what_is_refused_stores_nothing_and_a_smaller_call_may_still_pass(
    limited: APIFlask, api: Any, cast: Any, count_rows: Any
) -> None:
    before = count_rows()

    refused = api.post("/api/v1/notifications/bulk", {"notifications": [order("alice")] * 11})

    assert refused.status_code == 429
    assert count_rows() == before
    assert api.post("/api/v1/notifications/bulk", {"notifications": [order("alice")] * 9}).status_code == 202


def test_each_key_has_a_limit_of_its_own(limited: APIFlask, api: Any, client: Any) -> None:
    for _ in range(11):
        api.get("/api/v1/types")
    _, other = keys.create_key(keys.create_producer("Other").id, scopes=["read"])

    assert client.get("/api/v1/types", headers={"Authorization": f"Bearer {other}"}).status_code == 200


@pytest.mark.parametrize("limited", ["3000/hour"], indirect=True)
def test_a_process_takes_a_thousandth_of_a_large_limit_at_a_time(limited: APIFlask) -> None:
    limiter = limited.extensions["limiter"]
    another = dataclasses.replace(limiter, in_hand={})

    assert [limiter.count("key", 1, 7) for _ in range(4)] == [1, 2, 3, 4]
    assert another.count("key", 1, 7) == 7  # the other holds two more of the six it has taken
    assert limiter.count("key", 100, 7) == 107
    assert limiter.count("key", -100, 7) == 7


@pytest.mark.parametrize("limited", ["10/hour"], indirect=True)
def test_what_one_process_refuses_is_left_for_the_others(limited: APIFlask) -> None:
    limiter = limited.extensions["limiter"]
    another = dataclasses.replace(limiter, in_hand={})
    limiter.count("key", 11, 7)
    limiter.count("key", -11, 7)

    assert another.count("key", 9, 7) == 9


def test_strangers_are_not_counted(limited: APIFlask, client: Any) -> None:
    response = client.get("/api/v1/types")

    assert (response.status_code, "RateLimit" in response.headers) == (401, False)


def test_without_redis_nothing_is_limited_and_redis_is_asked_once_a_second(
    limited: APIFlask, api: Any, capsys: Any, caplog: Any
) -> None:
    limiter = limited.extensions["limiter"]
    present = limiter.storage.storage.connection_pool
    limiter.storage.storage.connection_pool = redis.ConnectionPool(host="127.0.0.1", port=1)

    answers = [api.get("/api/v1/types") for _ in range(20)]

    limiter.storage.storage.connection_pool = present
    assert {response.status_code for response in answers} == {200}
    assert "RateLimit" not in answers[0].headers
    assert ("".join(capsys.readouterr()) + caplog.text).count("limits.redis_away") == 1
