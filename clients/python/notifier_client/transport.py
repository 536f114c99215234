"""One call of the API: with a key or an access token, tried again while that makes sense and time is left."""

import json
import logging
import random
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    LocationValueError,
    NewConnectionError,
    SSLError,
)

from notifier_client.errors import NotifierError, Problem, Unauthenticated, Unreachable
from notifier_client.version import VERSION

_REPEATABLE = ("GET", "PUT", "DELETE")
_NOT_CARRIED_OUT = (429, 503)  # what the server answers with before it has done anything
_FROM_A_PROXY = (502, 504)
_LONGEST_PAUSE_S = 5.0
_CONNECTIONS = 10  # kept; more threads open their own
_RENEWED_BEFORE_S = 30.0

_AGENT = f"notifier-client/{VERSION} python"

log = logging.getLogger("notifier_client")


@dataclass
class _AccessToken:
    """OAuth 2, client credentials. The secret and the token are in no repr."""

    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    text: str = field(default="", repr=False)
    renew_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def header(self) -> str:
        """For the token call: RFC 6749, section 2.3.1."""
        pair = f"{quote(self.client_id, safe='')}:{quote(self.client_secret, safe='')}"
        return str(urllib3.make_headers(basic_auth=pair)["authorization"])


class Transport:
    """`patience_s` is how long a call may take with all its tries, `timeout_s` one try."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        client_id: str | None,
        client_secret: str | None,
        scope: str | None,
        timeout_s: float,
        patience_s: float,
        pool: urllib3.PoolManager | None,
    ) -> None:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0  # reading it judges it
        if not is_whole or parts.username is not None or parts.query:
            raise ValueError("the URL of Notifier is needed, such as https://notifier.example")
        if bool(key) == bool(client_id and client_secret):
            raise ValueError("give either key, or client_id and client_secret")
        self.base = url.rstrip("/")
        self.timeout_s, self.patience_s = timeout_s, patience_s
        self._pool = pool or urllib3.PoolManager(maxsize=_CONNECTIONS)
        self._key = key
        self._token = _AccessToken(client_id, client_secret, scope) if client_id and client_secret else None

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        once: str | None = None,
        repeatable: bool = False,
        longest_wait_s: float = 0.0,
    ) -> urllib3.BaseHTTPResponse:
        """The answer, a success. `once`: the idempotency key; `longest_wait_s`: how long the server may take longer,
        since it was asked to wait. Raises Problem or Unreachable.
        """
        sent = {"User-Agent": _AGENT, "Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if once is not None:
            sent["Idempotency-Key"] = once
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.base}{path}" + (f"?{urlencode(given)}" if given else "")
        try:
            return self._until_it_succeeds(
                method,
                url,
                body,
                sent,
                timeout_s=self.timeout_s + longest_wait_s,
                is_repeatable=repeatable or once is not None or method in _REPEATABLE,
            )
        except NotifierError as error:
            error.idempotency_key = once
            raise

    def _until_it_succeeds(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: dict[str, str],
        *,
        timeout_s: float,
        is_repeatable: bool = True,
        authorize: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        give_up_at, tries, renewed = time.monotonic() + self.patience_s, 0, False
        while True:
            tries += 1
            told_s = 0.0
            if authorize:
                headers["Authorization"] = f"Bearer {self._key or self._current_token()}"
            try:
                answer = self._pool.request(
                    method, url, body=body, headers=headers, timeout=timeout_s, retries=False, redirect=False
                )
            except HTTPError as error:
                failure: NotifierError = Unreachable(f"no answer from {self.base}: {type(error).__name__}")
                is_connected = not isinstance(error, (NewConnectionError, ConnectTimeoutError))
                failure.__cause__ = error
                if _is_in_vain(error) or (is_connected and not is_repeatable):
                    raise failure from error
            else:
                if 200 <= answer.status < 300:
                    kind = answer.headers.get("Content-Type", "")
                    if answer.data and "json" not in kind:
                        raise Unreachable(f"{self.base} answered with {kind or 'no type'}: it is not Notifier")
                    return answer
                told_s = _retry_after_s(answer)
                problem = Problem.read(
                    answer.status, answer.data, retry_after=told_s or None, location=answer.headers.get("Location")
                )
                if isinstance(problem, Unauthenticated) and authorize and self._token and not renewed:
                    renewed = True
                    self._forget(headers["Authorization"])
                    continue
                if not _is_worth_another_try(problem, is_repeatable=is_repeatable):
                    raise problem
                failure = problem
            # Every client waits a little differently, so that they do not all come back at once
            pause_s = told_s + random.uniform(0, min(_LONGEST_PAUSE_S, 0.1 * 2**tries))
            if time.monotonic() + pause_s >= give_up_at:
                raise failure
            log.info("%s; try %d in %.1f s", failure, tries + 1, pause_s)
            time.sleep(pause_s)

    def _current_token(self) -> str:
        token = self._token
        assert token is not None
        with token.lock:
            if not token.text or time.monotonic() >= token.renew_at:
                form = {"grant_type": "client_credentials", **({"scope": token.scope} if token.scope else {})}
                headers = {
                    "User-Agent": _AGENT,
                    "Authorization": token.header(),
                    "Content-Type": "application/x-www-form-urlencoded",
                }
                asked_at = time.monotonic()
                answer = self._until_it_succeeds(
                    "POST",
                    f"{self.base}/oauth/token",
                    urlencode(form).encode(),
                    headers,
                    authorize=False,
                    timeout_s=self.timeout_s,
                )
                issued = answer.json()
                lifetime_s = float(issued["expires_in"])
                token.text = str(issued["access_token"])
                token.renew_at = asked_at + max(lifetime_s / 2, lifetime_s - _RENEWED_BEFORE_S)
            return token.text

    def _forget(self, refused: str) -> None:
        """The token that was refused, unless another thread has got a new one meanwhile."""
        if self._token is not None:
            with self._token.lock:
                if refused == f"Bearer {self._token.text}":
                    self._token.text = ""


def encoded(value: Any) -> bytes:
    """JSON; a `datetime` as ISO 8601."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_text, allow_nan=False).encode()


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime needs a zone, such as datetime.now(UTC)")
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _is_in_vain(error: HTTPError) -> bool:
    """Whether no other try will mend it, such as a certificate that is not trusted; a cut connection may come back."""
    if isinstance(error, SSLError):
        return not any(isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) for cause in error.args)
    return isinstance(error, LocationValueError)


def _is_worth_another_try(problem: Problem, *, is_repeatable: bool) -> bool:
    return (
        problem.status in _NOT_CARRIED_OUT
        or (is_repeatable and problem.status in _FROM_A_PROXY)
        or problem.code == "idempotency_in_progress"  # an earlier try of ours is still being carried out
    )


def _retry_after_s(answer: urllib3.BaseHTTPResponse) -> float:
    """In seconds; 0 where there is none, or none that can be read."""
    told = answer.headers.get("Retry-After")
    if told:
        with suppress(InvalidHeader, OverflowError):
            return urllib3.Retry().parse_retry_after(told)
    return 0.0
