"""The one shape of all the API's errors: RFC 9457 problem+json, with a stable code and every fault by JSON pointer.

`core.problems` lists all codes. An exception that is not in it is a bug: the caller gets an opaque 500, and the log the
trace.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import structlog
from apiflask import APIFlask
from apiflask.exceptions import _ValidationError
from flask import Response, current_app, g, request
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from notifier.api.fields import MOST_FAULTS, STEPS
from notifier.api.misspelt import meant_by
from notifier.core.errors import Fault, Rejected
from notifier.core.faults import sentence
from notifier.core.pointers import pointer_to
from notifier.core.problems import PROBLEMS
from notifier.core.problems.problem import address_of
from notifier.ground import logs
from notifier.ground.config import current_settings
from notifier.ground.database import UNAVAILABLE, UNAVAILABLE_RETRY_S

MEDIA_TYPE = "application/problem+json"

_BY_STATUS = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "cursor_expired",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "rate_limited",
    503: "unavailable",
}

# pydantic's error types → ours. Those of `fields` are ours already.
_FAULTS = {
    "missing": "missing",
    "int_parsing": "wrong_type",
    "int_from_float": "wrong_type",
    "bool_parsing": "wrong_type",
    "extra_forbidden": "unknown_field",
    "literal_error": "not_one_of",
    "too_long": "too_long",
    "string_too_long": "too_long",
    "too_short": "too_short",
    "string_too_short": "too_short",
    "string_pattern_mismatch": "invalid_format",
    "greater_than_equal": "too_small",
    "greater_than": "too_small",
    "less_than_equal": "too_large",
    "less_than": "too_large",
}
_API_PATHS = (
    "/api/",
    "/notify",
    "/notifications/",
    "/user/preferences/",
    "/hooks/",
    "/oauth/",
    "/healthz",
    "/readyz",
    "/metrics",
)

_MOST_HELPED = 5  # faults of a body with a guess at what was meant

log = structlog.get_logger()


def init_app(app: APIFlask) -> None:
    app.register_error_handler(Rejected, _on_rejected)
    app.register_error_handler(_ValidationError, _on_invalid)
    app.register_error_handler(HTTPException, _on_http_exception)
    for error in UNAVAILABLE:
        app.register_error_handler(error, _on_database_error)


def is_api(path: str) -> bool:
    """Whether errors under this path are for programs. Pages answer people."""
    return path.startswith(_API_PATHS)


def problem(code: str, detail: str, faults: tuple[Fault, ...] = (), *, status: int | None = None) -> dict[str, Any]:
    """The body of an error, and of the one bad item inside a bulk answer."""
    known = PROBLEMS[code]
    return {
        "type": address_of(code, current_settings().public_url),
        "title": known.title,
        "status": status or known.status,
        "detail": detail,
        "instance": request.path,
        "code": code,
        "errors": [_fault_json(fault) for fault in faults],
        "request_id": g.get("request_id"),
    }


def _fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "pointer": fault.pointer,
        "code": fault.code,
        "message": fault.message,
        **({"line": fault.line} if fault.line else {}),
        **({"suggestion": fault.suggestion} if fault.suggestion else {}),
    }


def from_rejected(error: Rejected, prefix: str = "") -> dict[str, Any]:
    """The problem of a refused request; `prefix` is the pointer of the item it is about."""
    faults = tuple(replace(fault, pointer=prefix + fault.pointer) for fault in error.faults)
    return problem(error.code, error.detail, faults)


def from_validation(error: ValidationError) -> Rejected:
    """pydantic's errors as a Rejected, the only kind of refusal."""
    faults: list[Fault] = []
    for found in error.errors(include_url=False, include_input=False)[:MOST_FAULTS]:
        context = found.get("ctx", {})
        nested = context.get("faults")
        if nested:
            faults += nested
            continue
        path = [part for part in found["loc"] if part not in STEPS]
        code = found["type"]
        meant = None
        if code == "extra_forbidden" and len(faults) < _MOST_HELPED:
            meant = meant_by(error.title, path)
        faults.append(
            Fault(
                pointer_to(*path),
                _FAULTS.get(code, "wrong_type" if code.endswith("_type") else code),
                sentence(code, context) + (f"; did you mean {meant!r}?" if meant else ""),
                suggestion=meant,
            )
        )
    return Rejected(
        "validation_failed",
        "the request is not valid: " + "; ".join(f"{f.pointer or 'body'}: {f.message}" for f in faults[:3]),
        tuple(faults),
    )


def respond(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    response = cast("Response", current_app.json.response(body))
    response.status_code = body["status"]
    response.content_type = MEDIA_TYPE
    response.headers.extend(headers or {})
    return response


def _on_rejected(error: Rejected) -> Response:
    body = from_rejected(error)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    challenge = _challenge(error.code, body["status"])
    if challenge:
        headers["WWW-Authenticate"] = challenge
    return respond(body, headers)


def _challenge(code: str, status: int) -> str | None:
    """RFC 6750, section 3."""
    if status == 401:
        return 'Bearer realm="notifier"' + (', error="invalid_token"' if code == "invalid_key" else "")
    if code == "scope_missing":
        return (
            'Bearer realm="notifier", error="insufficient_scope", '
            f'scope="{" ".join(sorted(g.get("scopes_wanted", ())))}"'
        )
    return None


def _on_invalid(error: _ValidationError) -> Response:
    cause = error.__cause__
    return _on_rejected(
        from_validation(cause) if isinstance(cause, ValidationError) else Rejected("validation_failed", str(error))
    )


def _on_http_exception(error: HTTPException) -> Response | HTTPException:
    if not is_api(request.path) or error.code is None or error.code < 400:
        return error
    code = _BY_STATUS.get(error.code, "bad_request" if error.code < 500 else "internal_error")
    detail = (
        "something went wrong here; the log has the details" if error.code == 500 else (error.description or error.name)
    )
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return respond(problem(code, detail, status=error.code), headers)


def _on_database_error(error: SQLAlchemyError) -> Response:
    log.error("request.database_away", route=logs.route(request.url_rule), exc_info=error)
    if not is_api(request.path):
        raise error
    return respond(
        problem("unavailable", "the database cannot be reached; nothing was stored"),
        {"Retry-After": str(UNAVAILABLE_RETRY_S)},
    )
