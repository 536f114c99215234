"""Who may open which of the socket's namespaces and send which event: every event by everybody, as `tests.test_rights`
has it for the routes.
"""

from typing import Any

import pytest
from apiflask import APIFlask

from notifier.ground.extensions import socketio
from notifier.models.account import ROLES
from notifier.signals.publish import CONSOLE, NAMESPACE
from tests.identities import Identity, identities
from tests.realtime.conftest import Refused

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def reason_not_to_open(namespace: str, role: str, who: Identity) -> str | None:
    if namespace == CONSOLE and who.token is not None:
        return "forbidden"
    if who.kind == "session":
        return None if has_role(who, role) else "forbidden"
    return None if namespace == NAMESPACE and who.kind == "token" else "unauthenticated"


def has_role(who: Identity, role: str) -> bool:
    return ROLES.index(who.role or ROLES[0]) >= ROLES.index(role)


@pytest.mark.slow
def test_every_event_is_for_those_of_its_role_and_for_nobody_else(app: APIFlask, cast: Any, connect: Any) -> None:
    doors = socketio.server.namespace_handlers
    assert set(doors) == {NAMESPACE, CONSOLE}
    wrong = {}
    for name, who in identities().items():
        for namespace, door in doors.items():
            told: dict[str, str | None] = {}
            try:
                cookie = {key: value for key, value in who.headers().items() if key == "Cookie"}
                browser = connect(auth={"token": who.token} if who.token else None, headers=cookie, namespace=namespace)
                for event in door.events:
                    code = browser.ask(event, {"nothing": 1}).get("error", {}).get("code")
                    told[event] = code if code == "forbidden" else None
                browser.wire.disconnect()
            except Refused as refused:
                told = dict.fromkeys(door.events, str(refused))
            closed = reason_not_to_open(namespace, door.role, who)
            right = {
                event: closed or (None if has_role(who, entry.role) else "forbidden")
                for event, entry in door.events.items()
            }
            if told != right:
                wrong[name, namespace] = (told, right)
    assert wrong == {}
