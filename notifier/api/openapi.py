"""The OpenAPI 3.1 document, generated from the routes, and the page that shows it. Both are public."""

import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from apiflask import APIFlask
from flask import Response, current_app, render_template
from pydantic import BaseModel

from notifier.api import errors
from notifier.api.answers import answer
from notifier.api.auth import Access, Door, public

VERSION = "1.0"
_DESCRIPTION = """\
Notifier sends one event to people by the channels they want. Keys are sent as `Authorization: Bearer <key>`.
Each has scopes, and may be limited to event types (else 403, `type_not_allowed`) and to the networks it is used \
from (`network_refused`). Instead of a key, an access token of OAuth 2 may be sent; it has the rights of the key \
it was issued for.
Errors are RFC 9457 problems: match `code`, never the texts. Lists are paged by `limit` and `after`."""
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "A producer's key, or an access token issued for it."},
    "client": {
        "type": "http",
        "scheme": "basic",
        "description": "OAuth 2: `client_id` is what the key begins with, `client_secret` the key itself.",
    },
    "userToken": {"type": "http", "scheme": "bearer", "description": "A token from POST /api/v1/users/{id}/token."},
    "provider": {
        "type": "http",
        "scheme": "signature",
        "description": "The provider's signature, as its documents describe it; checked over the bytes as they came.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "notifier_session",
        "description": "A person's sign-in; writes need X-CSRFToken. With https: `__Host-notifier_session`.",
    },
}
_PROBLEMS = {
    "400": "Malformed JSON",
    "401": "No key, or one that is not valid",
    "403": "The key may not do this",
    "404": "Not found",
    "409": "In conflict with what exists",
    "410": "What follows the cursor has been deleted",
    "413": "The body is too large",
    "415": "A body with a Content-Encoding",
    "422": "Not valid; every fault is named by JSON pointer",
    "429": "Over the key's rate limit",
    "503": "The database cannot be reached; nothing was stored",
}
_HEADERS = {
    "RateLimit-Policy": {
        "description": 'The limit: `"default";q=<notifications>;w=<seconds>`',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": 'What is left: `"default";r=<notifications>;t=<seconds>`',
        "schema": {"type": "string"},
    },
    "X-Request-Id": {"description": "As sent, or made here; it appears in the log", "schema": {"type": "string"}},
}
_CONFLICTING = (
    *("cancel_notification", "create_template", "write_template", "publish_template", "upload_image"),
    *("add_variant", "start_experiment", "stop_experiment"),
    *("pause_broadcast", "resume_broadcast", "cancel_broadcast", "retry_failed"),
)
_IDEMPOTENT = re.compile(r"submit_|create_schedule$|create_broadcast$|notify$|notify_bulk$|trigger$|send$")

View = TypeVar("View", bound=Callable[..., Any])

bp = Door("api_openapi", __name__, url_prefix="/api", tag="Documentation")


def takes(media_type: str, example: str) -> Callable[[View], View]:
    """Describes the body of a call that takes something else than JSON."""

    def decorate(view: View) -> View:
        view.takes = {media_type: {"schema": {"type": "string"}, "example": example}}  # type: ignore[attr-defined]
        return view

    return decorate


def init_app(app: APIFlask) -> None:
    app.title, app.version, app.description = "Notifier", VERSION, _DESCRIPTION
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_SERVERS=False,
        AUTO_OPERATION_ID=True,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        SECURITY_SCHEMES=_SCHEMES,
    )
    app.spec_processor(lambda document: _complete(app, cast("dict[str, Any]", document)))


@bp.get("/openapi.json")
@public
@bp.output({})
def document() -> Response:
    """This document"""
    response = answer(_document())
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _document() -> Any:
    cached = current_app.extensions.get("openapi")
    if cached is None:
        for blueprint in current_app.blueprints.values():
            vars(blueprint).setdefault("enable_openapi", False)  # APIFlask 3.1 asks it of plain blueprints too
        cached = current_app.extensions["openapi"] = cast("APIFlask", current_app).spec
    return cached


@bp.get("/docs")
@public
@bp.output({}, content_type="text/html")
def docs() -> Response:
    """The page that shows this document"""
    return Response(render_template("api_docs.html", document=_document()), content_type="text/html; charset=utf-8")


def _complete(app: APIFlask, document: dict[str, Any]) -> dict[str, Any]:
    """Adds to each call: who may make it, which problems it answers with, its headers."""
    document["components"].setdefault("schemas", {})["Problem"] = errors.responses_schema()
    for rule in app.url_map.iter_rules():
        access: Access | None = getattr(app.view_functions[rule.endpoint], "access", None)
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        if access is None:
            continue
        for operation in (
            op for method, op in document["paths"].get(path, {}).items() if method.upper() in (rule.methods or ())
        ):
            also = getattr(app.view_functions[rule.endpoint], "also", None)
            if also is not None:
                status, schema, description = also
                content = {"application/json": {"schema": _register(document, schema)}}
                operation["responses"][status] = {"description": description, "content": content}
            taken = getattr(app.view_functions[rule.endpoint], "takes", None)
            if taken is not None:
                operation["requestBody"] = {"content": taken}
            _complete_operation(operation, access, rule.endpoint, has_argument=bool(rule.arguments))
    return document


def _register(document: dict[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """Puts a schema where APIFlask puts those of `@output`; returns the reference to it."""
    name = model.__name__
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
    parts = {f"{name}.{part}": definition for part, definition in schema.pop("$defs", {}).items()}
    document["components"]["schemas"] |= {name: schema, **parts}
    return {"$ref": f"#/components/schemas/{name}"}


def _complete_operation(operation: dict[str, Any], access: Access, endpoint: str, *, has_argument: bool) -> None:
    operation["security"] = {
        "public": [],
        "person": [{"session": []}, {"userToken": []}],
        "producer": [{"key": []}],
        "client": [{"client": []}],
        "provider": [{"provider": []}],
    }[access.kind]
    if access.scopes:
        operation["description"] = (
            f"{operation.get('description', '')}\n\nScope: {' or '.join(f'`{scope}`' for scope in access.scopes)}."
        ).strip()
        operation["x-scopes"] = list(access.scopes)
    if access.kind == "public":
        return
    body = operation.get("requestBody")
    if body:
        body["required"] = not access.body_is_optional
    if _IDEMPOTENT.search(endpoint):
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 257},
                "description": "Quoted or bare. The same key and body within 24 hours get the first answer again.",
            }
        )
    if access.kind == "client":  # others of its errors are of the form of RFC 6749
        expected = {"413", "429", "503"}
    elif access.kind == "provider":
        expected = {"400", "401", "413", "429", "503"}
    else:
        expected = {"401", "403", "429", "503"} if access.kind == "producer" else {"401", "403", "503"}
        expected |= {"422"} | ({"400", "413", "415"} if body else set())  # each refuses parameters it does not know
    expected |= {"410"} if endpoint.endswith("list_events") else set()
    expected |= {"404"} if has_argument else set()
    expected |= {"409"} if endpoint.endswith(_CONFLICTING) or _IDEMPOTENT.search(endpoint) else set()
    for response in operation["responses"].values():
        response.setdefault("headers", {}).update(_HEADERS if access.kind == "producer" else {})
    for status in sorted(expected):
        operation["responses"][status] = {
            "description": _PROBLEMS[status],
            "content": {errors.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
