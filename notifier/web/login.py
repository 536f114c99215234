"""Signing in and out. Says nothing about which half of a sign-in was wrong, and takes the same time for both."""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_user, logout_user
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField
from wtforms.validators import InputRequired, Length

from notifier import accounts
from notifier.web import throttle
from notifier.web.access import ANYONE, allow, is_local, page_blueprint

pages = page_blueprint("login")


class SignIn(FlaskForm):  # type: ignore[misc]
    email = EmailField("E-mail", [InputRequired("Enter your e-mail address."), Length(max=254)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=1024)])


@pages.get("/login")
@allow(ANYONE)
def form() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(_target())
    return render_template("login.html", form=SignIn(), next=_next())


@pages.post("/login")
@allow(ANYONE)
def sign_in() -> ResponseReturnValue:
    form = SignIn()
    if not form.validate():
        return render_template("login.html", form=form, next=_next()), 422
    email, address = form.email.data.strip().lower(), request.remote_addr or "unknown"
    if not throttle.may_try(email, address):
        message = "Too many tries. Wait a few minutes, then try again."
        return render_template("login.html", form=form, next=_next(), error=message), 429, {"Retry-After": str(throttle.seconds_left())}
    account = accounts.check_password(email, form.password.data)
    if account is None:
        throttle.note_failure(address)
        return render_template("login.html", form=form, next=_next(), error="E-mail or password is wrong."), 401
    throttle.note_success(email, address)
    session.clear()  # nothing that was in the session before may be in it afterwards
    session.permanent = True
    login_user(account)
    return redirect(_target(), 303)


@pages.post("/logout")
@allow(ANYONE)
def sign_out() -> ResponseReturnValue:
    logout_user()
    session.clear()
    flash("You are signed out.")
    return redirect(url_for("login.form"), 303)


def _next() -> str | None:
    target = request.values.get("next")
    return target if is_local(target) else None


def _target() -> str:
    return _next() or url_for("home.inbox")
