"""Lists of people, uploaded as CSV files for broadcasts. Viewers look; admins upload.

A file may have 200 MB, so its request is let in before anything else is read of it: only from admins, and its CSRF
token is checked here. A worker reads the list; the page of one follows that.
"""

from collections.abc import Iterator
from typing import IO

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.core.errors import Rejected
from notifier.ground.extensions import csrf
from notifier.ground.ids import show
from notifier.people import uploads
from notifier.people.upload_reading import MOST_TOLD
from notifier.people.uploads import MOST_BYTES, Rights
from notifier.queries import uploads as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import check_token, said

pages = page_blueprint("people_lists", url_prefix="/admin/broadcasts/lists")

_SHOWN = 50
_FRAME = 64 * 1024  # what a form adds to its file
_AT_ONCE = 64 * 1024


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return _listing()


def _listing(fault: str | None = None) -> str:
    found = queries.page(request.args.get("after"), _SHOWN)
    return render_template("admin/people_lists.html", found=found, fault=fault, most_mb=MOST_BYTES // 1_000_000)


@pages.post("")
@allow("admin")
@csrf.exempt
def upload() -> ResponseReturnValue:
    request.max_content_length = MOST_BYTES + _FRAME
    try:
        check_token()
    except RequestEntityTooLarge:
        return _listing(f"The file is too large: at most {MOST_BYTES // 1_000_000} MB."), 413
    file = request.files.get("file")
    if file is None or not file.filename:
        return _listing("Choose a CSV file."), 422
    rights = Rights(
        producer_id=None,
        is_test=False,
        may_change_people=bool(request.form.get("may_change")),
        may_change_staff=False,
        actor=current_user.email,
    )
    try:
        upload_id = uploads.receive(_pieces(file.stream), rights)
    except Rejected as error:
        return _listing(said(error.detail)), 422
    flash("The file has been taken in, and is being read.")
    return redirect(url_for("people_lists.one", upload_id=show(uploads.KIND, upload_id)), 303)


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(_AT_ONCE):
        yield piece


@pages.get("/<upload_id>")
@allow("viewer")
def one(upload_id: str) -> ResponseReturnValue:
    return render_template("admin/people_list.html", line=queries.one(upload_id), most_told=MOST_TOLD)
