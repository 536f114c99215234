"""OAuth 2: a key shows itself once and gets a token that may do the same, or less, for ten minutes."""

import base64
import logging
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from flask.testing import FlaskClient

from notifier.access import access_tokens, keys, signing_keys
from notifier.access.keys import create_key, create_producer, disable_producer, revoke_key
from notifier.core.networks import parse
from notifier.ground import logs
from notifier.ground.clock import now
from notifier.models.producer import SCOPES
from tests.conftest import Statements

FORM = {"grant_type": "client_credentials"}
# What is refused, and how a client shows its key, is no matter of the database
ON_ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
ORDER = {"type": "order_shipped", "recipients": ["alice"], "data": {"order_id": "A1"}}


def new_key(*scopes: str, **options: Any) -> str:
    return create_key(create_producer("Shop").id, scopes=scopes or SCOPES, **options)[1]


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def of(key: str) -> dict[str, str]:
    return basic(key[:16], key)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(client: FlaskClient, key: str, **form: str) -> str:
    answer = client.post("/oauth/token", data=FORM | form, headers=of(key))
    assert answer.status_code == 200, answer.text
    return str(answer.json["access_token"])


def elsewhere() -> None:
    """As for another process: it knows only what the database says, once its caches have lapsed."""
    keys.forget_cached_keys()
    signing_keys.forget_cached()


def verified(client: FlaskClient, token: str) -> dict[str, Any]:
    """The claims, as another server verifies them by what we publish."""
    published = jwt.PyJWKSet.from_dict(client.get("/oauth/jwks.json").json)
    kid = jwt.get_unverified_header(token)["kid"]
    return dict(
        jwt.decode(token, published[kid].key, ["EdDSA"], issuer="http://localhost", audience="http://localhost")
    )


def test_a_token_is_a_jwt_that_anybody_can_verify_by_the_published_keys(client: FlaskClient) -> None:
    key = new_key("notify", "read")

    answer = client.post("/oauth/token", data=FORM, headers=of(key))

    said = dict(answer.json)
    token = said.pop("access_token")
    assert (answer.status_code, said) == (200, {"token_type": "Bearer", "expires_in": 600, "scope": "notify read"})
    assert (answer.headers["Cache-Control"], answer.mimetype) == ("no-store", "application/json")
    header, claims = jwt.get_unverified_header(token), verified(client, token)
    assert (header["typ"], header["alg"]) == ("at+jwt", "EdDSA")
    assert (claims["sub"], claims["client_id"], claims["scope"]) == (key[:16], key[:16], "notify read")
    assert claims["exp"] - claims["iat"] == 600
    assert claims["jti"] != verified(client, token_of(client, key))["jti"]


def test_who_asks_for_the_published_keys_makes_none(client: FlaskClient) -> None:
    """Nobody keeps for long that there are none: the first token may be issued a moment later."""
    before = client.get("/oauth/jwks.json")
    elsewhere()
    assert (client.get("/oauth/jwks.json").json, before.headers["Cache-Control"]) == ({"keys": []}, "no-store")

    token_of(client, new_key())

    after = client.get("/oauth/jwks.json")
    assert (len(after.json["keys"]), after.headers["Cache-Control"]) == (1, "public, max-age=300")


def test_the_metadata_is_that_of_the_rfc(client: FlaskClient) -> None:
    said = client.get("/.well-known/oauth-authorization-server").json
    https = {
        name: value.replace("http:", "https:") if isinstance(value, str) else value for name, value in said.items()
    }

    AuthorizationServerMetadata(https).validate()
    assert (said["issuer"], said["scopes_supported"]) == ("http://localhost", list(SCOPES))
    assert client.post(said["token_endpoint"], data=FORM, headers=of(new_key())).status_code == 200


WAYS: dict[str, Any] = {
    "HTTP Basic": lambda key: {"headers": of(key)},
    "HTTP Basic, encoded as the RFC has it": lambda key: {"headers": basic(key[:16], key.replace("_", "%5F"))},
    "the form": lambda key: {"data": FORM | {"client_id": key[:16], "client_secret": key}},
    "both names, one secret": lambda key: {"headers": of(key), "data": FORM | {"client_id": key[:16]}},
    "an unknown parameter": lambda key: {"headers": of(key), "data": FORM | {"resource": "x"}},
}


@ON_ONE_DATABASE
@pytest.mark.parametrize("way", WAYS)
def test_a_client_shows_its_key(client: FlaskClient, way: str) -> None:
    answer = client.post("/oauth/token", **({"data": FORM} | WAYS[way](new_key())))
    assert (answer.status_code, answer.json.get("token_type")) == (200, "Bearer")


