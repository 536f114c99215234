"""Everybody who may come to a door: one of each kind, for the tables of who may what.

`identities()` makes them in the app's database. `headers` signs a person in anew, since some calls end the session.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from flask import current_app
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from notifier.access import access_tokens, accounts, keys, sessions
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.ids import new_hex
from notifier.models.account import ROLES
from notifier.models.producer import SCOPES
from tests.conftest import subject_of

NOBODY = "nobody"  # whatever is shown is worth nothing
_CSRF = "raw"


@dataclass(frozen=True)
class Identity:
    """`kind`: key, token (a user's), session, or nobody. `headers()` shows it."""

    kind: str
    headers: Callable[[], dict[str, str]]
    scopes: frozenset[str] = frozenset()
    role: str | None = None
    is_test: bool = False

    @property
    def token(self) -> str | None:
        """The bearer token, as it is sent to the socket."""
        return self.headers().get("Authorization", "").removeprefix("Bearer ") or None


def identities() -> dict[str, Identity]:
    producer, other = keys.create_producer("Shop"), keys.create_producer("Another shop")

    def key(scopes: tuple[str, ...] = SCOPES, producer_id: object = producer.id, **options: object) -> str:
        return keys.create_key(producer_id, scopes=scopes, **options)[1]  # type: ignore[arg-type]

    every = key()
    found = keys.find_key(every)
    assert found is not None
    revoked = keys.create_key(producer.id, scopes=SCOPES)
    keys.revoke_key(revoked[0].id)

    def access_token(lifetime_s: int = 600, scopes: tuple[str, ...] = SCOPES) -> str:
        return access_tokens.sign(found.key_id, found.prefix, scopes, lifetime_s)

    ended = access_token()
    read = access_tokens.read(ended)
    assert read is not None
    access_tokens.revoke(read)

    def users(lifetime_s: int = 600) -> str:
        return tokens.sign_user_token(subject_of("alice"), lifetime_s)[0]

    everything = frozenset(SCOPES)
    return {
        "anonymous": Identity(NOBODY, dict),
        "a live key": _key(every, everything),
        "another producer's key": _key(key(producer_id=other.id), everything),
        "a test key": _key(key(is_test=True), everything, is_test=True),
        **{f"a key for {scope}": _key(key((scope,)), frozenset({scope})) for scope in SCOPES},
        "a revoked key": Identity(NOBODY, _bearer(revoked[1])),
        "an expired key": Identity(NOBODY, _bearer(key(expires_at=now() - timedelta(seconds=1)))),
        "an access token": _key(access_token(), everything),
        "an access token for read": _key(access_token(scopes=("read",)), frozenset({"read"})),
        "a revoked access token": Identity(NOBODY, _bearer(ended)),
        "an expired access token": Identity(NOBODY, _bearer(access_token(-1))),
        "a user's token": Identity("token", _bearer(users())),
        "an expired user's token": Identity(NOBODY, _bearer(users(-1))),
        **{f"a signed-in {role}": Identity("session", lambda role=role: session(role), role=role) for role in ROLES},
        "an ended session": Identity(NOBODY, lambda: session("admin", is_ended=True)),
    }


def session(role: str, user_id: str | None = None, *, is_ended: bool = False) -> dict[str, str]:
    """The headers of a browser in which a new account of that role has just signed in."""
    user_id = user_id or f"u{new_hex()}"
    account = accounts.create_account(f"{user_id}@example.test", None, role, user_id)
    key = sessions.begin(account, sessions.PASSWORD)
    if is_ended:
        sessions.end(key)
    return _browser({"_user_id": str(account.id), "_fresh": True, sessions.KEY: key})


def form() -> tuple[dict[str, str], str]:
    """The headers of a browser in which nobody has signed in, and a CSRF token for the forms in any of these."""
    token = URLSafeTimedSerializer(current_app.secret_key or "", salt="wtf-csrf-token").dumps(_CSRF)
    return _browser({}), str(token)


def _browser(kept: dict[str, object]) -> dict[str, str]:
    signer = SecureCookieSessionInterface().get_signing_serializer(current_app)
    assert signer is not None
    return {"Cookie": f"{current_app.config['SESSION_COOKIE_NAME']}={signer.dumps({**kept, 'csrf_token': _CSRF})}"}


def _key(text: str, scopes: frozenset[str], *, is_test: bool = False) -> Identity:
    return Identity("key", _bearer(text), scopes=scopes, is_test=is_test)


def _bearer(text: str) -> Callable[[], dict[str, str]]:
    return lambda: {"Authorization": f"Bearer {text}"}
