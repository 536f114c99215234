"""Every page of the console is for a role, on the server: the whole route map, by everybody."""

import re
from collections.abc import Callable

import pytest
from apiflask import APIFlask
from flask import Flask

from notifier.models.account import ROLES
from notifier.web.access import rule_of
from tests.web.conftest import Visitor

_WORDS = re.compile(r"<[^>]+>")


def console(app: Flask) -> list[tuple[str, str, str]]:
    """(method, path, rule) of every page of the console; a path's words are such as are nowhere."""
    with app.app_context():
        found = [
            (
                method,
                _WORDS.sub(lambda word: "1" if word[0].startswith("<int") else "nothing", rule.rule),
                rule_of(rule.endpoint) or "nobody",
            )
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith("/admin")
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
    return sorted(found)


def test_every_page_of_the_console_has_a_role_and_no_get_is_for_persons(app: APIFlask) -> None:
    pages = console(app)
    assert len(pages) > 30
    assert {rule for _, _, rule in pages} <= set(ROLES) - {"person"}


@pytest.mark.parametrize("role", [None, *ROLES])
def test_each_page_opens_to_its_role_and_those_above_only(
    app: APIFlask, visitor: Visitor, signed_in: Callable[..., Visitor], role: str | None
) -> None:
    somebody = signed_in(role) if role else visitor
    wrong = {}
    for method, path, rule in console(app):
        answer = somebody.get(path) if method == "GET" else somebody.post(path)
        may = role is not None and ROLES.index(role) >= ROLES.index(rule)
        if role is None:
            is_right = answer.status_code in (302, 303) and answer.location.startswith("/login")
        else:
            is_right = (answer.status_code != 403) == may and answer.status_code < 500
        if not is_right:
            wrong[method, path] = (rule, answer.status_code, answer.location)
    assert wrong == {}


def test_no_post_of_the_console_is_taken_without_its_token(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    posts = [path for method, path, _ in console(app) if method == "POST"]
    assert {path: status for path in posts if (status := admin.post(path, token=False).status_code) != 400} == {}
