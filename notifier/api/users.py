"""People as producers manage them: profiles, addresses and inbox tokens."""

from collections.abc import Mapping
from typing import Any

from flask import Response, current_app, g

from notifier.api.answers import also, answer, answer_in_pieces
from notifier.api.auth import Door, allow, existing_user_id, is_beyond_reach, may_change_person, require, scope_missing
from notifier.api.notifications import sight
from notifier.api.schemas.users import (
    AddressIn,
    AddressOut,
    AddressPage,
    ErasurePage,
    ExportOut,
    NewAddressOut,
    TokenIn,
    TokenOut,
    UserIn,
    UserOut,
    UserPatch,
)
from notifier.core.errors import Fault, Rejected
from notifier.core.json_values import is_same
from notifier.core.people import parse_user_id
from notifier.core.submission import InlineRecipient
from notifier.core.worlds import shown_id
from notifier.ground import tokens
from notifier.ground.database import transaction
from notifier.ground.ids import parse
from notifier.ground.shapes import timestamp
from notifier.ledgers import audit
from notifier.models.producer import label_of
from notifier.people import addresses, erasures, profiles
from notifier.queries import person_export, valid_tokens
from notifier.queries import users as queries

_VOUCHING = "that an address is somebody's own is said with the scope admin"

bp = Door("api_users", __name__, url_prefix="/api/v1/users", tag="Users")


@bp.put("/<user_id>")
@allow("users")
@bp.input(UserIn)
@bp.output(UserOut)
@also(201, UserOut, "Created")
def put_user(user_id: str, json_data: UserIn) -> Response:
    """Create a user or replace the whole profile

    201 for a new user. What is left out is cleared; `email` and `phone` become the primary addresses. Giving one that
    has bounced again switches it on again, at most once a day; the next message shows whether it works. 403 for
    somebody with a role in the console, unless the key has the scope `admin`.
    """
    _check_id(user_id, json_data)
    changes = {name: getattr(json_data, name) for name in profiles.FIELDS}
    _check_rights(user_id, changes, json_data)
    with transaction():
        upserted = profiles.upsert(
            [InlineRecipient(user_id, changes)], is_vouched=json_data.verified, revives=True, actors={}
        )
    return answer(queries.profile(user_id), 201 if upserted.created else 200)


@bp.get("/<user_id>")
@allow("users")
@bp.output(UserOut)
def get_user(user_id: str) -> Response:
    """One user"""
    return answer(queries.profile(existing_user_id(user_id)))


@bp.patch("/<user_id>")
@allow("users")
@bp.input(UserPatch)
@bp.output(UserOut)
def patch_user(user_id: str, json_data: UserPatch) -> Response:
    """Change some fields of a profile

    Only the fields given are changed; null clears one. 403 for somebody with a role in the console, unless the key has
    the scope `admin`.
    """
    queries.must_exist(existing_user_id(user_id))
    _check_id(user_id, json_data)
    changes = {name: getattr(json_data, name) for name in json_data.model_fields_set if name in profiles.FIELDS}
    _check_rights(user_id, changes, json_data)
    with transaction():
        profiles.upsert([InlineRecipient(user_id, changes)], is_vouched=json_data.verified, revives=True, actors={})
    return answer(queries.profile(user_id))


@bp.delete("/<user_id>")
@allow("users")
@bp.output({}, 204)
def delete_user(user_id: str) -> Response:
    """Erase a user

    Removes profile, addresses, preferences and inbox, and the content of sent messages. Counts stay. For somebody with
    a role in the console: 403 without the scope `admin`, otherwise 409 until the role is taken away. The header
    `Erasure-Certificate` names the certificate.
    """
    may_change_person(user_id)
    certificate = profiles.erase(existing_user_id(user_id))
    if certificate is None:
        raise _nobody(user_id)
    return Response(status=204, headers={"Erasure-Certificate": certificate} if certificate else {})


@bp.get("/<user_id>/erasures")
@allow("users")
@bp.output(ErasurePage)
def list_erasures(user_id: str) -> Response:
    """Certificates of erasure

    Of all who have had this id, newest first: what was erased, by class and count, and what is kept in a form that
    nobody can read. They name nobody: whose key or account it was is in them for the scope `admin`, and where it was a
    key of the calling producer or the person themselves.
    """
    found = erasures.of_person(existing_user_id(user_id))
    return answer({"data": [{**one, "by": _shown_actor(one["by"])} for one in found], "next": None})


@bp.get("/<user_id>/export")
@allow("users")
@bp.output(ExportOut)
def export_user(user_id: str) -> Response:
    """Everything that is stored about a user, as one document

    Profile, addresses and devices, choices with the ledger of consent and its texts, notifications with deliveries,
    attempts and receipts, inbox, events, captured messages and lists. Contains only the calling producer's
    notifications; with the scope `admin`, everybody's, and with them the person's account, sessions and scores, and
    what the audit trail says of them. `format` is the version: fields are added within one.
    """
    return answer_in_pieces(person_export.written(existing_user_id(user_id), sight(), current_app.json.dumps))


