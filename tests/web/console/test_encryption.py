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
from notifier.models import AuditEntry, DigestKey, EncryptionKey, Reencryption
from notifier.operations import digest_keys, encryption_keys
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


@pytest.fixture
def take_up(app: APIFlask) -> Iterator[Callable[[], None]]:
    def _take_up() -> None:
        digest_keys.take_up()
        db.session.rollback()

    yield _take_up
    vault.use_digest_keys([vault.first_digest_key])


def test_an_admin_makes_a_digest_key_and_sees_what_the_one_before_still_opens(
    signed_in: Callable[..., Visitor], take_up: Callable[[], None]
) -> None:
    def states() -> list[str]:
        listed = re.sub(r"\s+", " ", admin.get("/admin/keys").text.partition("<ul>")[2].partition("</ul>")[0])
        said = ("everything that is written", "used in a minute", "with it alone</strong>", "nothing can be guessed")
        return [phrase for line in listed.split("<li>")[1:] for phrase in said if phrase in line]

    admin = signed_in("admin")
    assert states() == ["everything that is written"]
    admin.post("/admin/keys/encrypt", {"new_digest_key": "on"})
    assert states() == ["used in a minute", "everything that is written"]
    assert "Make a new digest key" not in admin.get("/admin/keys").text
    assert "when all processes know the digest key 2" in re.sub(r"\s+", " ", admin.get("/admin/keys").text)
    with transaction() as session:
        session.execute(sa.update(DigestKey).values(stored_from=now()))
    take_up()
    assert states() == ["everything that is written", "with it alone</strong>"]
    with transaction() as session:
        session.execute(sa.update(DigestKey).values(finished_at=now()))
        session.execute(sa.update(Reencryption).values(finished_at=now(), wake_at=None))
    assert states() == ["everything that is written", "nothing can be guessed"]
    assert "Make a new digest key" in admin.get("/admin/keys").text
    told = db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id.desc()).limit(2)).all()
    assert told == ["reencryption.started", "digest_key.added"]
