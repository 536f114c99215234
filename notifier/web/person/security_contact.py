"""`/.well-known/security.txt` (RFC 9116): where to report a security problem of this installation, if it says so."""

from datetime import timedelta

from flask import Response, abort
from flask.typing import ResponseReturnValue

from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.web.access import ANYONE, allow, page_blueprint

pages = page_blueprint("security_contact")

_GOOD_FOR = timedelta(days=30)


@pages.get("/.well-known/security.txt")
@allow(ANYONE)
def show() -> ResponseReturnValue:
    settings = current_settings()
    if settings.security_contact is None:
        abort(404)
    expires = (now() + _GOOD_FOR).strftime("%Y-%m-%dT%H:%M:%SZ")
    canonical = settings.link(".well-known", "security.txt")
    return Response(
        f"Contact: {settings.security_contact}\nExpires: {expires}\nCanonical: {canonical}\n", mimetype="text/plain"
    )
