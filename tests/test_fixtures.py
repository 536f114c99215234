"""What the fixtures promise the tests: where the code of a test runs, and what they leave behind."""

import pytest
import requests
from apiflask import APIFlask
from flask import Config, g, has_request_context, render_template_string
from flask.testing import FlaskClient
from jinja2 import UndefinedError
from pytest_flask.live_server import LiveServer

from notifier.ground.extensions import redis_store
from notifier.ground.outage import REQUEST_S
from tests.conftest import Api


def test_a_test_runs_outside_requests_as_workers_do(app: APIFlask) -> None:
    assert not has_request_context()


def test_outside_requests_waiting_for_redis_has_no_bound(app: APIFlask) -> None:
    g.waited_for_redis_s = REQUEST_S + 1
    assert redis_store.client.ping()


def test_the_context_of_a_request_ends_with_it(client: FlaskClient) -> None:
    with client:
        assert client.get("/healthz").status_code == 200
        assert not has_request_context()


def test_a_response_compares_with_its_status(api: Api) -> None:
    assert api.get("/api/v1/types") == 200
    assert api.get("/api/v1/notifications/nothing") == 404


def test_a_name_that_a_page_misspells_is_an_error(app: APIFlask) -> None:
    for page in ("{{ mispelt }}", "{% if mispelt %}{% endif %}", "{% if {}.mispelt %}{% endif %}"):
        with pytest.raises(UndefinedError):
            render_template_string(page)


def test_a_live_server_serves_the_same_installation_and_the_app_stays_as_it_was(
    live_server: LiveServer, producer_key: str
) -> None:
    headers = {"Authorization": f"Bearer {producer_key}"}  # made after the server was started
    assert requests.get(live_server.url("/api/v1/types"), headers=headers, timeout=60).status_code == 200


def test_no_live_server_leaves_its_name(config: Config) -> None:
    assert config["SERVER_NAME"] is None


def test_a_test_may_change_the_catalogue(api: Api) -> None:
    kind = {"titles": {"en": "Kiln is hot"}, "category": "social", "priority": "low", "channels": ["inapp"]}
    assert api.put("/api/v1/types/kiln", kind) == 201


def test_the_next_test_finds_it_as_it_came(api: Api) -> None:
    assert api.get("/api/v1/types/kiln") == 404
