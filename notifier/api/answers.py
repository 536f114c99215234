"""JSON answers. `@output` only describes them to APIFlask; tests compare answers and descriptions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from flask import Response, current_app, stream_with_context
from pydantic import BaseModel

from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to
from notifier.ground.fast_json import encoded
from notifier.ground.ids import parse

View = TypeVar("View", bound=Callable[..., Any])


def also(
    status: int, schema: type[BaseModel] | dict[str, Any], description: str, media_type: str = "application/json"
) -> Callable[[View], View]:
    """Describes a further answer, beside the one that `@output` describes. `schema`: a model, or a JSON schema."""

    def decorate(view: View) -> View:
        others = getattr(view, "also", ())
        view.also = (*others, (str(status), media_type, schema, description))  # type: ignore[attr-defined]
        return view

    return decorate


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    response = cast("Response", current_app.json.response(body))
    response.status_code = status
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def answer_of_texts(body: Any, status: int, headers: Mapping[str, str]) -> Response:
    """The same at a tenth of the cost, for bodies whose times are texts already (`ground.shapes`)."""
    return Response(encoded(body), status, headers, content_type="application/json")


def answer_in_pieces(pieces: Iterable[str], headers: Mapping[str, str] | None = None) -> Response:
    """A long JSON document that is never in memory as a whole."""
    return Response(stream_with_context(iter(pieces)), headers=headers, content_type="application/json")


def check_cursor(kind: str, after: str | None) -> None:
    """Raises Rejected for a cursor that no list of this kind can have given."""
    if after is None:
        return
    try:
        parse(kind, after)
    except Rejected:
        fault = Fault(pointer_to("after"), "invalid_cursor", "send the `next` of the page before")
        raise Rejected("validation_failed", "after is not a cursor of this list", (fault,)) from None
