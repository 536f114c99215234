"""What people do to their own accounts, in the audit trail: only of those with a role in the console.

People without one would only fill the trail, and their e-mail could not be erased from it. Called by the other modules
of this room that change an account for its owner. What an admin does to an account goes to `ledgers.audit` itself.
"""

from collections.abc import Mapping
from typing import Any

from notifier.ledgers import audit
from notifier.models.account import CONSOLE_ROLES


def write(role: str, action: str, email: str, *, after: Mapping[str, Any] | None = None) -> None:
    """`role`: the account's. Inside the caller's transaction."""
    if role in CONSOLE_ROLES:
        audit.write(action, email, after=after)
