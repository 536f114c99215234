"""Uploaded images, for mail programs, pages of other sites and a CDN in front of us.

The address is the digest of the bytes, so it never means another image and is kept for good. No cookie is read or set.
"""

import re

from flask import Response, abort, request

from notifier.catalogue import images
from notifier.web.access import ANYONE, allow, page_blueprint

pages = page_blueprint("images")

_DIGEST = re.compile(r"[0-9a-f]{32}\Z")
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


@pages.get("/images/<digest>.<extension>")
@allow(ANYONE)
def one(digest: str, extension: str) -> Response:
    found = images.find(digest, extension) if _DIGEST.match(digest) and extension in images.MEDIA_TYPES else None
    if found is None:
        abort(404)
    response = Response(found.data, mimetype=found.media_type, headers=_HEADERS)
    response.set_etag(digest)
    response.make_conditional(request)
    return response
