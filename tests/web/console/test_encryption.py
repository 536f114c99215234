"""The page of keys: what may be taken out, and encrypting everything anew."""

import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.database import transaction
from notifier.ground.encryption import KeyRing, vault
from notifier.ground.extensions import db
from notifier.models import AuditEntry, EncryptionKey, Reencryption
from notifier.operations import encryption_keys
from tests.web.conftest import Visitor


@pytest.fixture
def keys(app: APIFlask, settings: Settings) -> Iterator[tuple[str, str]]:
    """The ids of a new key, and of the one before."""
    encryption_keys.take_up()
    new = KeyRing.parse(KeyRing.generate()).keys
    vault.open(KeyRing((*new, *settings.encryption_keys.keys)))
    encryption_keys.take_up()
    yield new[0][0], settings.encryption_keys.keys[0][0]
    vault.open(settings.encryption_keys)


def states(page: str) -> list[str]:
    words = re.sub(r"<[^>]+>", " ", page.partition("<tbody>")[2].partition("</tbody>")[0])
    return re.findall(r"\b(encrypts|may be taken out|still needed|missing)\b", words)


def test_an_admin_has_everything_encrypted_anew_and_sees_when_the_old_key_may_go(
    signed_in: Callable[..., Visitor], keys: tuple[str, str]
) -> None:
    admin = signed_in("admin")
    assert states(admin.get("/admin/keys").text) == ["encrypts", "still needed"]
    assert admin.post("/admin/keys/encrypt").location == "/admin/keys"
    page = admin.get("/admin/keys").text
    assert ("Under way since" in page, 'value="0"' in page, "Nothing happens" in page) == (True, True, False)
    admin.post("/admin/keys/encrypt")
    assert "is being encrypted with" in admin.get("/admin/keys").text
    with transaction() as session:
        session.execute(sa.update(Reencryption).values(finished_at=now(), wake_at=None, unreadable={"k0": 3}))
        session.execute(sa.update(EncryptionKey).where(EncryptionKey.id == keys[1]).values(unused_at=now()))
    page = admin.get("/admin/keys").text
    assert states(page) == ["encrypts", "may be taken out"]
    assert "3 values need the key k0" in re.sub(r"\s+", " ", page)
    told = db.session.scalars(sa.select(AuditEntry.action).where(AuditEntry.subject == keys[0])).all()
    assert told == ["reencryption.started"]
