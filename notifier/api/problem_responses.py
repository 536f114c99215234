"""The errors of each call for the OpenAPI document: which codes each kind of caller may be answered with, and examples.

They stand once among the document's components, since most calls share them.
"""

import re
from http import HTTPStatus
from typing import Any

from notifier.api.auth import Access
from notifier.api.errors import MEDIA_TYPE
from notifier.core.problems import PROBLEMS
from notifier.core.problems.problem import PLACE
from notifier.ground.config import current_settings

_DESCRIPTIONS = {
    400: "Malformed JSON",
    401: "No key, or one that is not valid",
    403: "The caller may not do this",
    404: "Not found",
    409: "In conflict with what exists",
    410: "What follows the cursor has been deleted",
    413: "The body is too large",
    415: "A body of another kind, or with a Content-Encoding",
    422: "Not valid; every fault is named by JSON pointer",
    429: "Over a limit",
    503: "The database cannot be reached; nothing was stored",
}
# Codes that only this kind of caller gets; all get the others of a status
_OF_A_KIND = {
    "producer": {
        *("bad_request", "forbidden", "malformed_json", "invalid_cursor", "unauthenticated", "invalid_key"),
        *("scope_missing", "network_refused", "test_key", "type_not_allowed", "user_token_refused"),
        *("too_many", "nothing_to_cancel", "idempotency_in_progress"),
        *("idempotency_mismatch", "unknown_type", "unknown_user"),
    },
    "person": {
        *("bad_request", "forbidden", "malformed_json", "unauthenticated"),
        *("producer_key_refused", "origin_refused", "csrf_failed"),
    },
    "provider": {"unreadable_receipt", "unverified"},
    "bus": {
        *("malformed_json", "unverified", "type_not_allowed", "idempotency_in_progress"),
        *("idempotency_mismatch", "unknown_type", "unknown_user"),
    },
    "client": set(),
    "public": set(),
}
_CONFLICTING = (
    *("cancel_notification", "create_template", "write_template", "publish_template", "upload_image"),
    *("add_variant", "start_experiment", "stop_experiment"),
    *("pause_broadcast", "resume_broadcast", "cancel_broadcast", "retry_failed"),
    *("create_subscription", "test_subscription", "replay_subscription", "delete_user", "put_type"),
    "begin_reencryption",
)
IDEMPOTENT = re.compile(r"submit_|create_schedule$|create_broadcast$|notify$|notify_bulk$|trigger$|send$")


def statuses(access: Access, endpoint: str, *, has_argument: bool, has_body: bool) -> set[int]:
    """The errors that a call may be answered with."""
    if access.kind == "public":
        return set()
    if access.kind == "client":  # others of its errors are of the form of RFC 6749
        return {413, 429, 503}
    if access.kind == "provider":
        return {400, 401, 404, 413, 429, 503}
    if access.kind == "bus":
        return {400, 401, 403, 404, 409, 413, 422, 429, 503}
    expected = {401, 403, 422, 429, 503}  # 422: each refuses parameters it does not know
    expected |= {400, 413, 415} if has_body else set()
    expected |= {410} if endpoint.endswith("list_events") else set()
    expected |= {404} if has_argument or endpoint.endswith("create_template") else set()  # its body names a version
    expected |= {409} if endpoint.endswith(_CONFLICTING) or IDEMPOTENT.search(endpoint) else set()
    return expected


def codes(kind: str, status: int) -> list[str]:
    special = {code for codes in _OF_A_KIND.values() for code in codes} - _OF_A_KIND[kind]
    return [code for code, one in PROBLEMS.items() if one.status == status and code not in special]


def name_of(kind: str, status: int) -> str:
    """Of the component, such as ProducerNotFound."""
    return kind.title() + re.sub(r"\W", "", HTTPStatus(status).phrase.title())


def response(kind: str, status: int) -> dict[str, Any]:
    possible, base = codes(kind, status), current_settings().public_url
    return {
        "description": f"{_DESCRIPTIONS[status]}: {', '.join(f'`{code}`' for code in possible)}",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"value": PROBLEMS[code].example(code, base)} for code in possible},
            }
        },
    }


def problem_schema() -> dict[str, Any]:
    """The JSON schema of a problem."""
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "RFC 9457. Match `code`, never the texts. There may be further codes and fields.",
        "required": ["type", "title", "status", "detail", "instance", "code", "errors", "request_id"],
        "properties": {
            "type": {
                "type": "string",
                "description": f"Its page, which says what to do: PUBLIC_URL{PLACE}/CODE.",
            },
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": {"type": "string", "description": "The path that was called."},
            "code": {"type": "string", "description": f"One of {', '.join(f'`{code}`' for code in sorted(PROBLEMS))}."},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
            "request_id": {"type": ["string", "null"]},
        },
    }


def fault_schema() -> dict[str, Any]:
    """The JSON schema of one fault of a body."""
    return {
        "type": "object",
        "required": ["pointer", "code", "message"],
        "properties": {
            "pointer": {"type": "string", "description": "A JSON pointer into the body; empty: all of it."},
            "code": {"type": "string", "description": "Such as `missing`, `wrong_type`, `unknown_field`."},
            "message": {"type": "string"},
            "line": {"type": "integer", "description": "Within the text at `pointer`, from 1; for templates."},
            "suggestion": {
                "type": "string",
                "description": "What is likely to be meant: a name in place of an unknown one.",
            },
        },
    }
