"""People's preferences, as producers read and set them."""

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow, existing_user_id, may_change_person
from notifier.api.schemas.users import PreferencesIn, PreferencesOut
from notifier.core.errors import Fault, Rejected
from notifier.models.user import API
from notifier.people import consent, preferences
from notifier.queries import preferences as queries
from notifier.queries import users

bp = Door("api_preferences", __name__, url_prefix="/api/v1/users", tag="Preferences")


@bp.get("/<user_id>/preferences")
@allow("users")
@bp.output(PreferencesOut)
def get_preferences(user_id: str) -> Response:
    """A person's preferences, and the effective value for each type and channel

    `effective` says for every event type and channel whether it is on, and which choice decides that: the most specific
    one.
    """
    return answer(queries.document(existing_user_id(user_id)))


@bp.put("/<user_id>/preferences")
@allow("users")
@bp.input(PreferencesIn)
@bp.output(PreferencesOut)
def put_preferences(user_id: str, json_data: PreferencesIn) -> Response:
    """Replace all choices of a person

    What is left out goes back to its default. A document that holds no choice at all is refused (`reset_needed`): to
    take back everything, use DELETE. 403 for somebody with a role in the console, unless the key has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    wanted = json_data.model_dump(exclude_unset=True, exclude={"text_version"})
    if not wanted:
        users.must_exist(existing_user_id(user_id))
        fault = Fault("", "reset_needed", "this would take back every choice of the person: DELETE does that")
        raise Rejected(
            "validation_failed", "the document holds no choice; to take back all of them, use DELETE", (fault,)
        )
    with consent.told(json_data.text_version):
        preferences.change(existing_user_id(user_id), wanted, replace=True, source=API)
    return answer(queries.document(user_id))


@bp.delete("/<user_id>/preferences")
@allow("users")
@bp.output({}, 204)
def reset_preferences(user_id: str) -> Response:
    """Take back all choices of a person

    Every default holds again. The history of choices stays. 403 for somebody with a role in the console, unless the key
    has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    preferences.change(existing_user_id(user_id), {}, replace=True, source=API)
    return Response(status=204)


@bp.patch("/<user_id>/preferences")
@allow("users")
@bp.input(PreferencesIn)
@bp.output(PreferencesOut)
def patch_preferences(user_id: str, json_data: PreferencesIn) -> Response:
    """Change some choices of a person

    Merged into the others; null takes a choice back, so that its default holds again. An empty object changes nothing.
    403 for somebody with a role in the console, unless the key has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    wanted = json_data.model_dump(exclude_unset=True, exclude={"text_version"})
    with consent.told(json_data.text_version):
        preferences.change(existing_user_id(user_id), wanted, replace=False, source=API)
    return answer(queries.document(user_id))