@bp.get("/<user_id>/addresses")
@allow("users")
@bp.output(AddressPage)
def list_addresses(user_id: str) -> Response:
    """The addresses of a user on all channels"""
    queries.must_exist(existing_user_id(user_id))
    return answer({"data": queries.addresses(user_id, g.key.producer_id), "next": None})


@bp.post("/<user_id>/addresses")
@allow("users")
@bp.input(AddressIn)
@bp.output(NewAddressOut, 201)
@also(200, AddressOut, "It already existed")
def add_address(user_id: str, json_data: AddressIn) -> Response:
    """Add an address

    Deliveries may use it at once. An address that is there already is not added twice (200), but switched on if it was
    off. For a webhook, the answer contains the signing `secret`, this once only. A device is taken away from the person
    who had it. 403 if the user, or the person who had the device, has a role in the console, unless the key has the
    scope `admin`. A user has at most 200.
    """
    if json_data.verified:
        require("admin", _VOUCHING)
    may_change_person(existing_user_id(user_id))
    try:
        address, is_new = addresses.add_given(
            user_id,
            json_data.channel,
            json_data.value,
            label=json_data.label,
            platform=json_data.platform,
            app=json_data.app,
            is_vouched=json_data.verified,
            spares_staff="admin" not in g.key.scopes,
            producer_id=g.key.producer_id,
        )
    except addresses.BelongsToStaff as refused:
        raise scope_missing("admin", str(refused)) from None
    body = queries.address_json(address, g.key.producer_id)
    if is_new and address.secret:
        body["secret"] = address.secret
    return answer(body, 201 if is_new else 200)


@bp.delete("/<user_id>/addresses/<address_id>")
@allow("users")
@bp.output({}, 204)
def remove_address(user_id: str, address_id: str) -> Response:
    """Remove an address

    403 for somebody with a role in the console, unless the key has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    if not addresses.remove_given(user_id, parse(queries.ADDRESS, address_id)):
        raise Rejected("not_found", "the user has no such address")
    return Response(status=204)


@bp.post("/<user_id>/token")
@allow("users", body_is_optional=True)
@bp.input(TokenIn)
@bp.output(TokenOut)
def make_token(user_id: str, json_data: TokenIn) -> Response:
    """A token for the embedded inbox

    It opens this user's inbox, switches, mute and quiet hours and nothing else, any number of times until it expires
    (an hour by default). Pages of other sites may use it if your producer's list of origins allows them. It ends
    earlier with the key that made it (revoked or expired), with your producer or with the user, and when all tokens of
    the user are ended. 403 for somebody with a role in the console, whose alerts it could archive or mute, unless the
    key has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    subject = valid_tokens.subject_of(existing_user_id(user_id))
    if subject is None:
        raise _nobody(user_id)
    token, expires_at = tokens.sign_user_token(
        subject, json_data.expires_in, key_id=g.key.key_id, producer_id=g.key.producer_id
    )
    return answer({"token": token, "expires_at": timestamp(expires_at)})


@bp.delete("/<user_id>/tokens")
@allow("users")
@bp.output({}, 204)
def end_tokens(user_id: str) -> Response:
    """End all tokens of a user

    Ends the user's inbox tokens of all producers, with their open connections, and the preference links in messages
    that were sent. Unsubscribe links still work, and browsers that are signed in stay signed in. 403 for somebody with
    a role in the console, unless the key has the scope `admin`.
    """
    may_change_person(existing_user_id(user_id))
    if not profiles.end_tokens(existing_user_id(user_id)):
        raise _nobody(user_id)
    return Response(status=204)


def _shown_actor(actor: str) -> str | None:
    """Who runs this, and which other producers there are, is not the caller's."""
    is_own = actor == audit.THEMSELVES or actor.startswith(label_of(g.key.producer, "").removesuffix("…"))
    return actor if is_own or "admin" in g.key.scopes else None


def _nobody(user_id: str) -> Rejected:
    return Rejected("not_found", f"there is no user {shown_id(user_id)!r}")


def _check_rights(user_id: str, changes: Mapping[str, Any], body: UserIn) -> None:
    if body.verified:
        require("admin", _VOUCHING)
    if is_beyond_reach(user_id):
        stored = queries.profile(user_id)  # a shop that sends all its people each night may go on naming staff
        if not all(is_same(stored[name] or None, value or None) for name, value in changes.items()):
            may_change_person(user_id)


def _check_id(user_id: str, body: UserIn) -> None:
    """A new user's id must be valid, and an id in the body must be the one in the path."""
    user_id = shown_id(user_id) if g.key.is_test else user_id
    try:
        parse_user_id(user_id)
    except ValueError as error:
        raise Rejected("validation_failed", str(error), (Fault("/id", "invalid_user_id", str(error)),)) from None
    if body.id is not None and body.id != user_id:
        raise Rejected(
            "validation_failed",
            "the id is not the one in the path",
            (Fault("/id", "ids_differ", "the id is not the one in the path"),),
        )
