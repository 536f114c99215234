"""Signing in with the operator's OpenID provider: begun, come back from, connected with an account, ended.

A browser goes to the provider by a link, never by a form: our policy lets forms lead to ourselves only. What it has to
come back with is in its session, so nobody can be made to come back as somebody else. Connecting is asked for once
more when the person is back, with whom they are there: somebody may have signed them in there as another.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from flask import abort, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.access import notices, openid, openid_accounts, sessions
from notifier.access.openid_provider import Refused, provider
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.ground.extensions import db
from notifier.ground.log_texts import without_secrets
from notifier.web import throttle
from notifier.web.access import ANYONE, allow, is_local, page_blueprint
from notifier.web.language import gettext
from notifier.web.person import login

pages = page_blueprint("openid")

_FLOW, _FOUND = "openid_flow", "openid_found"  # by which the cookie holds what has begun, and who was found
_KEPT_S = 600
_SIGN_IN, _AGAIN, _CONNECT = "sign_in", "again", "connect"
_LONGEST_KEPT_TOKEN = 4096  # so that it fits into an address

log = structlog.get_logger()


@pages.get("/login/provider")
@allow(ANYONE)
def begin() -> ResponseReturnValue:
    return _go(_AGAIN if current_user.is_authenticated and request.args.get("again") else _SIGN_IN)


@pages.get("/account/provider")
@allow("person", recent=True)
def begin_connecting() -> ResponseReturnValue:
    return _go(_CONNECT)


@pages.get("/login/provider/callback")
@allow(ANYONE)
def come_back() -> ResponseReturnValue:
    begun = session.pop(_FLOW, None)
    if begun is None or now().timestamp() - begun["at"] > _KEPT_S:
        return _refuse(Refused(openid.STALE, "stale"), begun)
    address = request.remote_addr or "unknown"
    if not throttle.may_try_again(address):
        return _refuse(Refused(openid.TOO_OFTEN, "too_often"), begun)
    flow = openid.Flow(**begun["flow"])
    db.session.close()  # nothing is held while the provider is asked; what was read stays readable
    try:
        identity = openid.redeem(flow, request.args.to_dict())
        return _GO_ON[begun["purpose"]](identity, begun)
    except Refused as error:
        throttle.note_failure(address)  # each may have cost the provider a question
        return _refuse(error, begun)


@pages.post("/account/provider/connect")
@allow("person", recent=True)
def connect() -> ResponseReturnValue:
    found, account = session.pop(_FOUND, None), current_user._get_current_object()
    if found is None or found["account"] != account.id.hex or now().timestamp() - found["at"] > _KEPT_S:
        flash(gettext(openid.STALE), "error")
        return redirect(url_for("account.show"), 303)
    try:
        openid_accounts.connect(account, found["issuer"], found["subject"])
    except Refused as error:
        flash(words_of(error), "error")
    else:
        notices.tell(account, notices.PROVIDER_CONNECTED)
        flash(gettext("You can sign in with %(name)s from now on.", name=provider().name))
    return redirect(url_for("account.show"), 303)


@pages.post("/account/provider/disconnect")
@allow("person", recent=True)
def disconnect() -> ResponseReturnValue:
    if openid_accounts.disconnect(current_user._get_current_object()):
        flash(gettext("Your account is no longer connected."))
    return redirect(url_for("account.show"), 303)


def words_of(error: Refused) -> str:
    return gettext(error.words, name=provider().name, claim=error.claim)


def _go(purpose: str) -> ResponseReturnValue:
    if current_settings().oidc_issuer is None:
        abort(404)
    begun: dict[str, Any] = {"purpose": purpose, "at": now().timestamp()}
    target = request.args.get("next")
    begun["next"] = target if is_local(target) else None
    address = request.remote_addr or "unknown"
    if not throttle.may_try_again(address):
        return _refuse(Refused(openid.TOO_OFTEN, "too_often"), begun)
    db.session.close()  # as in `come_back`
    try:
        url, flow = openid.begin(again=purpose == _AGAIN)
    except Refused as error:
        throttle.note_failure(address)  # nothing is remembered of a provider that is away
        return _refuse(error, begun)
    session[_FLOW] = {**begun, "flow": {"state": flow.state, "nonce": flow.nonce, "verifier": flow.verifier}}
    return redirect(url)


def _sign_in(identity: openid.Identity, begun: Mapping[str, Any]) -> ResponseReturnValue:
    account = openid_accounts.sign_in_as(identity, provider().roles)
    token = identity.id_token if len(identity.id_token) <= _LONGEST_KEPT_TOKEN else None
    target = begun["next"] or url_for("home.inbox")
    return login.let_in(account, sessions.PROVIDER, target, proven_at=_when(identity), id_token=token)


def _when(identity: openid.Identity) -> datetime | None:
    """When the person last showed who they are there: a sign-in that nobody was asked for proves nothing new."""
    at = identity.authenticated_at
    return None if at is None else datetime.fromtimestamp(min(max(at, 0), now().timestamp()), UTC)


def _prove(identity: openid.Identity, begun: Mapping[str, Any]) -> ResponseReturnValue:
    """The provider has asked them again: that has to be later than our asking."""
    known = openid_accounts.of_account(current_user.id) if current_user.is_authenticated else None
    if known is None or (known.issuer, known.subject) != (identity.issuer, identity.subject):
        raise Refused(openid.CANCELLED, "another_person")
    at = identity.authenticated_at
    if at is None or at < begun["at"] - openid.CLOCKS_APART_S:
        raise Refused(openid.NOT_AGAIN, "not_asked_again")
    sessions.prove(session.get(sessions.KEY))
    return redirect(begun["next"] or url_for("account.show"), 303)


def _find(identity: openid.Identity, _begun: Mapping[str, Any]) -> ResponseReturnValue:
    """Nothing is connected yet: the page of the account shows whom the provider means, and asks."""
    if not current_user.is_authenticated:
        raise Refused(openid.STALE, "signed_out")
    said = identity.claims.get("email") or identity.claims.get("preferred_username") or identity.subject
    found = {"issuer": identity.issuer, "subject": identity.subject, "said": str(said)[:254]}
    session[_FOUND] = {**found, "account": current_user.id.hex, "at": now().timestamp()}
    return redirect(url_for("account.show", _anchor="h-provider"), 303)


_GO_ON = {_SIGN_IN: _sign_in, _AGAIN: _prove, _CONNECT: _find}


def found_here() -> str | None:
    """Whom the provider means, where the account's owner is asked whether to connect it."""
    found = session.get(_FOUND)
    if found is None or not current_user.is_authenticated or found["account"] != current_user.id.hex:
        return None
    return str(found["said"])


def _refuse(error: Refused, begun: Mapping[str, Any] | None) -> ResponseReturnValue:
    """The callback's address holds a code, so the words are said elsewhere."""
    log.warning("openid.refused", why=error.why, claim=error.claim, detail=without_secrets(error.detail))
    if current_settings().oidc_issuer is None:
        abort(404)
    flash(words_of(error), "error")
    is_in = current_user.is_authenticated and (begun or {}).get("purpose") != _SIGN_IN
    return redirect(url_for("account.show" if is_in else "login.form"), 303)
