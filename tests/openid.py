"""An OpenID provider on this machine, as strict as real ones, that tells what it is told to: also what is not true."""

import base64
import functools
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest
from apiflask import APIFlask
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from notifier.core.roles import RoleRule
from notifier.ground.openid import OpenIdProvider

CLIENT, SECRET = "notifier", "s:e c/r%t of thirty-two bytes or more"


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """`claims` are about whoever signs in next. The rest makes it another provider than it should be."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    discovery: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Any = field(default_factory=_key)
    published: list[Any] = field(default_factory=list)
    algorithm: str = "RS256"
    date: str | None = None
    is_away: bool = False
    asked: list[str] = field(default_factory=list)
    begun: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, url: str) -> dict[str, str]:
        """What the browser comes back with: as if somebody had signed in there."""
        asked = {name: texts[0] for name, texts in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/authorize?")
        assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (CLIENT, "code", "S256")
        assert "openid" in asked["scope"].split()
        code = f"code {len(self.begun)}"
        self.begun[code] = asked
        return {"code": code, "state": asked["state"]}

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if self.is_away:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            return 200, self._discovery()
        if path == "/jwks":
            keys = self.published or [self.key]
            named = [RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for key in keys]
            return 200, {"keys": [{**one, "kid": str(number), "use": "sig"} for number, one in enumerate(named)]}
        if path == "/token" and method == "POST":
            return self._token(headers, {name: texts[0] for name, texts in parse_qs(body.decode()).items()})
        if path == "/userinfo" and headers["Authorization"] == "Bearer access":
            return 200, self.userinfo or {"sub": self.claims.get("sub", "ann")}
        return 404, {}

    def _discovery(self) -> dict[str, Any]:
        places = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("token", "userinfo", "end_session")}
        places |= {"authorization_endpoint": f"{self.issuer}/authorize", "jwks_uri": f"{self.issuer}/jwks"}
        return {"issuer": self.issuer, "code_challenge_methods_supported": ["S256"], **places, **self.discovery}

    def _token(self, headers: Any, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        given = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode().split(":")
        asked = self.begun.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if [unquote(part) for part in given] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        if asked is None or challenge != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        at = int(time.time())
        told = {"iss": self.issuer, "aud": CLIENT, "iat": at, "exp": at + 300, "auth_time": at}
        told |= {"nonce": asked["nonce"], "sub": "ann", **self.claims}
        told = {name: value for name, value in told.items() if value is not None}
        signed = jwt.encode(told, self.key, self.algorithm, headers={"kid": "0", **self.header})
        return 200, {"access_token": "access", "token_type": "Bearer", "id_token": signed}


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, told = provider.answer(self.command, urlsplit(self.path).path, self.headers, body)
            answer = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def date_time_string(self, timestamp: float | None = None) -> str:
            return provider.date or super().date_time_string(timestamp)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield provider
    server.shutdown()
    thread.join()
    server.server_close()


def use(app: APIFlask, monkeypatch: pytest.MonkeyPatch, issuer: str, roles: str = "", **other: Any) -> None:
    """From here on people may sign in with it."""
    rule = RoleRule.parse(roles) if roles else None
    ours = OpenIdProvider(issuer, CLIENT, SECRET, "Acme", rule)
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], oidc_issuer=ours, **other))


@pytest.fixture
def acme_id(app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider that people may sign in with; it decides no roles."""
    with serving(Provider()) as provider:
        use(app, monkeypatch, provider.issuer)
        yield provider
