"""Access tokens of Google's APIs: a service account signs an assertion and gets a token for it (RFC 7523).

Follows https://developers.google.com/identity/protocols/oauth2/service-account#httprest. Used by the adapters of
Google's providers, each of which holds its token in an `Expiring`.
"""

import json
from dataclasses import dataclass, field

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from notifier.channels.wire.answers import STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, Misconfigured, Permanent, Retryable
from notifier.ground.clock import now

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_S = 3600  # as long as Google allows
_LONGEST_LIFETIME_S = 86_400
# The key was deleted or is another account's, or our clock is wrong: nothing that the message could be blamed for.
_STATUSES: dict[int, Family] = {**STATUSES, 400: Misconfigured}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What sending needs of the JSON file that Google's console hands out for a service account."""

    project: str
    email: str
    token_url: str
    key: RSAPrivateKey = field(repr=False)
    key_id: str | None = None


def read_service_account(text: str) -> ServiceAccount:
    """Raises ValueError, which quotes nothing of the text."""
    try:
        given = json.loads(text)
        key = load_pem_private_key(given["private_key"].encode(), None)
        project, email, token_url = (given[name] for name in ("project_id", "client_email", "token_uri"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnsupportedAlgorithm):
        raise ValueError("it is not the JSON of a service account with its private key") from None
    if not isinstance(key, RSAPrivateKey) or not all(isinstance(text, str) for text in (project, email, token_url)):
        raise ValueError("it is not the JSON of a service account with its RSA key")
    return ServiceAccount(
        project, email, token_url, key, key_id if isinstance(key_id := given.get("private_key_id"), str) else None
    )


def access_token(http: Http, account: ServiceAccount, scope: str) -> tuple[str, float]:
    """→ the token, and for how many seconds it holds. Raises a DeliveryError: no message has gone out, so none of them
    is ambiguous.
    """
    at = int(now().timestamp())
    claims = {
        "iss": account.email,
        "scope": scope,
        "aud": account.token_url,
        "iat": at,
        "exp": at + _ASSERTION_S,
    }
    headers = {"kid": account.key_id} if account.key_id else None
    assertion = jwt.encode(claims, account.key, algorithm="RS256", headers=headers)
    try:
        answer = http.post_form(
            account.token_url, {"grant_type": _GRANT, "assertion": assertion}, {}, explain=_explain
        ).json()
    except Retryable as error:
        raise Retryable("Google gave no access token", code=error.code) from None
    except Permanent as error:
        raise Misconfigured(f"no access token can be fetched: {error}", code=error.code) from None
    return answer["access_token"], float(answer["expires_in"])


def _explain(response: Response) -> DeliveryError | None:
    if not response.is_success:
        code = response.json().get("error")
        return explain_code(code if isinstance(code, str) else None, response, {}, _STATUSES)
    found = response.json()
    lifetime_s = found.get("expires_in")
    is_token = (
        isinstance(found.get("access_token"), str)
        and isinstance(lifetime_s, int | float)
        and 0 < lifetime_s < _LONGEST_LIFETIME_S
    )
    return None if is_token else not_understood(response)
