"""The operator's OpenID provider: what it publishes about itself (OpenID Connect Discovery 1.0), and asking it.

Called by `access.openid` and `doctor`. Everything is asked through our guarded client; discovery and keys are kept for
an hour in each process. Never call it in a transaction.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from authlib.oidc.discovery import get_well_known_url
from flask import current_app

from notifier.channels import serving
from notifier.channels.wire.answers import Response
from notifier.channels.wire.expiring import Expiring
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, Misconfigured, Permanent
from notifier.ground.config import current_settings
from notifier.ground.languages import N_
from notifier.ground.openid import OpenIdProvider

_KEPT_S = 3600.0
_AWAY: Final = N_("%(name)s cannot be reached at the moment. Try again in a minute.")
ODD: Final = N_("%(name)s has answered something that cannot be trusted. An admin finds the reason in the log.")


class Refused(Exception):
    """Nobody is signed in. `words`: a sentence for the person, with %(name)s and %(claim)s; `why` and `detail`: for the
    log.
    """

    def __init__(self, words: str, why: str, claim: str = "", detail: str = "") -> None:
        super().__init__(why)
        self.words = words
        self.why = why
        self.claim = claim
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What the provider publishes about itself."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    end_session: str | None
    auth_methods: tuple[str, ...]
    challenge_methods: tuple[str, ...] | None
    algorithms: tuple[str, ...]
    tells_issuer: bool
    date: str | None  # its clock when it said so, as HTTP has it


def provider() -> OpenIdProvider:
    """The settings'. Raises LookupError where there is none."""
    found = current_settings().oidc_issuer
    if found is None:
        raise LookupError("no OpenID provider is configured")
    return found


def endpoints() -> Endpoints:
    """Raises Refused."""
    return _kept().endpoints.get()


class _Kept:
    """What this process remembers of the provider."""

    def __init__(self) -> None:
        self.endpoints = Expiring(lambda: (discover(), _KEPT_S))
        self.keys = Keys(lambda: endpoints().keys)


def _kept() -> _Kept:
    kept: _Kept = current_app.extensions.setdefault("openid", _Kept())
    return kept


def discover(http: Http | None = None) -> Endpoints:
    """Asks the provider what it publishes about itself. Raises Refused."""
    ours = provider()
    answer = ask("GET", get_well_known_url(ours.issuer, external=True), http=http)
    found = answer.json()
    if found.get("issuer") != ours.issuer:
        raise Refused(ODD, "discovery_of_another_issuer")
    authorization, token, keys, userinfo, end_session = (
        _address(found.get(name))
        for name in (
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "userinfo_endpoint",
            "end_session_endpoint",
        )
    )
    if authorization is None or token is None or keys is None:
        raise Refused(ODD, "discovery_without_endpoints")
    challenges = found.get("code_challenge_methods_supported")
    return Endpoints(
        authorization,
        token,
        keys,
        userinfo,
        end_session,
        auth_methods=_names(found.get("token_endpoint_auth_methods_supported")) or ("client_secret_basic",),
        challenge_methods=None if challenges is None else _names(challenges),
        algorithms=_names(found.get("id_token_signing_alg_values_supported")),
        tells_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        date=answer.headers.get("Date"),
    )


def read_keys(address: str, http: Http | None = None) -> dict[str | None, Any]:
    """The public keys there (RFC 7517) by their names; None: the only one, which needs no name. Raises Refused."""
    listed = ask("GET", address, http=http).json().get("keys")
    keys: dict[str | None, Any] = {}
    usable = [key for key in listed if isinstance(key, dict)] if isinstance(listed, list) else []
    for key in usable:
        if key.get("use", "sig") != "sig" or key.get("kty") == "oct":
            continue
        try:
            keys[key.get("kid")] = jwt.PyJWK(key).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # of a kind that nobody here knows
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    if not keys:
        raise Refused(ODD, "no_keys")
    return keys


class Keys:
    """The public keys at an address, which `where` finds out; kept for an hour. Where anybody may name a key, those
    that are invented have them asked for only every `pause_s`.
    """

    def __init__(self, where: Callable[[], str], pause_s: float = 0.0) -> None:
        self._where, self._pause_s = where, pause_s
        self._kept = Expiring(self._read)
        self._read_at = 0.0

    def _read(self) -> tuple[dict[str | None, Any], float]:
        self._read_at = time.monotonic()
        return read_keys(self._where()), _KEPT_S

    def find(self, kid: str | None) -> Any:
        """Raises Refused."""
        keys = self._kept.get()
        if kid not in keys and time.monotonic() >= self._read_at + self._pause_s:  # it may be new
            self._kept.forget(keys)
            keys = self._kept.get()
        if kid not in keys:
            raise Refused(ODD, "id_token_key")
        return keys[kid]


def key(kid: str | None) -> Any:
    """Raises Refused."""
    return _kept().keys.find(kid)


def ask(
    method: str,
    url: str,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    http: Http | None = None,
) -> Response:
    """A successful answer; `fields`: of a form that is sent. Raises Refused."""
    http = http or serving.registry().http
    accept = {"Accept": "application/json", **(headers or {})}
    try:
        if fields is None:
            return http.request(method, url, headers=accept)
        return http.post_form(url, fields, accept)
    except (Permanent, Misconfigured) as error:
        raise Refused(ODD, "refused_by_provider", detail=_detail(url, error)) from None
    except DeliveryError as error:
        raise Refused(_AWAY, "away", detail=_detail(url, error)) from None


def _detail(url: str, error: DeliveryError) -> str:
    return f"{urlsplit(url).hostname}: {error}"[:300]


def _address(url: object) -> str | None:
    return url if isinstance(url, str) and urlsplit(url).scheme in ("https", "http") else None


def _names(listed: object) -> tuple[str, ...]:
    return tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else ()
