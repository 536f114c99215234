"""What every request passes through, whichever door it comes to."""

import inspect

from flask import Flask, session


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
