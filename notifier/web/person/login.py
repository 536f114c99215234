"""Signing in and out. A failed sign-in does not say which half was wrong, and takes the same time for both.

A mailed link is requested with an e-mail only. The answer is the same for everybody, even when no further link is sent
because strangers have asked for too many, and goes out before anybody is looked up. Opening the link changes nothing,
since mail scanners do: its button signs in.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from flask import (
    Flask,
    Response,
    after_this_request,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user, logout_user
from wtforms import EmailField, PasswordField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from notifier.access import accounts, openid, passkeys, second_factor, sessions, sign_in
from notifier.access.openid_provider import provider
from notifier.core import devices
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import csrf, socketio
from notifier.ground.languages import N_
from notifier.ledgers import audit
from notifier.models import Account
from notifier.web import rates, throttle
from notifier.web.access import ANYONE, allow, is_local, page_blueprint
from notifier.web.forms import PersonForm, check_token, stripped
from notifier.web.language import choose_again, gettext, lazy

pages = page_blueprint("login")

_DEVICE = "notifier_device"
_DEVICE_KEPT = timedelta(days=180)
_HALFWAY = "halfway"  # by which the cookie holds who is asked for a second factor
_HALFWAY_FOR = timedelta(minutes=10)

log = structlog.get_logger()


class SignIn(PersonForm):
    email = EmailField(
        N_("E-mail"), [DataRequired(lazy("Enter your e-mail address.")), Length(max=254)], filters=[stripped]
    )
    password = PasswordField(N_("Password"), [InputRequired(lazy("Enter your password.")), Length(max=1024)])


class CodeForm(PersonForm):
    code = StringField("", [InputRequired(), Length(max=20)])


@pages.get("/login")
@allow(ANYONE)
def form() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(target())
    return _page(SignIn())


@pages.post("/login")
@allow(ANYONE)
def by_password() -> ResponseReturnValue:
    form = SignIn()
    if not form.validate():
        return _page(form), 422
    email, address = form.email.data.lower(), _address()
    with throttle.attempt(email, address, _device_of(email)) as one:
        account = None if one.retry_after_s else accounts.check_password(email, form.password.data)
    if one.retry_after_s:
        return _too_many(form, one.retry_after_s)
    if account is None or not accounts.may_sign_in_here(email):
        return _page(form, gettext("Wrong e-mail or password.")), 401
    throttle.succeed(one)
    return let_in(account, sessions.PASSWORD, target())


@pages.post("/login/link")
@allow(ANYONE)
def ask_for_link() -> ResponseReturnValue:
    form = SignIn()
    if not form.email.validate(form):
        return _page(form), 422
    email = form.email.data
    if not rates.may_ask_for_link(email.lower(), _address()):
        return _too_many(form, rates.seconds_left())
    if rates.may_send_link(email.lower()) and accounts.may_sign_in_here(email):
        socketio.start_background_task(_send_link, current_app._get_current_object(), email)  # type: ignore[attr-defined]
    return render_template("login_link.html", sent_to=email)


@pages.get("/login/link/<secret>")
@allow(ANYONE)
def show_link(secret: str) -> ResponseReturnValue:
    return _link_page(is_good=sign_in.is_good(secret))


@pages.post("/login/link/<secret>")
@csrf.exempt
@allow(ANYONE)
def use_link(secret: str) -> ResponseReturnValue:
    check_token()
    account = sign_in.redeem(secret)
    if account is None:
        return _link_page(is_good=False)
    return let_in(account, sessions.LINK, url_for("home.inbox"))


@pages.get("/login/code")
@allow(ANYONE)
def ask_for_code() -> ResponseReturnValue:
    known = halfway()
    return redirect(url_for("login.form")) if known is None else _code_page(known[0])


@pages.post("/login/code")
@allow(ANYONE)
def by_code() -> ResponseReturnValue:
    known, form = halfway(), CodeForm()
    if known is None:
        return redirect(url_for("login.form"), 303)
    account, way, leads_to = known
    if not form.validate():
        return _code_page(account, gettext("That is not a valid code.")), 422
    one = throttle.begin_code(account.id.hex, _address(), _device_of(account.email))
    if one.retry_after_s:
        wait = throttle.in_words(one.retry_after_s)
        said = gettext("Too many attempts. Wait %(wait)s, then try again.", wait=wait)
        return _code_page(account, said), 429, {"Retry-After": str(one.retry_after_s)}
    if not second_factor.use(account.id, form.code.data):
        return _code_page(account, gettext("That is not a valid code.")), 401
    throttle.succeed_code(one)
    enter(account, way, proven_at=now())
    return redirect(leads_to, 303)


@pages.post("/logout")
@allow(ANYONE)
def sign_out() -> ResponseReturnValue:
    came_with_provider, id_token = sessions.of_provider(session.get(sessions.KEY))
    leave()
    if came_with_provider and current_settings().oidc_issuer is not None:
        # By a link: the policy of our pages lets forms lead to ourselves only
        return render_template("signed_out.html", url=openid.sign_out_url(id_token), name=provider().name)
    flash(gettext("You have signed out."))
    return redirect(url_for("login.form"), 303)


def let_in(
    account: Account, way: str, target: str, *, proven_at: datetime | None = None, id_token: str | None = None
) -> ResponseReturnValue:
    """Signs in who has shown one proof of who they are, and sends them on to `target`; or asks for the second one.

    Halfway, the browser holds (signed) who has shown what; nobody is signed in by that. `proven_at` and `id_token`: as
    in `sessions.begin`.
    """
    if way != sessions.PROVIDER and not accounts.may_sign_in_here(account.email):
        return refuse_local()
    if account.second_factor_at is None:
        enter(account, way, proven_at=proven_at, id_token=id_token)
        return redirect(target, 303)
    session[_HALFWAY] = {"account": account.id.hex, "way": way, "at": now().timestamp(), "target": target}
    return redirect(url_for("login.ask_for_code"), 303)


def halfway() -> tuple[Account, str, str] | None:
    """Who has to show a second proof here: the account, how they came, and where they want to go."""
    known = session.get(_HALFWAY)
    if known is None or now().timestamp() - known["at"] > _HALFWAY_FOR.total_seconds():
        return None
    account = accounts.find(UUID(hex=known["account"]))
    return None if account is None else (account, known["way"], known["target"])


def _code_page(account: Account, error: str | None = None) -> str:
    words = {"has_app": second_factor.has_app(account.id), "has_passkeys": bool(passkeys.of_account(account.id))}
    return render_template("login_code.html", form=CodeForm(), error=error, **words)


def refuse_local() -> ResponseReturnValue:
    """To who could sign in, if that were not for the provider alone."""
    flash(gettext("Sign in with %(name)s. Other ways are for emergencies.", name=provider().name), "error")
    return redirect(url_for("login.form"), 303)


def enter(account: Account, way: str, *, proven_at: datetime | None = None, id_token: str | None = None) -> None:
    """Signs the person in, instead of anybody who was signed in here. `way`: how they proved who they are, and the
    rest: as in `sessions.begin`.

    A failed sign-in is not in the audit trail: it names nobody, and strangers could fill the table.
    """
    with audit.acting_as(account.email, request.remote_addr):
        device = devices.name_of(request.user_agent.string)
        before = session.get(sessions.KEY)
        more: dict[str, Any] = {"proven_at": proven_at, "id_token": id_token}
        session_id = sessions.begin(account, way, device=device, instead_of=before, **more)
    session.clear()  # nothing that was in the session before may be in it afterwards
    session.permanent = True
    session[sessions.KEY] = session_id
    login_user(account)
    choose_again()
    _remember_device(account.email)


def leave() -> None:
    """Signs out in this browser; copies of its cookie stop working, too."""
    sessions.end(session.get(sessions.KEY))
    logout_user()
    session.clear()
    choose_again()


def account_of_session(account_id: str) -> Account | None:
    """The account of this request's session; None if the session has ended, or the account may not sign in."""
    account = sessions.find(session.get(sessions.KEY))
    return account if account is not None and account.get_id() == account_id else None


