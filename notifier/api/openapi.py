"""The OpenAPI 3.1 document, generated from the routes, and the page that shows it. Both are public."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast

from apiflask import APIFlask
from flask import Response, current_app, render_template
from pydantic import BaseModel

from notifier.api import examples, problem_responses
from notifier.api.answers import answer
from notifier.api.auth import Access, Door, public
from notifier.api.schemas.oauth import OAuthErrorOut

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
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "The provider's signature, in the headers that its documents name; checked over the bytes as "
        "they came.",
    },
    "bus": {
        "type": "http",
        "scheme": "bearer",
        "description": "An OpenID token that Google has signed for this URL and for `PUBSUB_ACCOUNT`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "notifier_session",
        "description": "A person's sign-in; writes need X-CSRFToken. With https: `__Host-notifier_session`.",
    },
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
_VALUES = ("const", "default", "enum", "example", "examples")  # in a schema; no schemas themselves
_REFERENCE = re.compile(r"(#/components/schemas/)\w+\.")

View = TypeVar("View", bound=Callable[..., Any])

bp = Door("api_openapi", __name__, url_prefix="/api", tag="Documentation")


def takes(media_type: str, example: Any, schema: type[BaseModel] | None = None) -> Callable[[View], View]:
    """Describes the body of a call that takes no JSON: a form of that schema, or else the bytes of a file."""

    def decorate(view: View) -> View:
        view.takes = (media_type, example, schema)  # type: ignore[attr-defined]
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
    response = answer(whole_document())
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def whole_document() -> dict[str, Any]:
    """The document. It says nothing of the installation."""
    cached = current_app.extensions.get("openapi")
    if cached is None:
        for blueprint in current_app.blueprints.values():
            vars(blueprint).setdefault("enable_openapi", False)  # APIFlask 3.1 asks it of plain blueprints too
        cached = current_app.extensions["openapi"] = cast("APIFlask", current_app).spec
    return cast("dict[str, Any]", cached)


@bp.get("/docs")
@public
@bp.output({}, content_type="text/html")
def docs() -> Response:
    """The page that shows this document"""
    page = render_template("api_docs.html", document=whole_document())
    return Response(page, content_type="text/html; charset=utf-8")


def _complete(app: APIFlask, document: dict[str, Any]) -> dict[str, Any]:
    """Adds to each call: who may make it, which problems it answers with, its headers, examples. Generators of clients
    take the result: one component a class, plain names.
    """
    components = document["components"]
    components["schemas"] |= {"Problem": problem_responses.problem_schema(), "Fault": problem_responses.fault_schema()}
    components["responses"] = {}
    _register(document, OAuthErrorOut)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        access: Access | None = getattr(view, "access", None)
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        if access is None:
            continue
        for operation in (
            op for method, op in document["paths"].get(path, {}).items() if method.upper() in (rule.methods or ())
        ):
            operation["operationId"] = _operation_id(rule.endpoint)
            for status, media_type, schema, description in getattr(view, "also", ()):
                described = operation["responses"].setdefault(status, {"description": description, "content": {}})
                described["content"][media_type] = {
                    "schema": schema if isinstance(schema, dict) else _register(document, schema)
                }
            if hasattr(view, "takes"):
                media_type, example, model = view.takes
                taken = _register(document, model) if model else {"type": "string", "format": "binary"}
                operation["requestBody"] = {"content": {media_type: {"schema": taken, "example": example}}}
            _complete_operation(operation, access, rule.endpoint)
            _add_problems(components["responses"], operation, access, rule.endpoint, has_argument=bool(rule.arguments))
    document = _one_component_a_class(document)
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {name: _without_titles(schema) for name, schema in schemas.items()}
    document["tags"] = list({tag["name"]: tag for tag in document["tags"]}.values())  # several blueprints may share one
    examples.add_to(document)
    return document


def _operation_id(endpoint: str) -> str:
    """The handler's name; those of the inbox, which are short, with that before them."""
    blueprint, _, name = endpoint.rpartition(".")
    return f"{blueprint}_{name}" if blueprint == "inbox" else name


def _register(document: dict[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """Puts a schema where APIFlask puts those of `@output`; returns the reference to it."""
    name = model.__name__
    schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}.{{model}}")
    parts = {f"{name}.{part}": definition for part, definition in schema.pop("$defs", {}).items()}
    document["components"]["schemas"] |= {name: schema, **parts}
    return {"$ref": f"#/components/schemas/{name}"}


def _one_component_a_class(document: dict[str, Any]) -> dict[str, Any]:
    """APIFlask calls the parts of a schema `Schema.Part`, and so has a class once for each schema that it is in."""
    named = cast("dict[str, Any]", json.loads(_REFERENCE.sub(r"\1", json.dumps(document))))
    schemas: dict[str, Any] = {}
    for name, schema in named["components"]["schemas"].items():
        part = name.rpartition(".")[2]
        if schemas.setdefault(part, schema) != schema:
            raise RuntimeError(f"two schemas of the API are called {part}")
    named["components"]["schemas"] = schemas
    return named


def _without_titles(schema: Any, *, is_by_name: bool = False) -> Any:
    """Pydantic makes a title of every field's name. Generators make classes of them, and of `userId` and `user_id` two
    whose names differ by case alone.
    """
    if isinstance(schema, list):
        return [_without_titles(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if is_by_name:
        return {name: _without_titles(one) for name, one in schema.items()}
    return {
        key: one if key in _VALUES else _without_titles(one, is_by_name=key == "properties")
        for key, one in schema.items()
        if key != "title"
    }


def _complete_operation(operation: dict[str, Any], access: Access, endpoint: str) -> None:
    operation["security"] = {
        "public": [],
        "person": [{"session": []}, {"userToken": []}],
        "producer": [{"key": []}],
        "client": [{"client": []}],
        "provider": [{"provider": []}],
        "bus": [{"bus": []}],
    }[access.kind]
    if access.scopes:
        operation["description"] = (
            f"{operation.get('description', '')}\n\nScope: {' or '.join(f'`{scope}`' for scope in access.scopes)}."
        ).strip()
        operation["x-scopes"] = list(access.scopes)
    if operation.get("requestBody"):
        operation["requestBody"]["required"] = not access.body_is_optional
    if access.kind != "public" and problem_responses.IDEMPOTENT.search(endpoint):
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 257},
                "description": "Quoted or bare. The same key and body within 24 hours get the first answer again.",
            }
        )
    for response in operation["responses"].values():
        for media_type, media in response.get("content", {}).items():
            if media_type.startswith("text/"):
                media["schema"] = media["schema"] or {"type": "string"}
        response.setdefault("headers", {}).update(_HEADERS if access.kind == "producer" else {})


def _add_problems(
    shared: dict[str, Any], operation: dict[str, Any], access: Access, endpoint: str, *, has_argument: bool
) -> None:
    expected = problem_responses.statuses(
        access, endpoint, has_argument=has_argument, has_body="requestBody" in operation
    )
    for status in sorted(expected):
        name = problem_responses.name_of(access.kind, status)
        shared[name] = problem_responses.response(access.kind, status)
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
