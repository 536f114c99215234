"""Accounts of the console, their roles, and invitations. For admins; `access.roles` decides what is allowed."""

from collections.abc import Callable

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from wtforms import EmailField, SelectField
from wtforms.fields import SelectChoice
from wtforms.validators import InputRequired, Length

from notifier.access import accounts, invitations, notices, openid_accounts, passkeys, roles, second_factor
from notifier.core.errors import Rejected
from notifier.ground.config import current_settings
from notifier.ground.ids import parse
from notifier.models import Account
from notifier.models.account import CONSOLE_ROLES, ROLES
from notifier.queries import accounts as queries
from notifier.web.access import allow, page_blueprint
from notifier.web.forms import ConsoleForm, said

pages = page_blueprint("accounts", url_prefix="/admin/accounts")

MAY = {
    "person": "has an inbox and preferences, but no console",
    "viewer": "sees everything except accounts and the audit log, changes nothing",
    "operator": "retries, pauses, opens and closes breakers",
    "admin": "manages everything, including accounts",
}


class InviteForm(ConsoleForm):
    email = EmailField(
        "E-mail", [InputRequired("Enter an e-mail address."), Length(max=254)], render_kw={"autocomplete": "off"}
    )
    role = SelectField(
        "Role", choices=[SelectChoice(role, f"{role.capitalize()}: {MAY[role]}") for role in CONSOLE_ROLES]
    )


class RoleForm(ConsoleForm):
    role = SelectField("Role", choices=[SelectChoice(role, f"{role.capitalize()}: {MAY[role]}") for role in ROLES])


@pages.get("")
@allow("admin")
def listing() -> ResponseReturnValue:
    return _listing(InviteForm(formdata=None))


def _listing(form: InviteForm) -> str:
    text, shown = request.args.get("q", "").strip()[:254].replace("\0", ""), request.args.get("show", "")
    shown = shown if shown in queries.SHOWN else ""
    lines, following = queries.page(text, shown, request.args.get("after"))
    return render_template(
        "admin/accounts.html",
        lines=lines,
        following=following,
        q=text,
        show=shown,
        invited=queries.invitations(),
        form=form,
    )


@pages.post("/invitations")
@allow("admin", recent=True)
def invite() -> ResponseReturnValue:
    form = InviteForm()
    try:
        form.check()
        invitations.invite(form.email.data, form.role.data, by=current_user)
    except Rejected as error:
        return _listing(form.refuse(error)), 422
    flash(
        f"An invitation is on its way to {form.email.data.strip()}. It is valid for {invitations.LIFETIME.days} days."
    )
    return redirect(url_for("accounts.listing"), 303)


@pages.post("/invitations/<invitation_id>/send")
@allow("admin", recent=True)
def send_again(invitation_id: str) -> ResponseReturnValue:
    email = queries.invitation(invitation_id).invitation.email
    _try(
        lambda: invitations.send_again(parse("inv", invitation_id), by=current_user),
        f"A new link is on its way to {email}. The previous one no longer works.",
    )
    return redirect(url_for("accounts.listing"), 303)


@pages.get("/invitations/<invitation_id>/withdraw")
@allow("admin")
def ask_to_withdraw(invitation_id: str) -> ResponseReturnValue:
    return render_template("admin/account_invitation.html", invited=queries.invitation(invitation_id))


@pages.post("/invitations/<invitation_id>/withdraw")
@allow("admin")
def withdraw(invitation_id: str) -> ResponseReturnValue:
    is_withdrawn = invitations.withdraw(parse("inv", invitation_id))
    flash(
        "The invitation has been withdrawn. Its link no longer works."
        if is_withdrawn
        else "That invitation had already been accepted or withdrawn."
    )
    return redirect(url_for("accounts.listing"), 303)


@pages.get("/<account_id>")
@allow("admin")
def one(account_id: str) -> ResponseReturnValue:
    account = queries.one(account_id)
    return _page(account, RoleForm(formdata=None, data={"role": account.role}))


def _page(account: Account, form: RoleForm) -> str:
    provider = current_settings().oidc_issuer if openid_accounts.of_account(account.id) else None
    ways = [provider.name] if provider else []
    if accounts.may_sign_in_here(account.email):
        ways += ["a password"] if account.password_hash else []
        ways += ["an e-mailed link", *(["a passkey"] if passkeys.of_account(account.id) else [])]
    shown = " or ".join(filter(None, (", ".join(ways[:-1]), *ways[-1:])))
    return render_template("admin/account.html", account=account, form=form, provider=provider, ways=shown)


@pages.post("/<account_id>/role")
@allow("admin", recent=True)
def change_role(account_id: str) -> ResponseReturnValue:
    account, form = queries.one(account_id), RoleForm()
    if not form.validate():
        return _page(account, form), 422
    email, role = account.email, form.role.data
    _try(
        lambda: roles.change(account.id, role, by=current_user.id),
        f"{email} now has the role {role}.",
        f"{email} already had the role {role}.",
    )
    return redirect(url_for("accounts.one", account_id=account_id), 303)


@pages.get("/<account_id>/state")
@allow("admin")
def ask_for_state(account_id: str) -> ResponseReturnValue:
    """Asks whether to disable the account, or to enable it again."""
    return render_template("admin/account_state.html", account=queries.one(account_id))


@pages.post("/<account_id>/state")
@allow("admin", recent=True)
def set_state(account_id: str) -> ResponseReturnValue:
    account = queries.one(account_id)
    key, email, is_off = account.id, account.email, request.form.get("state") == "off"
    if is_off:
        _try(
            lambda: roles.disable(key, by=current_user.id),
            f"{email} has been disabled and signed out everywhere.",
            f"{email} was already disabled.",
        )
    else:
        _try(lambda: roles.enable(key, by=current_user.id), f"{email} can sign in again.", f"{email} was not disabled.")
    return redirect(url_for("accounts.one", account_id=account_id), 303)


@pages.get("/<account_id>/second-factor")
@allow("admin")
def ask_to_remove_factor(account_id: str) -> ResponseReturnValue:
    return render_template("admin/account_factor.html", account=queries.one(account_id))


@pages.post("/<account_id>/second-factor")
@allow("admin", recent=True)
def remove_factor(account_id: str) -> ResponseReturnValue:
    """For somebody who has lost their phone; they are told, in case they have not."""
    account, mine = queries.one(account_id), current_user.email
    if account.id == current_user.id:
        flash("You remove your own second factor on the page of your account.", "error")
    elif second_factor.remove(account.id):
        notices.tell(account, notices.FACTOR_REMOVED, by=mine)
        flash(f"{account.email} has no second factor now, and has been signed out everywhere.")
    else:
        flash(f"{account.email} had no second factor.")
    return redirect(url_for("accounts.one", account_id=account_id), 303)


def _try(work: Callable[[], bool | None], done: str, was_so: str = "") -> None:
    """Shows the result: `was_so` if nothing had to be changed."""
    try:
        flash(done if work() is not False else was_so)
    except Rejected as error:
        flash(said(error.detail), "error")
