"""Limits by network address: of calls without a producer's key, and of guessed keys and tokens."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from limits import parse

from notifier.core.networks import neighbourhood
from notifier.ground import tokens
from notifier.ground.extensions import redis_store
from tests.conftest import link_of, subject_of
from tests.metered import growth

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def small(app: APIFlask) -> Iterator[None]:
    """Limits small enough to be met."""
    limiters = app.extensions["address_limiters"]
    usual = {name: limiter.item for name, limiter in limiters.items()}
    for name, amount in {"address": "4/hour", "known": "8/hour", "guess": "3/hour"}.items():
        limiters[name].item = parse(amount)
        limiters[name].in_hand.clear()
        limiters[name].asleep_until = 0.0
    yield
    for name, item in usual.items():
        limiters[name].item = item
        limiters[name].in_hand.clear()


def ask(
    client: FlaskClient, path: str, times: int, address: str = HERE, method: str = "GET", **options: Any
) -> list[Any]:
    return [client.open(path, method=method, environ_base={"REMOTE_ADDR": address}, **options) for _ in range(times)]


def statuses(answers: list[Any]) -> list[int]:
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    "path",
    [
        "/login",
        "/api/openapi.json",
        "/api/docs",
        "/p/nonsense",
        "/u/nonsense",
        "/t/nonsense",
        "/login/link/nonsense",
        "/metrics",
        "/nowhere",
    ],
)
def test_calls_without_an_identity_are_counted_by_address(client: FlaskClient, path: str) -> None:
    assert 429 not in statuses(ask(client, path, 4))
    [refused] = ask(client, path, 1)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["RateLimit-Policy"] == '"address";q=4;w=3600'
    assert re.fullmatch(r'"address";r=0;t=\d+', refused.headers["RateLimit"])
    assert 429 not in statuses(ask(client, path, 1, THERE))


def test_one_click_and_the_links_in_mails_share_the_count(client: FlaskClient, cast: Any) -> None:
    preferences, unsubscribe = (
        tokens.sign_preferences(link_of("alice")),
        tokens.sign_unsubscribe(subject_of("alice"), "marketing", "email"),
    )
    assert statuses(ask(client, f"/p/{preferences}", 3)) == [200] * 3
    assert statuses(ask(client, f"/u/{unsubscribe}", 2, method="POST")) == [200, 429]


def test_the_dot_of_a_mail_is_there_beyond_the_limit(client: FlaskClient) -> None:
    """Gmail fetches the images of all its users from a few addresses."""
    answers = ask(client, "/o/nonsense.gif", 6)
    assert [(answer.status_code, answer.mimetype) for answer in answers] == [(200, "image/gif")] * 6


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/static/favicon.svg"])
def test_what_is_asked_all_the_time_is_not_counted(client: FlaskClient, path: str) -> None:
    assert statuses(ask(client, path, 10)) == [200] * 10


def test_a_page_says_it_in_a_page_and_a_program_in_a_problem(client: FlaskClient) -> None:
    ask(client, "/login", 4)
    [page], [program] = ask(client, "/login", 1), ask(client, "/api/openapi.json", 1)
    assert "Too many attempts" in page.text
    assert (program.content_type, program.json["code"]) == ("application/problem+json", "rate_limited")


def test_the_peoples_api_is_counted_apart_and_may_be_asked_more_often(client: FlaskClient, arrive: Any) -> None:
    arrive("alice")
    ask(client, "/login", 5)
    headers = {"Authorization": f"Bearer {tokens.sign_user_token(subject_of('alice'), 60)[0]}"}
    answers = ask(client, "/api/v1/inbox", 9, headers=headers)
    assert statuses(answers) == [200] * 8 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"known";q=8;w=3600'
    assert answers[0].headers["RateLimit"].startswith('"known";r=7;')


@pytest.mark.parametrize("path", ["/api/v1/types", "/api/v1/inbox"])
def test_guesses_are_answered_with_429_and_a_good_key_all_the_same(
    client: FlaskClient, producer_key: str, path: str
) -> None:
    headers = {"Authorization": "Bearer ntf_live_guessed"}
    assert statuses(ask(client, path, 4, headers=headers)) == [401] * 3 + [429]
    assert statuses(ask(client, "/api/v1/types", 1, headers={"Authorization": f"Bearer {producer_key}"})) == [200]
    assert statuses(ask(client, path, 1, THERE, headers=headers)) == [401]


def test_guesses_of_a_clients_secret_count_too(client: FlaskClient, producer_key: str) -> None:
    data = {"grant_type": "client_credentials", "client_id": producer_key[:16]}

    guesses = ask(client, "/oauth/token", 4, method="POST", data=data | {"client_secret": "ntf_live_guessed"})

    assert statuses(guesses) == [401] * 3 + [429]
    assert statuses(ask(client, "/api/v1/types", 1, headers={"Authorization": f"Bearer {producer_key}"})) == [200]


def test_a_token_of_ours_that_has_ended_is_no_guess(client: FlaskClient, arrive: Any) -> None:
    arrive("alice")
    headers = {"Authorization": f"Bearer {tokens.sign_user_token(subject_of('alice'), -1)[0]}"}
    assert statuses(ask(client, "/api/v1/inbox", 6, headers=headers)) == [401] * 6


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unknown", False),
    ],
)
def test_a_neighbourhood_ipv6_is_one_address(client: FlaskClient, first: str, second: str, are_one: bool) -> None:
    assert (neighbourhood(first) == neighbourhood(second)) == are_one
    ask(client, "/login", 4, first)
    assert (statuses(ask(client, "/login", 1, second)) == [429]) == are_one


def test_no_address_stands_in_redis(client: FlaskClient) -> None:
    ask(client, "/login", 1)
    keys = b" ".join(redis_store.client.keys("*"))
    assert b"limit" in keys
    assert HERE.encode() not in keys


def test_without_redis_all_pass_and_metrics_say_so(app: APIFlask, client: FlaskClient) -> None:
    limiter = app.extensions["address_limiters"]["address"]
    limiter.asleep_until = float("inf")
    with growth() as grown:
        assert statuses(ask(client, "/login", 9)) == [200] * 9
    assert grown["notifier_limits_unchecked_total{limit=address}"] >= 9
    assert 'notifier_limits_unchecked_total{limit="address"}' in client.get("/metrics").text
