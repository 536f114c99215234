"""Who may call what: every route by everybody. The routes and their rules are read off the app, so a new one is in the
table by itself, and one without a rule fails.
"""

import contextvars
import re
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import select

from notifier.access import keys
from notifier.api.auth import Access
from notifier.ground import tokens
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import InboxItem
from notifier.models.account import ROLES
from notifier.models.producer import SCOPES
from notifier.web.access import ANYONE, RULES
from notifier.web.person.account import sign_out_everywhere
from tests.conftest import subject_of
from tests.identities import NOBODY, Identity, form, identities

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

_WORDS = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?\w+>")
_NAMES = re.compile(r"<(?:[^:<>]+:)?(\w+)>")
# What an answer means
IN, STRANGER, REFUSED = "in", "a stranger", "refused"


def routes(app: APIFlask) -> list[tuple[str, str, Any]]:
    """(method, path, view) of every route. The words in a path are such as are nowhere."""
    return [
        (method, _WORDS.sub(lambda word: "1" if word[1] == "int" else "nothing", rule.rule), view)
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/static/")
        for view in [app.view_functions[rule.endpoint]]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def expected(view: Any, who: Identity) -> set[str]:
    """By the rule that the view declares."""
    if hasattr(view, "access"):
        return {of_a_call(view.access, who)}
    assert view.rule in RULES
    if view.rule == ANYONE:
        return {IN, STRANGER}  # some lead to the sign-in
    if who.role is None:
        return {STRANGER}
    if ROLES.index(who.role) < ROLES.index(view.rule):
        return {REFUSED}
    return {IN, STRANGER} if view is sign_out_everywhere else {IN}


def of_a_call(access: Access, who: Identity) -> str:
    if access.kind == "producer":
        if who.kind == "key":
            is_live_only = access.is_live_only and who.is_test
            return REFUSED if is_live_only or who.scopes.isdisjoint(access.scopes) else IN
        return REFUSED if who.kind == "token" else STRANGER
    if access.kind == "person":
        return {"key": REFUSED, NOBODY: STRANGER}.get(who.kind, IN)
    return IN  # clients of OAuth and providers show themselves in the body, after this


def meaning(answer: Any) -> str:
    if answer.status_code == 401 or (answer.location or "").startswith("/login"):
        return STRANGER
    return REFUSED if answer.status_code == 403 else IN


@pytest.mark.slow
def test_every_route_is_open_to_those_of_its_rule_and_to_nobody_else(app: APIFlask, cast: Any) -> None:
    everybody, (browser, token) = identities(), form()
    shown = {name: who.headers() for name, who in everybody.items()}
    client = app.test_client(use_cookies=False)
    number, wrong = 0, {}
    for method, path, view in routes(app):
        is_page = hasattr(view, "rule")
        for name, who in everybody.items():
            number += 1
            answer = contextvars.Context().run(
                client.open,
                path,
                method=method,
                headers=browser | shown[name] if is_page else shown[name] | {"X-CSRFToken": token},
                data={"csrf_token": token} if is_page and method == "POST" else None,
                environ_overrides={"REMOTE_ADDR": f"2001:db8:{number >> 8:x}:{number & 255:x}::1"},
                buffered=True,
            )
            if meaning(answer) not in expected(view, who) or answer.status_code >= 500:
                wrong[method, path, name] = (answer.status, answer.location)
            if who.role and is_page and method == "POST" and not path.startswith("/admin"):
                shown[name] = who.headers()  # it may have ended
    assert wrong == {}


# The words of paths that name something of one producer, or of one person. The others name what is everybody's, or what
# a scope opens as a whole.
OF_A_PRODUCER = {
    *("notification_id", "submission_id", "shown_id", "schedule_id", "subscription_id", "upload_id", "broadcast_id"),
}
OF_A_PERSON = {"item_id", "address_id", "session_id"}
OF_NOBODY = {"key", "name", "user_id", "account"}


def test_nothing_of_a_producers_or_a_persons_is_anothers(app: APIFlask, cast: Any) -> None:
    """Each call about one thing, by another with every scope but admin; where it is a GET, by its owner too."""
    owner, other = (key_for(*set(SCOPES) - {"admin"}) for _ in range(2))
    client = app.test_client(use_cookies=False)

    def call(path: str, who: dict[str, str], method: str = "POST", **options: Any) -> Any:
        return contextvars.Context().run(client.open, path, method=method, headers=who, buffered=True, **options)

    order = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}
    sent = call("/api/v1/notifications", owner, json=order).json
    sale = {"name": "Sale", "type": "promotional_offer", "audience": {"users": ["alice"]}, "data": {"title": "Sale"}}
    hook = {"url": "https://example.com/", "events": ["delivery.*"]}
    mine = {
        "notification_id": sent["notifications"][0]["id"],
        "submission_id": sent["id"],
        "shown_id": sent["id"],
        "schedule_id": call("/api/v1/schedules", owner, json={"cron": "0 9 * * *", "notification": order}).json["id"],
        "subscription_id": call("/api/v1/subscriptions", owner, json=hook).json["id"],
        "upload_id": call("/api/v1/uploads", owner, data="id\nu1\n", content_type="text/csv").json["id"],
        "broadcast_id": call("/api/v1/broadcasts", owner, json=sale).json["id"],
        "item_id": show("dlv", db.session.scalars(select(InboxItem.id)).one()),
        "address_id": call("/api/v1/users/alice/addresses", owner, "GET").json["data"][0]["id"],
    }
    alice, bob = (
        {"Authorization": f"Bearer {tokens.sign_user_token(subject_of(who), 60)[0]}"} for who in ("alice", "bob")
    )
    paths = client.get("/api/openapi.json").json["paths"]
    found = []
    for rule in app.url_map.iter_rules():
        access = getattr(app.view_functions[rule.endpoint], "access", None)
        if access is None or not rule.arguments or access.kind == "provider":
            continue
        assert rule.arguments <= OF_A_PRODUCER | OF_A_PERSON | OF_NOBODY, f"{rule}: say whose it is"
        named = rule.arguments & (OF_A_PRODUCER | OF_A_PERSON)
        strangers = {"person": bob}.get(access.kind, other)
        owners = {"person": alice}.get(access.kind, owner)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}, reverse=True) if named else ():
            path = _NAMES.sub(lambda word: mine.get(word[1], "bob"), rule.rule)
            described = paths[_NAMES.sub(r"{\1}", rule.rule)][method.lower()].get("requestBody", {"content": {}})
            body = described["content"].get("application/json", {}).get("example")
            found.append((method, path, call(path, strangers, method, json=body).status_code))
            assert method != "GET" or call(path, owners, method).status_code == 200, path
    assert len(found) > 20
    assert [one for one in found if one[2] != 404] == []


def key_for(*scopes: str) -> dict[str, str]:
    key = keys.create_key(keys.create_producer("Shop").id, scopes=scopes)[1]
    return {"Authorization": f"Bearer {key}"}
