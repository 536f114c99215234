"""The roles of accounts, and which one the claims of an OpenID provider give (`OIDC_ROLES`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALL = ("person", "viewer", "operator", "admin")  # each may do what those before it may
OF_CONSOLE = ALL[1:]  # may look into the admin console
ANYBODY = "*"


class ClaimMissing(Exception):
    """The provider does not say what the roles depend on."""


@dataclass(frozen=True, slots=True)
class RoleRule:
    """`claim`: its name, or the way to it (`realm_access.roles`). `roles`: one of its values → role. `otherwise`: the
    role of everybody else; None: they may not sign in.
    """

    claim: str
    roles: Mapping[str, str]
    otherwise: str | None

    @classmethod
    def parse(cls, text: str) -> "RoleRule":
        """`groups: notifier-admins=admin, support=viewer, *=person`. Raises ValueError with a sentence."""
        claim, _, rest = text.strip().partition(" ")
        pairs = [part.rpartition("=")[::2] for part in rest.split(",") if part.strip()]
        roles = {value.strip(): role.strip() for value, role in pairs}
        if not claim.endswith(":") or claim == ":" or not roles or "" in roles:
            raise ValueError("must be like `groups: notifier-admins=admin, support=viewer, *=person`")
        unknown = [role for role in roles.values() if role not in ALL]
        if unknown:
            raise ValueError(f"names the role {unknown[0][:40]!r}; the roles are {', '.join(ALL)}")
        return cls(claim[:-1], {value: roles[value] for value in roles if value != ANYBODY}, roles.get(ANYBODY))

    def role_of(self, claims: Mapping[str, Any]) -> str | None:
        """The highest of all that the claim's values give. Raises ClaimMissing where it is not there and nobody without
        it may sign in.
        """
        found = self.find(claims)
        if found is None and self.otherwise is None:
            raise ClaimMissing(self.claim)
        values = found if isinstance(found, list) else [found]
        given = [self.roles[value] for value in values if isinstance(value, str) and value in self.roles]
        return max(given, key=ALL.index) if given else self.otherwise

    def find(self, claims: Mapping[str, Any]) -> Any:
        """The claim; None where it is not there."""
        if self.claim in claims:
            return claims[self.claim]
        found: Any = claims
        for step in self.claim.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found
