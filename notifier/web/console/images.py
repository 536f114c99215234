"""Uploaded images. Viewers look; operators upload and delete.

An upload may have 5 MB, so its request is let in before anything else is read of it: only from operators, and its CSRF
token is checked here.
"""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from notifier.catalogue import images
from notifier.catalogue.image_files import MEDIA_TYPES, MOST_BYTES, MOST_SIDE
from notifier.core.errors import Rejected
from notifier.ground.extensions import csrf
from notifier.queries import images as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import check_token, said

pages = page_blueprint("image_files", url_prefix="/admin/images")

_FRAME = 64 * 1024  # what a form adds to its file


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    return _listing()


def _listing(fault: str | None = None) -> str:
    return render_template(
        "admin/images.html",
        found=queries.page(request.args.get("after")),
        uses=queries.uses(),
        address=images.address,
        path=images.path,
        kilobytes=lambda image: f"{max(image.size // 1000, 1):,}",
        fault=fault,
        accept=",".join(MEDIA_TYPES.values()),
        most_mb=MOST_BYTES // 1_000_000,
        most_side=MOST_SIDE,
    )


@pages.post("")
@allow("operator")
@csrf.exempt
def upload() -> ResponseReturnValue:
    request.max_content_length = MOST_BYTES + _FRAME
    try:
        check_token()
    except RequestEntityTooLarge:
        return _listing(f"The file is too large: at most {MOST_BYTES // 1_000_000} MB."), 413
    file = request.files.get("file")
    if file is None or not file.filename:
        return _listing("Choose an image."), 422
    try:
        image = images.add(file.stream.read(MOST_BYTES + 1), file.filename)
    except Rejected as error:
        return _listing(said(error.detail)), 422
    flash(f"{image.name} is stored. Copy its address into a template.")
    return redirect(url_for("image_files.listing", _anchor=image.digest), 303)


@pages.get("/<digest>/delete")
@allow("operator")
def ask_to_delete(digest: str) -> ResponseReturnValue:
    image = queries.one(digest)
    return render_template(
        "admin/image_delete.html",
        image=image,
        uses=queries.uses().get(digest, ()),
        is_logo=queries.is_a_logo(digest),
        path=images.path(image),
    )


@pages.post("/<digest>/delete")
@allow("operator")
def delete(digest: str) -> ResponseReturnValue:
    try:
        images.delete(digest)
        flash("The image is deleted.")
    except Rejected as error:
        if error.code == "not_found":
            raise
        flash(said(error.detail), "error")
    return redirect(url_for("image_files.listing"), 303)
