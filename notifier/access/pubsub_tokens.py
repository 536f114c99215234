"""The tokens that Google Pub/Sub shows when it pushes: OpenID tokens of a service account, signed by Google.

https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions
"""

from typing import Any, Final

import jwt
from flask import current_app

from notifier.access.openid_provider import Keys, Refused
from notifier.ground.clock import now
from notifier.ground.config import current_settings

ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
ALGORITHMS: Final = ("RS256",)  # with HS256 a public key would do to sign
CLOCKS_APART_S = 60
ASKED_AGAIN_S = 5.0


class Forged(Exception):
    """It cannot be shown that the call comes from our subscription. `why`: for the log."""


class KeysAway(Exception):
    """Google's keys cannot be asked for at the moment."""


def check(token: str, audience: str) -> None:
    """Whether it is Google's, for this address, in the name of PUBSUB_ACCOUNT, and of now. Raises Forged, KeysAway."""
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise Forged("algorithm")
        # Times are checked below, by the database's clock
        claims = jwt.decode(
            token,
            _key(header.get("kid")),
            ALGORITHMS,
            audience=audience,
            options={"require": ["exp", "iat", "aud", "iss"], "verify_exp": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Forged(type(error).__name__) from None
    at = now().timestamp()
    times = [claims["exp"], claims["iat"]]
    if not all(isinstance(one, int | float) for one in times) or isinstance(times[0], bool):
        raise Forged("times")
    if at > times[0] + CLOCKS_APART_S or at < times[1] - CLOCKS_APART_S:
        raise Forged("expired")
    if claims["iss"] not in ISSUERS:
        raise Forged("issuer")
    if claims.get("email") != current_settings().pubsub_account or claims.get("email_verified") is not True:
        raise Forged("account")


def _key(kid: str | None) -> Any:
    keys: Keys = current_app.extensions.setdefault(
        "pubsub_keys", Keys(lambda: current_settings().pubsub_keys_url, ASKED_AGAIN_S)
    )
    try:
        return keys.find(kid)
    except Refused as refused:
        if refused.why == "id_token_key":
            raise Forged("key") from None
        raise KeysAway(refused.detail or refused.why) from None
