"""What every request passes through, whichever door it comes to."""

import inspect
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf, validate_csrf
from wtforms import ValidationError

from notifier.app import create_app
from notifier.ground.config import Settings


def test_no_view_and_no_hook_is_a_coroutine(app: Flask) -> None:
    hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    called = [*app.view_functions.values(), *(one for by_door in hooks for funcs in by_door.values() for one in funcs)]
    assert len(called) > 100
    assert not [one for one in called if inspect.iscoroutinefunction(one)]


def test_a_session_is_filled_without_a_cookie_read_by_its_cookie_and_empty_by_a_forged_one(app: Flask) -> None:
    with app.test_request_context():
        session["who"] = "alice"
        response = app.response_class()
        app.session_interface.save_session(app, session, response)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    seen = []
    for given in (cookie, f"{cookie}x", "other=1"):
        with app.test_request_context(headers={"Cookie": given}):
            seen.append(session.get("who"))
    assert seen == ["alice", None, None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_sessions_and_forms_of_the_key_before_are_accepted_until_that_is_removed(
    app: Flask, settings: Settings
) -> None:
    with app.test_request_context():
        session["who"] = "alice"
        token = generate_csrf()
        response = app.response_class()
        app.session_interface.save_session(app, session, response)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    seen = []
    for fallback in (settings.secret_key, None):
        later = create_app(replace(settings, secret_key="the next one", secret_key_fallback=fallback))
        with later.test_request_context(headers={"Cookie": cookie}):
            seen.append(session.get("who"))
            if fallback:
                validate_csrf(token)
            else:
                with pytest.raises(ValidationError):
                    validate_csrf(token)
    assert seen == ["alice", None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
def test_in_production_nobody_is_served_through_a_proxy_that_is_not_known(app: Flask, settings: Settings) -> None:
    """Flask's answers and Socket.IO's, but for the one that says how many proxies there are."""

    def client(**changes: object) -> FlaskClient:
        return create_app(replace(settings, notifier_env="production", **changes)).test_client()

    behind, paths = {"X-Forwarded-For": "203.0.113.9"}, ("/login", "/api/docs", "/socket.io/?EIO=4&transport=polling")
    strict = client()
    for path in paths:
        for name in (*behind, "Forwarded"):
            refused = strict.get(path, headers={name: "203.0.113.9"})
            assert (refused.status_code, refused.json["code"]) == (400, "unknown_proxy"), (path, name)
        assert strict.get(path).status_code == 200
        assert client(trusted_proxies=1).get(path, headers=behind).status_code == 200
        assert app.test_client().get(path, headers=behind).status_code == 200  # in development they are ignored
    told = urlsplit(refused.json["type"]).path
    assert strict.get(told, headers=behind).status_code == 200  # the page that says what to do
    assert strict.get("/healthz", headers=behind).headers["Notifier-Forwarded"] == "1"
