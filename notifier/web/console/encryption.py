"""The keys that encrypt, digest and sign: which are in use, which may be taken out, and encrypting everything anew.
Admins.
"""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.access.sessions import LIFETIME
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.operations import digest_keys, encryption_keys, reencryption
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import said

pages = page_blueprint("encryption", url_prefix="/admin/keys")


@pages.get("")
@allow("admin")
def show() -> ResponseReturnValue:
    return render_template(
        "admin/keys.html",
        keys=encryption_keys.listing(),
        digest_keys=digest_keys.listing(),
        run=reencryption.progress(),
        has_fallback=bool(current_settings().secret_key_fallback),
        days=LIFETIME.days,
    )


@pages.post("/encrypt")
@allow("admin", recent=True)
def encrypt() -> ResponseReturnValue:
    is_new = "new_digest_key" in request.form
    try:
        reencryption.begin(with_new_digest_key=is_new)
        if is_new:
            flash("The new digest key is made. In a minute, when all processes know it, the rest follows by itself.")
        else:
            flash("Everything is being encrypted with the first key. You can leave this page.")
    except Rejected as error:
        flash(said(error.detail), "error")
    return redirect(url_for("encryption.show"), 303)
