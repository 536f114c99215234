"""What can go wrong, as exceptions. Match the class or `code`, never the texts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NotifierError(Exception):
    """`idempotency_key`: the one the call was made with, also if the client chose it. Whoever makes the same call with
    it later makes sure that it is carried out, and only once.
    """

    idempotency_key: str | None = None


class Unreachable(NotifierError):
    """No answer came in time. Whether the call was carried out is not known."""


class BadSignature(NotifierError):
    """A webhook that cannot be shown to come from Notifier, or is older than five minutes. Answer 400."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one part of a body. `pointer`: a JSON pointer to it; `suggestion`: what may be meant."""

    pointer: str
    code: str
    message: str
    suggestion: str | None = None


class Problem(NotifierError):
    """An answer that is no success (RFC 9457). `retry_after`: seconds, where the server asked for a pause."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: tuple[Fault, ...] = (),
        *,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail, self.errors = status, code, detail, errors
        self.request_id, self.retry_after = request_id, retry_after

    @property
    def suggestion(self) -> str | None:
        """Of the first fault that has one."""
        return next((fault.suggestion for fault in self.errors if fault.suggestion), None)

    @staticmethod
    def of(status: int, body: Mapping[str, Any], *, at: str = "", retry_after: float | None = None) -> "Problem":
        """From the body of an answer, problem+json or an OAuth error. `at` is taken off the pointers' beginning."""
        errors = body.get("errors")  # a proxy may answer with JSON of its own
        faults = tuple(
            Fault(
                str(one.get("pointer", "")).removeprefix(at),
                str(one.get("code", "")),
                str(one.get("message", "")),
                one.get("suggestion"),
            )
            for one in (errors if isinstance(errors, list) else ())
            if isinstance(one, dict)
        )
        code = _text(body, "code", "error") or f"http_{status}"
        detail = _text(body, "detail", "error_description", "title") or "no details"
        kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else Problem)
        return kind(status, code, detail, faults, request_id=body.get("request_id"), retry_after=retry_after)

    @staticmethod
    def read(
        status: int, content: bytes, *, retry_after: float | None = None, location: str | None = None
    ) -> "Problem":
        """From an answer of any kind: a proxy's is no JSON, and a redirect is not followed, since it could lead the key
        astray.
        """
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {"detail": f"redirected to {location}: give the client that address"} if location else {}
        return Problem.of(status, body, retry_after=retry_after)


class BadRequest(Problem):
    """400: malformed."""


class Unauthenticated(Problem):
    """401: no key, or an unknown, expired or revoked one."""


class Forbidden(Problem):
    """403: the key may not do this."""


class NotFound(Problem):
    """404"""


class Conflict(Problem):
    """409: in conflict with what exists, such as a broadcast that has ended."""


class TooLarge(Problem):
    """413: the body is over 1 MiB."""


class Invalid(Problem):
    """422: `errors` names every fault; nothing was stored."""


class RateLimited(Problem):
    """429, and the limit would not be lifted in the time that the client may take."""


class ServerError(Problem):
    """5xx, and it did not go away in the time that the client may take."""


_BY_STATUS = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
}


def _text(body: Mapping[str, Any], *names: str) -> str | None:
    """The first of these that is one."""
    return next((body[name] for name in names if isinstance(body.get(name), str) and body[name]), None)
