"""Provider accounts in the database."""

import pytest
import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.extensions import db
from notifier.models import Provider
from notifier.providers import accounts


@pytest.mark.usefixtures("app")
def test_no_account_has_the_name_of_one_that_the_environment_sets() -> None:
    """They would share a hook, which verifies by the keys of the first, and a breaker: none would stand in."""
    with pytest.raises(Rejected, match="there is already a provider 'slack'"):
        accounts.add("slack", "smtp", {"SMTP_URL": "smtp://127.0.0.1:2525"})
    assert db.session.scalars(sa.select(Provider.name)).all() == []
