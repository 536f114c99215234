"""What people want to receive, as producers see and set it."""

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow, existing_user_id
from notifier.api.schemas import PreferencesIn, PreferencesOut
from notifier.pipeline import preferences
from notifier.queries import preferences as queries

bp = Door("api_preferences", __name__, url_prefix="/api/v1/users", tag="Preferences")


@bp.get("/<user_id>/preferences")
@allow("users")
@bp.output(PreferencesOut)
def get_preferences(user_id: str) -> Response:
    """A person's choices, and the grid of what follows from them

    `effective` says for every event type and channel whether it is on, and which choice says so: the
    most specific wins.
    """
    return answer(queries.document(existing_user_id(user_id)))


@bp.put("/<user_id>/preferences")
@allow("users")
@bp.input(PreferencesIn)
@bp.output(PreferencesOut)
def put_preferences(user_id: str, json_data: PreferencesIn) -> Response:
    """Replace all choices of a person"""
    preferences.change(existing_user_id(user_id), json_data.model_dump(exclude_unset=True), replace=True, source=preferences.API)
    return answer(queries.document(user_id))


@bp.patch("/<user_id>/preferences")
@allow("users")
@bp.input(PreferencesIn)
@bp.output(PreferencesOut)
def patch_preferences(user_id: str, json_data: PreferencesIn) -> Response:
    """Change some choices of a person

    Merged into the others; null takes a choice back, so that its default holds again.
    """
    preferences.change(existing_user_id(user_id), json_data.model_dump(exclude_unset=True), replace=False, source=preferences.API)
    return answer(queries.document(user_id))