# what is sent → the status, the error of RFC 6749
REFUSED: dict[str, tuple[Any, int, str]] = {
    "nobody": (lambda key: {}, 401, "invalid_client"),
    "another key": (lambda key: {"headers": basic(key[:16], key[:-1] + "~")}, 401, "invalid_client"),
    "another id": (lambda key: {"headers": basic("ntf_live_xxxxxxx", key)}, 401, "invalid_client"),
    "the key as a bearer": (lambda key: {"headers": bearer(key)}, 401, "invalid_client"),
    "no base64": (lambda key: {"headers": {"Authorization": "Basic ###"}}, 401, "invalid_client"),
    "no text": (lambda key: {"headers": {"Authorization": "Basic //79"}}, 401, "invalid_client"),
    "a NUL": (lambda key: {"headers": basic("\0", "\0")}, 401, "invalid_client"),
    "two ways at once": (
        lambda key: {"headers": of(key), "data": FORM | {"client_secret": key}},
        400,
        "invalid_request",
    ),
    "no grant": (lambda key: {"headers": of(key), "data": {"scope": "read"}}, 400, "invalid_request"),
    "another grant": (
        lambda key: {"headers": of(key), "data": {"grant_type": 'pass"word\n'}},
        400,
        "unsupported_grant_type",
    ),
    "a grant twice": (lambda key: {"headers": of(key), "data": {"grant_type": ["x", "y"]}}, 400, "invalid_request"),
    "JSON": (lambda key: {"headers": of(key), "data": None, "json": FORM}, 400, "invalid_request"),
    "a secret in the address": (
        lambda key: {"query_string": {"client_id": key[:16], "client_secret": key}},
        400,
        "invalid_request",
    ),
    "more than the key may": (
        lambda key: {"headers": of(key), "data": FORM | {"scope": "admin"}},
        400,
        "invalid_scope",
    ),
    "a scope there is not": (lambda key: {"headers": of(key), "data": FORM | {"scope": 'no"ne'}}, 400, "invalid_scope"),
}


@ON_ONE_DATABASE
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_that_of_the_rfc(client: FlaskClient, case: str) -> None:
    sent, status, error = REFUSED[case]

    answer = client.post("/oauth/token", **({"data": FORM} | sent(new_key("notify", "read"))))

    assert (answer.status_code, answer.json["error"]) == (status, error)
    assert set(answer.json) <= {"error", "error_description"}
    assert (answer.headers["Cache-Control"], answer.mimetype) == ("no-store", "application/json")
    assert answer.headers.get("WWW-Authenticate") == ('Basic realm="notifier"' if status == 401 else None)


def test_a_key_that_may_not_be_used_from_there_gets_no_token_there(client: FlaskClient) -> None:
    key = new_key(networks=parse(["203.0.113.0/24"]))

    answer = client.post("/oauth/token", data=FORM, headers=of(key))

    assert (answer.status_code, answer.json["error"]) == (400, "unauthorized_client")
    assert "127.0.0.1" in answer.json["error_description"]


def test_a_token_gets_no_further_token(client: FlaskClient) -> None:
    """Or it would live for ever."""
    key = new_key()
    token = token_of(client, key)

    answers = [client.post("/oauth/token", data=FORM, headers=basic(name, token)) for name in (key[:16], token[:16])]

    assert [answer.json["error"] for answer in answers] == ["invalid_client"] * 2


def test_a_narrower_token_may_do_less_than_its_key(client: FlaskClient, cast: Any) -> None:
    token = token_of(client, new_key(), scope="read  notify read")

    assert verified(client, token)["scope"] == "notify read"
    assert client.post("/api/v1/notifications", json=ORDER, headers=bearer(token)).status_code == 202
    refused = client.get("/api/v1/sandbox", headers=bearer(token))
    assert (refused.status_code, refused.json["code"]) == (403, "scope_missing")


