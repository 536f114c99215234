"""Signing in with the operator's OpenID provider: the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

Called by the pages of sign-in and account. Says who somebody is at the provider; `access.openid_accounts` says who that
is here. Never call it in a transaction.
"""

import hmac
import math
import secrets
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import jwt
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import ExpiredTokenError, JoseError

from notifier.access.openid_provider import ODD, Endpoints, Refused, ask, endpoints, key, provider
from notifier.channels.wire.http import basic_auth, bearer
from notifier.core.errors import Misconfigured
from notifier.core.people import UNSTORABLE
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.languages import N_
from notifier.ground.openid import OpenIdProvider

# Signatures by a key pair; with HS256 the client secret would sign, and "none" signs nothing
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CLOCKS_APART_S = 60
_LONGEST_SUBJECT = 255
_SCOPES = "openid email profile"
# Whether the e-mail is the person's. Entra ID says nothing in the first one; the second, that the domain is theirs, is
# true or "1" (https://learn.microsoft.com/entra/identity-platform/optional-claims-reference).
_VOUCHING: Final = ("email_verified", "xms_edov")

_CLOCK: Final = N_("The clocks of %(name)s and of this site differ too much. Tell an admin.")
CANCELLED: Final = N_("%(name)s has not signed you in.")
NOT_AGAIN: Final = N_("%(name)s has not asked you again who you are. Confirm it another way.")
TOO_OFTEN: Final = N_("Too many attempts. Try again in a quarter of an hour.")
STALE: Final = N_("That took too long, or was begun in another window. Try again.")


@dataclass(frozen=True, slots=True)
class Flow:
    """What a sign-in that has begun has to be answered with; kept in the browser's signed session."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody at the provider. `authenticated_at`: when they last showed who they are there, in seconds since 1970."""

    issuer: str
    subject: str
    claims: dict[str, Any]
    id_token: str
    authenticated_at: int | None

    @property
    def email(self) -> str | None:
        """Only if the provider vouches for it."""
        email = self.claims.get("email")
        said = next((self.claims[name] for name in _VOUCHING if name in self.claims), None)
        is_vouched_for = said is True or said in ("true", "1")
        return email if isinstance(email, str) and is_vouched_for else None


def begin(*, again: bool = False) -> tuple[str, Flow]:
    """→ where the browser goes, and what it has to come back with. `again`: the person is to show who they are, however
    recently they have. Raises Refused.
    """
    flow = Flow(*(secrets.token_urlsafe(32) for _ in range(3)))
    params = [
        ("response_type", "code"),
        ("client_id", provider().client_id),
        ("redirect_uri", redirect_uri()),
        ("scope", _SCOPES),
        ("state", flow.state),
        ("nonce", flow.nonce),
        ("code_challenge", create_s256_code_challenge(flow.verifier)),
        ("code_challenge_method", "S256"),
    ]
    if again:
        params += [("prompt", "login"), ("max_age", "0")]
    return str(add_params_to_uri(endpoints().authorization, params)), flow


def redirect_uri() -> str:
    return current_settings().link("login", "provider", "callback")


def redeem(flow: Flow, answer: dict[str, str]) -> Identity:
    """Who has come back with that answer (the query of the callback). Raises Refused."""
    if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
        raise Refused(STALE, "state")
    known, ours = endpoints(), provider()
    issuer = answer.get("iss")
    if issuer != ours.issuer and (issuer is not None or known.tells_issuer):  # RFC 9207
        raise Refused(ODD, "answer_of_another_issuer")
    if "error" in answer or not answer.get("code"):
        raise Refused(CANCELLED, f"provider_said_{answer.get('error', 'nothing')[:40]}")
    tokens = _ask_for_tokens(known, ours, answer["code"], flow.verifier)
    id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
    if not isinstance(id_token, str) or not isinstance(access_token, str):
        raise Refused(ODD, "no_id_token")
    claims = _checked(id_token, access_token, flow.nonce, ours)
    has_email = "email" in claims and not claims.keys().isdisjoint(_VOUCHING)
    if not has_email or (ours.roles is not None and ours.roles.find(claims) is None):
        more = _userinfo(known, access_token, claims["sub"])
        # An e-mail is verified by who names it
        of_other = more if has_email else claims
        for name in ("email", *_VOUCHING):
            of_other.pop(name, None)
        claims = {**more, **claims}
    at = claims.get("auth_time")
    signed_in_at = int(at) if isinstance(at, int | float) and math.isfinite(at) else None
    return Identity(ours.issuer, claims["sub"], claims, id_token, signed_in_at)


def sign_out_url(id_token: str | None) -> str | None:
    """Where the browser signs out at the provider, too (OpenID Connect RP-Initiated Logout); None: it has no such
    thing, or cannot be asked now.
    """
    try:
        where = endpoints().end_session
    except Refused:
        return None
    if where is None:
        return None
    params = [("client_id", provider().client_id), ("post_logout_redirect_uri", current_settings().link("login"))]
    return str(add_params_to_uri(where, [*params, ("id_token_hint", id_token)] if id_token else params))


def _checked(id_token: str, access_token: str, nonce: str, ours: OpenIdProvider) -> dict[str, Any]:
    """The claims, if the token is the provider's, for us, of now and of this sign-in. Raises Refused."""
    try:
        header = jwt.get_unverified_header(id_token)
        if header.get("alg") not in ALGORITHMS:
            raise Refused(ODD, "id_token_algorithm")
        # Times, issuer and audience are checked below, by the database's clock
        options: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        claims = jwt.decode(id_token, key(header.get("kid")), [header["alg"]], options=options)
        token = CodeIDToken(
            claims,
            header,
            {"iss": {"essential": True, "value": ours.issuer}, "aud": {"essential": True, "value": ours.client_id}},
            {"nonce": nonce, "client_id": ours.client_id, "access_token": access_token},
        )
        token.validate(now=int(now().timestamp()), leeway=CLOCKS_APART_S)
    except ExpiredTokenError:
        raise Refused(_CLOCK, "id_token_expired") from None
    except JoseError as error:
        is_early = "future" in str(error) or "not yet valid" in str(error)
        raise Refused(_CLOCK if is_early else ODD, f"id_token_{error.error}") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise Refused(ODD, "id_token_signature") from None
    if not 0 < len(claims["sub"]) <= _LONGEST_SUBJECT or UNSTORABLE.search(claims["sub"]):
        raise Refused(ODD, "id_token_subject")
    return dict(claims)


def _ask_for_tokens(known: Endpoints, ours: OpenIdProvider, code: str, verifier: str) -> dict[str, Any]:
    """Raises Refused."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri(),
        "code_verifier": verifier,
    }
    headers: dict[str, str] = {}
    if ours.client_secret is None:
        fields["client_id"] = ours.client_id
    elif "client_secret_basic" in known.auth_methods:
        headers = basic_auth(quote(ours.client_id, safe=""), quote(ours.client_secret, safe=""))  # RFC 6749, 2.3.1
    else:
        fields |= {"client_id": ours.client_id, "client_secret": ours.client_secret}
    return ask("POST", known.token, fields, headers).json()


def _userinfo(known: Endpoints, access_token: str, subject: str) -> dict[str, Any]:
    """What the provider says there; nothing where it has no such endpoint. Raises Refused."""
    if known.userinfo is None:
        return {}
    try:
        headers = bearer(access_token)
    except Misconfigured:
        raise Refused(ODD, "access_token") from None
    found = ask("GET", known.userinfo, headers=headers).json()
    if found.get("sub") != subject:
        raise Refused(ODD, "userinfo_of_another")
    return found
