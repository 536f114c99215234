"""Lists of people as CSV files, read as they come: a million rows need no more memory than a thousand."""

import codecs

from flask import Response, g, request

from notifier.api.answers import answer
from notifier.api.auth import Door, allow, caller
from notifier.api.notifications import sight
from notifier.api.openapi import takes
from notifier.api.raw_bodies import pieces, refuse_encoded
from notifier.api.schemas.audiences import UploadOut
from notifier.core.errors import Rejected
from notifier.ground.ids import show
from notifier.people import uploads
from notifier.people.uploads import MOST_BYTES, Rights

bp = Door("api_uploads", __name__, url_prefix="/api/v1/uploads", tag="Broadcasts")


@bp.post("")
@allow("broadcast")
@takes("application/octet-stream", "id,email,attributes.plan\nu1,u1@example.com,pro\n")
@bp.output(UploadOut, 202)
def upload() -> Response:
    """Upload a list of people

    A CSV file (`text/csv` or `application/octet-stream`) of 200 MB at most: UTF-8, commas, lines of 65,536
    characters at most, and a first line that names the columns: `id`, and any of `email`, `phone`, `locale`,
    `time_zone`, `name`, `home_region`, `attributes.NAME`. It is read in the background. New people are created.
    Known ones are changed if the key has the scope `users`, and stay as they are otherwise; people with a role in
    the console are changed if it has the scope `admin` too. An empty field changes nothing, and neither does a
    column that is not there. Attributes that are numbers, `true` or `false` become such; what is to stay a text is
    written in quotes of JSON (`""18""` within the quotes of CSV). Bad lines are left out and told. The same list
    may be sent again.

    The list is an audience for broadcasts: everybody it names, be they changed or not.
    """
    _check_kind()
    who = caller()
    rights = Rights(who.producer_id, who.is_test, who.may_change_people, who.may_change_staff, who.label)
    upload_id = uploads.receive(pieces(MOST_BYTES), rights)
    return answer(_found(show(uploads.KIND, upload_id)), 202)


@bp.get("/<upload_id>")
@allow("broadcast")
@bp.output(UploadOut)
def get_upload(upload_id: str) -> Response:
    """How far an upload has been read"""
    return answer(_found(upload_id))


def _found(upload_id: str) -> dict[str, object]:
    found = uploads.find(upload_id, producer_id=sight().producer_id, is_test=g.key.is_test)
    if found is None:
        raise Rejected("not_found", f"there is no upload {upload_id[:80]!r}")
    return uploads.shape(found)


def _check_kind() -> None:
    refuse_encoded()
    if request.mimetype not in ("text/csv", "application/octet-stream"):
        raise Rejected("unsupported_media_type", "send the file itself as the body, with Content-Type: text/csv")
    charset = request.mimetype_params.get("charset", "utf-8")
    try:
        is_utf8 = codecs.lookup(charset).name in ("utf-8", "utf-8-sig", "ascii")
    except LookupError:
        is_utf8 = False
    if not is_utf8:
        raise Rejected("unsupported_media_type", f"send the file in UTF-8, not in {charset[:40]!r}")