LIMITS: dict[str, tuple[dict[str, Any], str, int, str]] = {
    "its event types": ({"types": ["order_placed"]}, "/api/v1/notifications", 403, "type_not_allowed"),
    "its networks": ({"networks": parse(["203.0.113.0/24"])}, "/api/v1/notifications", 403, "network_refused"),
    "its world": ({"is_test": True}, "/api/v1/types/X", 403, "test_key"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_token_has_the_limits_of_its_key(client: FlaskClient, cast: Any, limit: str) -> None:
    """Decided when it is used: what holds for the key holds for it."""
    options, path, status, code = LIMITS[limit]
    key = new_key(**options)
    there = {"REMOTE_ADDR": "203.0.113.9"}
    answer = client.post("/oauth/token", data=FORM, headers=of(key), environ_overrides=there)

    method, body = ("PUT", {"titles": {"en": "X"}}) if path.endswith("X") else ("POST", ORDER)
    used = client.open(path, method=method, json=body, headers=bearer(answer.json["access_token"]))

    assert (used.status_code, used.json["code"]) == (status, code)


def test_a_token_and_its_key_share_one_rate_limit(client: FlaskClient) -> None:
    key = new_key("read")
    token = token_of(client, key)

    def left(shown: str) -> int:
        answer = client.get("/api/v1/types", headers=bearer(shown))
        return int(answer.headers["RateLimit"].split("r=")[1].split(";")[0])

    first = left(key)
    assert (left(token), left(key)) == (first - 1, first - 2)


ENDS: dict[str, Any] = {
    "its key is revoked": lambda client, key, token: revoke_key(identity(key).key_id),
    "its producer is disabled": lambda client, key, token: disable_producer(identity(key).producer_id),
    "it is revoked": lambda client, key, token: client.post("/oauth/revoke", data={"token": token}, headers=of(key)),
    "all signing keys are replaced": lambda client, key, token: signing_keys.replace_now(),
}


def identity(key: str) -> keys.KeyIdentity:
    found = keys.find_key(key)
    assert found is not None
    return found


@pytest.mark.parametrize("end", ENDS)
def test_a_token_ends_with_its_cause(client: FlaskClient, end: str) -> None:
    key = new_key("read")
    token = token_of(client, key)
    assert client.get("/api/v1/types", headers=bearer(token)).status_code == 200

    ENDS[end](client, key, token)
    elsewhere()

    answer = client.get("/api/v1/types", headers=bearer(token))
    assert (answer.status_code, answer.json["code"]) == (401, "invalid_key")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_other_processes_know_of_it_within_five_seconds() -> None:
    assert keys.CACHED_S + signing_keys.CACHED_S < 5


@pytest.mark.parametrize("lifetime_s", [600, 90])
def test_a_token_ends_after_its_time_and_with_its_key_at_the_latest(client: FlaskClient, lifetime_s: int) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = new_key("read", expires_at=now() + timedelta(seconds=lifetime_s) if lifetime_s < 600 else None)
        answer = client.post("/oauth/token", data=FORM, headers=of(key)).json
        assert answer["expires_in"] == lifetime_s
        clock.shift(lifetime_s - 2)
        assert client.get("/api/v1/types", headers=bearer(answer["access_token"])).status_code == 200
        clock.shift(2)  # within the seconds for which it is cached
        assert client.get("/api/v1/types", headers=bearer(answer["access_token"])).status_code == 401


def test_only_its_own_client_revokes_a_token(client: FlaskClient) -> None:
    mine, others = new_key("read"), new_key("read")
    token = token_of(client, mine)

    def revoke(key: str, **form: str) -> Any:
        answer = client.post("/oauth/revoke", data=form, headers=of(key))
        return answer.status_code, answer.json.get("error")

    assert revoke(others, token=token) == (400, "invalid_grant")
    assert revoke(mine) == (400, "invalid_request")
    assert client.post("/oauth/revoke", data={"token": token}).status_code == 401
    assert revoke(mine, token="no token at all", token_type_hint="of no kind") == (200, None)
    assert client.get("/api/v1/types", headers=bearer(token)).status_code == 200
    assert [revoke(mine, token=token, token_type_hint="refresh_token") for _ in range(2)] == [(200, None)] * 2
    assert client.get("/api/v1/types", headers=bearer(token)).status_code == 401


def _forged(token: str, **header: Any) -> str:
    """A token with the same claims that somebody else has signed, or nobody."""
    claims = jwt.decode(token, options={"verify_signature": False})
    kept = jwt.get_unverified_header(token)
    signer = signing_keys.current()
    key: Any = {"none": None, "HS256": b"k" * 32}.get(header.get("alg", ""), signer.private)
    claims |= {name: header.pop(name) for name in list(header) if name in claims}
    return jwt.encode(claims, key, header.get("alg", "EdDSA"), headers=kept | header)


FORGED: dict[str, Any] = {
    "signed by nobody": lambda token: _forged(token, alg="none"),
    "signed with something else": lambda token: _forged(token, alg="HS256"),
    "with the name of no key": lambda token: _forged(token, kid="0" * 32),
    "with a name that is none": lambda token: _forged(token, kid="../../etc/passwd"),
    "of another kind": lambda token: _forged(token, typ="JWT"),
    "of another issuer": lambda token: _forged(token, iss="https://evil.example"),
    "for another server": lambda token: _forged(token, aud="https://other.example"),
    "for a key that is none": lambda token: _forged(token, key_id="key_" + "0" * 32),
    "with an end beyond all years": lambda token: _forged(token, exp=10**30),
    "with another signature": lambda token: token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:],
    "with more scopes": lambda token: ".".join(
        (token.split(".")[0], base64.urlsafe_b64encode(b'{"scope":"admin"}').decode().rstrip("="), token.split(".")[2])
    ),
}


@ON_ONE_DATABASE
@pytest.mark.parametrize("how", FORGED)
def test_a_forged_token_is_none(client: FlaskClient, how: str) -> None:
    token = token_of(client, new_key("read"))
    assert keys.find_key(_forged(token)) is not None  # the forger's tools work

    answer = client.get("/api/v1/types", headers=bearer(FORGED[how](token)))

    assert (answer.status_code, answer.json["code"]) == (401, "invalid_key")


def test_keys_that_sign_are_replaced_with_overlap(client: FlaskClient) -> None:
    """The successor is published a day before it signs, and who signed before is published until no token is left."""
    with time_machine.travel(now(), tick=False) as clock:
        key, kids = new_key("read"), []
        for _ in range(3):
            kids.append(
                (
                    jwt.get_unverified_header(token_of(client, key))["kid"],
                    {jwk["kid"] for jwk in client.get("/oauth/jwks.json").json["keys"]},
                )
            )
            clock.shift(signing_keys.SIGNS_FOR - timedelta(minutes=5) if len(kids) == 1 else timedelta(minutes=6))
            signing_keys.rotate()
            if len(kids) == 2:
                clock.shift(signing_keys.KEPT + timedelta(minutes=1))
                signing_keys.rotate()
    (first, before), (_, meanwhile), (second, after) = kids
    assert first != second
    assert (before, meanwhile, after) == ({first}, {first, second}, {second})


def test_a_token_of_the_key_before_is_still_good(client: FlaskClient) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = new_key("read")
        token_of(client, key)
        clock.shift(signing_keys.SIGNS_FOR - timedelta(minutes=5))
        old = token_of(client, key)
        clock.shift(timedelta(minutes=9))
        new = token_of(client, key)

        headers = [jwt.get_unverified_header(token)["kid"] for token in (old, new)]
        assert headers[0] != headers[1]
        assert [client.get("/api/v1/types", headers=bearer(token)).status_code for token in (old, new)] == [200, 200]


def test_a_new_signing_key_is_known_elsewhere_at_once(client: FlaskClient) -> None:
    """Another process may have asked for the keys a moment before there was any."""
    key = new_key("read")
    assert signing_keys._read().latest_first == []
    known = client.application.extensions["signing_keys"]
    token = token_of(client, key)
    client.application.extensions["signing_keys"] = known

    assert client.get("/api/v1/types", headers=bearer(token)).status_code == 200


def test_what_is_over_is_forgotten(client: FlaskClient) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        key = new_key("read")
        client.post("/oauth/revoke", data={"token": token_of(client, key)}, headers=of(key))
        assert access_tokens.prune() == 0
        clock.shift(access_tokens.LIFETIME_S + 2)
        assert access_tokens.prune() == 1


def test_a_call_with_a_token_costs_no_more_questions_than_one_with_a_key(
    client: FlaskClient, cast: Any, still_clock: None, statements: Statements
) -> None:
    key = new_key("notify")
    token = token_of(client, key)

    def asked(shown: str) -> int:
        with statements() as said:
            assert client.post("/api/v1/notifications", json=ORDER, headers=bearer(shown)).status_code == 202
        return len(said)

    asked(key), asked(token)  # what is known for a while is asked for
    assert asked(token) == asked(key)


@pytest.fixture
def all_that_is_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """By a process that debugs, whose libraries are as quiet as `logs.configure` makes them."""
    for name in logs.QUIET:
        caplog.set_level(logging.WARNING, logger=name)
    caplog.set_level(logging.DEBUG)
    return lambda: caplog.text + "".join(capfd.readouterr())


def test_no_secret_is_logged(client: FlaskClient, all_that_is_logged: Any) -> None:
    key = new_key("read")
    token = token_of(client, key)
    client.get("/api/v1/types", headers=bearer(token))
    client.post("/oauth/revoke", data={"token": token}, headers=of(key))
    client.get("/api/v1/types", headers=bearer(token))

    said = all_that_is_logged()
    assert "oauth.token_issued" in said
    assert [secret for secret in (key, token, token.split(".")[2]) if secret in said] == []
