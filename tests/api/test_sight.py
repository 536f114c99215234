"""What a caller may see: its own, with a test key only what test keys sent, with `admin` everything."""

from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from notifier.access import keys
from notifier.models.producer import SCOPES
from tests.conftest import Api

BODY = {"type": "one_time_code", "recipients": [{"id": "eve", "email": "eve@x.test"}], "data": {"code": "123456"}}
OWN = [scope for scope in SCOPES if scope != "admin"]


@pytest.fixture
def callers(app: APIFlask, client: FlaskClient) -> dict[str, Api]:
    shop, other = keys.create_producer("Shop"), keys.create_producer("Other")

    def key(producer: Any, **options: Any) -> Api:
        return Api(client, keys.create_key(producer.id, **{"scopes": OWN, **options})[1])

    return {
        "live": key(shop),
        "test": key(shop, is_test=True),
        "stranger": key(other),
        "admin": key(other, scopes=SCOPES),
    }


@pytest.mark.parametrize(
    ("sender", "seen_by"),
    [("live", {"live", "admin"}), ("test", {"live", "test", "admin"})],
)
def test_who_sees_a_notification(callers: dict[str, Api], sender: str, seen_by: set[str]) -> None:
    sent = callers[sender].post("/api/v1/notifications", BODY).json
    notification = sent["notifications"][0]["id"]
    paths = [
        f"/api/v1/notifications/{notification}",
        f"/api/v1/submissions/{sent['id']}",
        f"/notify/status/{notification}",
    ]
    for name, api in callers.items():
        expected = 200 if name in seen_by else 404
        assert {api.get(path).status_code for path in paths} == {expected}, name
        listed = [entry["id"] for entry in api.get("/api/v1/notifications").json["data"]]
        assert (notification in listed) is (name in seen_by), name
        # A test key's eve is somebody else than the live one: each is there for keys of her own world alone.
        export = api.get("/api/v1/users/eve/export")
        assert (export.status_code == 200) is ((name == "test") is (sender == "test")), name
        if export.status_code == 200:
            assert (notification in [entry["id"] for entry in export.json["notifications"]]) is (name in seen_by), name
        if name not in seen_by:
            assert api.post(f"/api/v1/notifications/{notification}/cancel").status_code == 404
