"""Staff: people with a role in the console. Alerts and sign-in links reach them by what is stored about them.

Whoever changes people on behalf of a producer asks here first: staff are changed by themselves, or by an admin.
"""

from collections.abc import Collection

import sqlalchemy as sa

from notifier.ground.extensions import db
from notifier.models import Account
from notifier.models.account import CONSOLE_ROLES


def among(user_ids: Collection[str]) -> set[str]:
    """Those of them whose account has a role in the console, disabled or not. One query; none without ids."""
    if not user_ids:
        return set()
    has_role = (Account.user_id.in_(user_ids), Account.role.in_(CONSOLE_ROLES))
    return set(db.session.scalars(sa.select(Account.user_id).where(*has_role)))
