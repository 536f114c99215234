"""The settings of the OpenID provider that people sign in with (docs/accounts.md), read by `ground.config`."""

from dataclasses import dataclass, field
from typing import Final

from notifier.core.roles import RoleRule
from notifier.ground.variables import Variables, split_url

ISSUER = "OIDC_ISSUER"
# Beside OIDC_ISSUER; docs/accounts.md has the same table as docs/settings.md
SETTINGS: Final = {
    "OIDC_CLIENT_ID": "the client that Notifier is at the provider",
    "OIDC_CLIENT_SECRET": "its secret (none: a public client)",
    "OIDC_NAME": "what the button calls the provider (the host of `OIDC_ISSUER`)",
    "OIDC_ROLES": "which role the values of a claim give, at each sign-in (roles are given in Notifier)",
}


@dataclass(frozen=True, slots=True)
class OpenIdProvider:
    """`issuer` as the provider itself writes it. `roles` None: the provider decides no roles."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    name: str
    roles: RoleRule | None


def read_provider(variables: Variables) -> OpenIdProvider | None:
    """None without OIDC_ISSUER. What does not make sense becomes a fault."""
    issuer = variables.text(ISSUER, "")
    given = {name: variables.secret(name) for name in SETTINGS}
    if not issuer:
        variables.faults += [f"{name} is of no use without {ISSUER}" for name, text in given.items() if text]
        return None
    variables.url(ISSUER, issuer, ("https", "http"))
    parts = split_url(issuer)
    if parts is None or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        variables.faults.append(f"{ISSUER} must be the provider's address as it writes it, https://login.example.com")
    if not given["OIDC_CLIENT_ID"]:
        variables.faults.append(f"OIDC_CLIENT_ID is required with {ISSUER}")
    roles = None
    if text := given["OIDC_ROLES"]:
        try:
            roles = RoleRule.parse(text)
        except ValueError as error:
            variables.faults.append(f"OIDC_ROLES {error}")
    name = given["OIDC_NAME"] or (parts.hostname if parts else None) or issuer
    return OpenIdProvider(issuer, given["OIDC_CLIENT_ID"] or "", given["OIDC_CLIENT_SECRET"], name[:60], roles)


def read_local_sign_in(variables: Variables, *, has_provider: bool) -> frozenset[str] | None:
    """The e-mails that may sign in without the provider; None: everybody."""
    text = variables.text("LOCAL_SIGN_IN", "on")
    if text == "on":
        return None
    emails = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    if not emails or not all("@" in email for email in emails):
        variables.faults.append("LOCAL_SIGN_IN must be on, or the e-mails of accounts for emergencies")
    elif not has_provider:
        variables.faults.append(f"LOCAL_SIGN_IN can name accounts only with {ISSUER}: nobody else could sign in")
    return emails
