"""OAuth 2: access tokens for clients that do not want to send their key with every call (RFC 6749, client credentials).

Authlib answers as the RFCs have it; here is who a client is, and what a token may do. A client is a key: `client_id` is
its prefix, `client_secret` the key itself. What a token may do later is decided where it is decided for keys
(`access.keys`).
"""

from typing import Any, cast
from urllib.parse import unquote

import structlog
from apiflask import APIFlask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.errors import (
    InvalidClientError,
    InvalidRequestError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from flask import Response, current_app, g, request

from notifier.access import access_tokens, keys, signing_keys
from notifier.api import limits
from notifier.api.answers import answer
from notifier.api.auth import Door, client, public, use
from notifier.api.openapi import takes
from notifier.api.schemas.oauth import AccessTokenOut, JwksOut, MetadataOut, OAuthErrorOut, RevocationForm, TokenForm
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.models.producer import SCOPES

_FORM = "application/x-www-form-urlencoded"
_METHODS = ["client_secret_basic", "client_secret_post"]
_JWKS_CACHED_S = 300  # much less than a key is published before it signs
_ERRORS: Any = {
    400: {
        "description": "Refused, as RFC 6749 has it",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{OAuthErrorOut.__name__}"}}},
    },
    401: {
        "description": "Not a client",
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{OAuthErrorOut.__name__}"}}},
    },
}

log = structlog.get_logger()

bp = Door("api_oauth", __name__, tag="OAuth 2")


def init_app(app: APIFlask) -> None:
    server = _Server()
    server.init_app(app)
    server.scopes_supported = SCOPES
    server.register_token_generator("default", _Tokens())
    server.register_grant(_Grant)
    server.register_endpoint(_Revocation)
    app.extensions["oauth"] = server


@bp.post("/oauth/token")
@client
@takes(_FORM, {"grant_type": ClientCredentialsGrant.GRANT_TYPE, "scope": "notify"}, TokenForm)
@bp.output(AccessTokenOut)
@bp.doc(responses=_ERRORS)
def issue_token() -> Response:
    """Issue an access token

    For a key, sent by HTTP Basic (`client_id:client_secret`) or as the form fields `client_id` and `client_secret`. The
    token lives 10 minutes, has the key's rights or fewer (`scope`, separated by spaces), and ends with the key.
    """
    try:
        _check_form()
        grant_type = request.form.get("grant_type")
        if not grant_type:
            raise InvalidRequestError("grant_type is missing")
        if grant_type != ClientCredentialsGrant.GRANT_TYPE:
            raise UnsupportedGrantTypeError(None)
    except OAuth2Error as error:
        return _refusal(error)
    return cast("Response", _server().create_token_response())


@bp.post("/oauth/revoke")
@client
@takes(_FORM, {"token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.…"}, RevocationForm)
@bp.output({})
@bp.doc(responses=_ERRORS)
def revoke_token() -> Response:
    """Revoke an access token

    By the client it was issued to (RFC 7009); it ends within 5 seconds everywhere. What is no token, or no longer one,
    is answered with 200 too.
    """
    try:
        _check_form()
    except OAuth2Error as error:
        return _refusal(error)
    return cast("Response", _server().create_endpoint_response(_Revocation.ENDPOINT_NAME))


@bp.get("/oauth/jwks.json")
@public
@bp.output(JwksOut)
def jwks() -> Response:
    """The public keys by which access tokens can be verified"""
    published = signing_keys.published()
    response = answer({"keys": published})
    # The first token may be issued a moment after somebody has asked
    response.headers["Cache-Control"] = f"public, max-age={_JWKS_CACHED_S}" if published else "no-store"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@bp.get("/.well-known/oauth-authorization-server")
@public
@bp.output(MetadataOut)
def metadata() -> Response:
    """Where to get a token, and how (RFC 8414)"""
    settings = current_settings()
    response = answer(
        {
            "issuer": settings.public_url,
            "token_endpoint": settings.link("oauth", "token"),
            "revocation_endpoint": settings.link("oauth", "revoke"),
            "jwks_uri": settings.link("oauth", "jwks.json"),
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["none"],  # the list must not be empty, and nothing is asked of a person
            "grant_types_supported": [ClientCredentialsGrant.GRANT_TYPE],
            "token_endpoint_auth_methods_supported": _METHODS,
            "revocation_endpoint_auth_methods_supported": _METHODS,
            "service_documentation": settings.link("api", "docs"),
        }
    )
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


class _Client(ClientMixin):
    def __init__(self, key: keys.KeyIdentity) -> None:
        self.key = key

    def get_client_id(self) -> str:
        return self.key.prefix

    def check_grant_type(self, grant_type: str) -> bool:
        return True  # there is one only

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """None: more was asked for than the key may do. A token that can do less than was asked would fail later."""
        wanted = frozenset((scope or "").split()) or self.key.scopes
        return access_tokens.as_text(wanted) if wanted <= self.key.scopes else None


class _Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _METHODS


class _Tokens(BearerTokenGenerator):
    def __init__(self) -> None:
        super().__init__(self._sign, expires_generator=self._lifetime_s)

    def _sign(self, client: _Client, grant_type: str, user: None, scope: str) -> str:
        lifetime_s = self._lifetime_s(client, grant_type)
        return access_tokens.sign(client.key.key_id, client.key.prefix, scope.split(), lifetime_s)

    def _lifetime_s(self, client: _Client, _grant_type: str) -> int:
        """Not beyond the key's own end."""
        if client.key.expires_at is None:
            return access_tokens.LIFETIME_S
        return max(1, min(access_tokens.LIFETIME_S, int((client.key.expires_at - now()).total_seconds())))


class _IssuedToken:
    """An access token in Authlib's form."""

    def __init__(self, token: access_tokens.AccessToken) -> None:
        self.token = token

    def check_client(self, client: _Client) -> bool:
        return self.token.key_id == client.key.key_id


class _Revocation(RevocationEndpoint):
    def check_params(self, request: Any, client: _Client) -> None:
        """A hint that says nothing to us is passed over (RFC 7009, section 2.1)."""
        if not request.form.get("token"):
            raise InvalidRequestError("token is missing")

    def query_token(self, token_string: str, token_type_hint: str | None) -> _IssuedToken | None:
        token = access_tokens.read(token_string)
        return None if token is None else _IssuedToken(token)

    def revoke_token(self, token: _IssuedToken, request: Any) -> None:
        access_tokens.revoke(token.token)
        keys.forget_cached_keys()
        log.info("oauth.token_revoked", key=token.token.key_id.hex, jti=token.token.jti.hex)


class _Server(AuthorizationServer):
    def authenticate_client(self, request: Any, methods: list[str], endpoint: str = "token") -> _Client:
        return _authenticated()

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Nothing is stored: a token says everything itself."""
        log.info("oauth.token_issued", key=request.client.key.key_id.hex, scope=token["scope"])


def _server() -> _Server:
    server: _Server = current_app.extensions["oauth"]
    return server


def _refusal(error: OAuth2Error) -> Response:
    return cast("Response", _server().handle_response(*error()))


def _check_form() -> None:
    """Secrets must not be in addresses, which are logged everywhere; and nobody sends a parameter twice (RFC 6749,
    sections 2.3.1 and 3.2).
    """
    if request.args:
        raise InvalidRequestError("send the parameters in the body and none in the address")
    if request.mimetype != _FORM:
        raise InvalidRequestError(f"send the parameters as {_FORM}")
    if any(len(values) > 1 for _, values in request.form.lists()):
        raise InvalidRequestError("a parameter is there twice")


def _authenticated() -> _Client:
    """The client that shows its key. Raises InvalidClientError; Rejected after too many invalid ones."""
    client_id, secret = _credentials()
    key = keys.find_key(secret)
    # A token must not be good for further tokens: it would live for ever.
    if key is None or key.token is not None or key.prefix != client_id:
        limits.charge_guess()
        raise InvalidClientError(status_code=401, description="the key is unknown, expired or revoked")
    try:
        use(key)
    except Rejected as error:
        raise UnauthorizedClientError(error.detail) from None
    g.key = key
    limits.charge(1)
    return _Client(key)


def _credentials() -> tuple[str, str]:
    """The client's id and secret, by one of the two ways."""
    form = request.form.get("client_id", ""), request.form.get("client_secret", "")
    header = request.authorization
    if "Authorization" not in request.headers:
        if not all(form):
            raise InvalidClientError(status_code=401, description="send client_id and client_secret")
        return form
    if form[1]:
        raise InvalidRequestError("show the key in one way only")
    if header is None or header.type != "basic" or header.username is None or header.password is None:
        raise InvalidClientError(status_code=401, description="send client_id and client_secret by HTTP Basic")
    client_id, secret = unquote(header.username), unquote(header.password)  # a `+` is one: no key has a space
    if form[0] not in ("", client_id):
        raise InvalidRequestError("client_id says something else than the header")
    return client_id, secret


@bp.after_request
def _challenge(response: Response) -> Response:
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="notifier"'
    if request.method == "POST":
        response.headers["Cache-Control"] = "no-store"
    return response
