"""Who may see which page. Closed by default: a view without a rule answers 403 to everybody.

`page_blueprint` makes the blueprints of this room; `allow` gives a view its rule. Secrets, roles and erasure ask for a
recent sign-in, too.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.access import second_factor
from notifier.ground import replica
from notifier.ledgers import audit
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.web import reauthentication
from notifier.web.forms import is_storable

ANYONE = "anyone"
SECOND_FACTOR = "second_factor"  # the blueprint of the page on which it is set up
WROTE = "notifier_wrote"  # the cookie of those who have just changed something in the console
VISITOR = "a visitor"  # the actor where nobody is signed in
RULES = (ANYONE, *ROLES)

View = TypeVar("View", bound=Callable[..., Any])


def page_blueprint(name: str, url_prefix: str | None = None) -> Blueprint:
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix)
    blueprint.before_request(_check)
    blueprint.after_request(_keep_private)
    return blueprint


def allow(rule: str, *, recent: bool = False, may_lag: bool = False) -> Callable[[View], View]:
    """`anyone`, or the least role of models.account.ROLES that may call the view. `recent`: of those whose sign-in is
    recent; others are asked again who they are. `may_lag`: what it shows may be some seconds old, except to those who
    have just changed something.
    """
    if rule not in RULES or (recent and rule == ANYONE):
        raise ValueError(rule)

    def mark(view: View) -> View:
        view.rule, view.recent, view.may_lag = rule, recent, may_lag  # type: ignore[attr-defined]
        return view

    return mark


def rule_of(endpoint: str) -> str | None:
    return getattr(current_app.view_functions[endpoint], "rule", None)


def is_for_recent(endpoint: str) -> bool:
    return getattr(current_app.view_functions[endpoint], "recent", False)


def is_local(target: str | None) -> bool:
    """Whether we may redirect there: only to a path of our own, since browsers read `//host`, `/\\host` and
    `/<tab>/host` as another site.
    """
    if not target or not target.startswith("/") or target.startswith("//"):
        return False
    if "\\" in target or any(ord(character) <= 32 or ord(character) == 127 for character in target):
        return False
    parts = urlsplit(target)
    return not parts.scheme and not parts.netloc


def _check() -> ResponseReturnValue | None:
    """htmx would follow a redirect, and show the page that it leads to as what came of a change."""
    answer = _instead()
    if answer is None or "HX-Request" not in request.headers:
        return answer
    response = current_app.make_response(answer)
    return Response(status=401, headers={"HX-Redirect": response.location}) if response.location else response


def _instead() -> ResponseReturnValue | None:
    """What whoever may not call the view gets, or not yet."""
    rule = rule_of(request.endpoint or "")
    if rule == ANYONE:
        audit.acting_as(VISITOR, request.remote_addr)  # not the caller whom this thread served before
        return None
    if rule is None:
        abort(403)
    if not current_user.is_authenticated:
        return _to_sign_in()
    if not current_user.has_role(rule):
        abort(403)
    if rule in CONSOLE_ROLES and second_factor.is_missing(current_user):
        return redirect(url_for(f"{SECOND_FACTOR}.show"), 303)
    names = [*(request.view_args or {}).values(), *request.args.getlist("after")]
    if not all(is_storable(str(name)) for name in names):
        abort(404)  # nothing goes by a name that no database can hold
    audit.acting_as(current_user.email, request.remote_addr)
    if getattr(current_app.view_functions[request.endpoint or ""], "may_lag", False) and WROTE not in request.cookies:
        replica.permit()
    return reauthentication.ask() if is_for_recent(request.endpoint or "") else None


def _keep_private(response: Response) -> Response:
    """Files too, not only pages (`headers`): no cache keeps what needs a sign-in."""
    if rule_of(request.endpoint or "") != ANYONE:
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _to_sign_in() -> ResponseReturnValue:
    if request.method not in ("GET", "HEAD"):
        page = urlsplit(request.headers.get("HX-Current-URL", "")).path
        return redirect(url_for("login.form", next=page if is_local(page) else None), 303)
    target = request.full_path.rstrip("?")
    return redirect(url_for("login.form", next=target if target != "/" else None))