def _page(form: SignIn, error: str | None = None) -> str:
    settings = current_settings()
    return render_template(
        "login.html",
        form=form,
        next=_next(),
        error=error,
        takes_passkeys=passkeys.is_possible(),
        provider=settings.oidc_issuer,
        is_for_emergencies=settings.local_sign_in is not None,
    )


def _send_link(app: Flask, email: str) -> None:
    with app.app_context():
        try:
            sign_in.send_link(email)
        except Exception:  # nobody waits for an answer any more
            log.exception("sign_in.link_not_sent")


def _link_page(*, is_good: bool) -> ResponseReturnValue:
    response = make_response(
        render_template("login_link.html", sent_to=None, is_good=is_good, form=SignIn()), 200 if is_good else 404
    )
    if is_good:
        response.headers["Referrer-Policy"] = "no-referrer"  # the address is the secret
    return response


def _too_many(form: SignIn, seconds: int) -> ResponseReturnValue:
    advice = (
        N_("Too many attempts. Wait %(wait)s, then try again, or ask for a sign-in link.")
        if request.endpoint == "login.by_password"
        else N_("Too many attempts. Wait %(wait)s, then try again.")
    )
    return _page(form, gettext(advice, wait=throttle.in_words(seconds))), 429, {"Retry-After": str(seconds)}


def _device_of(email: str) -> str | None:
    """Which browser this is, if somebody has signed in here with that e-mail before."""
    known = tokens.read_device(request.cookies.get(_DEVICE, ""))
    return known.number if known is not None and known.email == email else None


def _remember_device(email: str) -> None:
    """Kept beside the session, and longer: it opens nothing,
    and says only that tries from here are not a stranger's.
    """

    @after_this_request
    def add(response: Response) -> Response:
        is_secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
        response.set_cookie(
            _DEVICE,
            tokens.sign_device(email),
            max_age=_DEVICE_KEPT,
            path="/login",
            httponly=True,
            samesite="Lax",
            secure=is_secure,
        )
        return response


def _address() -> str:
    return request.remote_addr or "unknown"


def _next() -> str | None:
    target = request.values.get("next")
    return target if is_local(target) else None


def target() -> str:
    """Where the person wants to go."""
    return _next() or url_for("home.inbox")
