"""The OpenID provider that people sign in with: is it there, is it the one that is meant, and what if it is away?"""

from collections.abc import Iterator
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime

import sqlalchemy as sa

from notifier.access import openid, openid_provider
from notifier.access.openid_provider import Endpoints, Refused
from notifier.channels.wire.http import Http
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.openid import ISSUER, OpenIdProvider
from notifier.models import Account
from notifier.programs.doctor.findings import Finding, fault, ok, warning
from notifier.programs.doctor.patient import Patient

_APART = timedelta(seconds=openid.CLOCKS_APART_S)
_WHY = {
    "away": ("cannot be reached", "Start it, or correct OIDC_ISSUER. While it is away, nobody signs in with it."),
    "refused_by_provider": (
        "does not say what it is",
        "Open OIDC_ISSUER/.well-known/openid-configuration: it must answer there. A private address or plain http must "
        "be in OUTBOUND_ALLOW.",
    ),
    "discovery_of_another_issuer": (
        "calls itself something else",
        "Set OIDC_ISSUER to what `issuer` is at OIDC_ISSUER/.well-known/openid-configuration, to the letter.",
    ),
    "discovery_without_endpoints": ("does not say where to sign in", "Is it an OpenID provider? Correct OIDC_ISSUER."),
    "no_keys": ("publishes no keys that can be used", "Let it sign with RSA, EC or Ed25519."),
}


def provider(patient: Patient) -> Iterator[Finding]:
    ours = patient.settings.oidc_issuer
    if ours is None:
        yield ok(f"people sign in here by themselves ({ISSUER} is not set)")
        return
    http = Http(patient.settings.outbound_allow, read_s=4.0, total_s=6.0)
    try:
        known = openid_provider.discover(http)
        openid_provider.read_keys(known.keys, http)
    except Refused as refused:
        what, remedy = _WHY[refused.why]
        yield fault(f"{ours.issuer} {what}{f' ({refused.detail})' if refused.detail else ''}", remedy)
    else:
        yield ok(f"people sign in with {ours.issuer}")
        yield from _odd(ours, known)
    finally:
        http.close()
    if patient.answers("database"):
        yield from _emergencies(patient)


def _odd(ours: OpenIdProvider, known: Endpoints) -> Iterator[Finding]:
    if known.algorithms and not set(known.algorithms) & set(openid.ALGORITHMS):
        yield fault(
            f"{ours.issuer} signs with {', '.join(known.algorithms)[:100]} only",
            f"Let it sign with one of {', '.join(openid.ALGORITHMS)}.",
        )
    if known.challenge_methods is not None and "S256" not in known.challenge_methods:
        yield warning(f"{ours.issuer} does not say that it knows PKCE", "Switch PKCE (S256) on for this client there.")
    if ours.client_secret is None and "none" not in known.auth_methods:
        yield warning(
            f"{ours.issuer} may want a secret, and there is none",
            "Set OIDC_CLIENT_SECRET, unless the client is a public one there.",
        )
    date = known.date
    at = parsedate_to_datetime(date).astimezone(UTC) if date else None
    if at is not None and abs(now() - at) > _APART:
        yield fault(
            f"the clock of {ours.issuer} is {round((at - now()).total_seconds())} seconds apart from ours",
            "Set the clock that is wrong (NTP): its tokens are refused as expired, or as of the future.",
        )


def _emergencies(patient: Patient) -> Iterator[Finding]:
    named = patient.settings.local_sign_in
    if named is None:
        return
    good = (Account.email.in_(named), Account.role == "admin", Account.disabled_at.is_(None))
    there = set(db.session.scalars(sa.select(Account.email).where(*good)))
    if not there:
        yield fault(
            "nobody could sign in if the provider were away: LOCAL_SIGN_IN names no admin's account",
            "Add one: python -m notifier create-admin EMAIL",
        )
