"""Event types: category, priority, channels and the schema of their data."""

from flask import Response, g

from notifier.api import auth
from notifier.api.answers import also, answer
from notifier.api.auth import Door, allow
from notifier.api.schemas.catalogue import TypeIn, TypeOut, TypePage
from notifier.catalogue import types as event_types
from notifier.core.errors import Fault, Rejected
from notifier.queries import types as queries

bp = Door("api_types", __name__, url_prefix="/api/v1/types", tag="Event types")


@bp.get("")
@allow("read", "templates")
@bp.output(TypePage)
def list_types() -> Response:
    """All event types"""
    return answer({"data": queries.all_types(), "next": None})


@bp.get("/<key>")
@allow("read", "templates")
@bp.output(TypeOut)
def get_type(key: str) -> Response:
    """One event type"""
    return answer(queries.one_type(_storable(key)))


@bp.put("/<key>")
@allow("templates", is_live_only=True)
@bp.input(TypeIn)
@bp.output(TypeOut)
@also(201, TypeOut, "Created")
def put_type(key: str, json_data: TypeIn) -> Response:
    """Create an event type or replace it as a whole

    201 for a new one. A type without a template is shown by its title. Mandatory types, types of category system and
    those that go to the admins (also if they are only becoming so), and types that the key may not submit need the
    scope `admin`. One that becomes urgent needs `urgent` or `admin`.
    """
    if not event_types.KEY.match(key):
        message = "the key of a type is 1 to 64 of a-z 0-9 _ and begins with a letter"
        raise Rejected("validation_failed", message, (Fault("/key", "invalid_key", message),))
    # No limit holds for what goes to admins: neither of the person nor of money
    becomes_everybodys = json_data.mandatory or json_data.category == "system" or json_data.to_admins
    auth.may_change(key, is_everybodys=becomes_everybodys or key in queries.keys_of_everybody())
    if json_data.priority == "urgent" and queries.priority_of(key) != "urgent" and "admin" not in g.key.scopes:
        auth.require("urgent", "what is urgent needs the scope urgent, and so does a type that becomes it")
    renamed = {"key", "schema_", "mandatory", "dedupe_window", "escalate_after", "tracking"}
    fields = json_data.model_dump(exclude=renamed)
    fields |= {
        "schema": json_data.schema_,
        "is_mandatory": json_data.mandatory,
        "dedupe_window_s": json_data.dedupe_window,
        "tracks_opens": json_data.tracking.opens,
        "tracks_clicks": json_data.tracking.clicks,
    }
    fields["escalate_after_s"] = json_data.escalate_after
    is_new = event_types.put(key, fields)
    return answer(queries.one_type(key), 201 if is_new else 200)


def _storable(key: str) -> str:
    if not event_types.KEY.match(key):
        raise Rejected("not_found", f"there is no event type {key[:80]!r}")
    return key
