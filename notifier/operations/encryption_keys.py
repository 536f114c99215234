"""Which keys of ENCRYPTION_KEYS are in use: noted as a process starts, so that none is taken out too early.

Called by `operations.installation` as the vault is opened, by the console's page of keys and by commands.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.encryption import KeysDoNotFit, vault
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import EncryptionKey


@dataclass(frozen=True, slots=True)
class KeyLine:
    """`is_given`: it is in ENCRYPTION_KEYS. `encrypts`: it is the first there. `since`: it has been first (None: it has
    never been). `unused_at`: since when nothing is encrypted with it (None: something may be).
    """

    id: str
    is_given: bool
    encrypts: bool
    since: datetime | None
    unused_at: datetime | None

    @property
    def may_go(self) -> bool:
        return self.is_given and not self.encrypts and (self.since is None or self.unused_at is not None)


def take_up() -> None:
    """Notes the first key before anything is encrypted with it; where none has been noted yet, all of them. Raises
    KeysDoNotFit if a key is missing that may still be needed.
    """
    noted = {row.id: row.unused_at for row in db.session.scalars(sa.select(EncryptionKey))}
    db.session.rollback()
    missing = missing_of(noted, vault.key_ids)
    if missing:
        raise KeysDoNotFit(sentence(missing))
    first = vault.key_id
    if first in noted and noted[first] is None:
        return
    rows = [{"id": key, "since": now()} for key in ([first] if noted else vault.key_ids)]
    with transaction() as session:
        statement = insert(EncryptionKey.__table__)
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"unused_at": None}), rows)


def missing_of(noted: "dict[str, datetime | None]", given: tuple[str, ...]) -> list[str]:
    """The keys that may still be needed and are not given."""
    return sorted(key for key, unused_at in noted.items() if unused_at is None and key not in given)


def sentence(missing: list[str]) -> str:
    names = " and ".join(missing)
    return (
        f"something may still be encrypted with the key {names}, which ENCRYPTION_KEYS no longer has: put it back at "
        "the end, and encrypt everything anew before it is taken out (docs/keys.md)"
    )


def listing() -> list[KeyLine]:
    """Those that are given, in their order, then those that were."""
    noted = {row.id: row for row in db.session.scalars(sa.select(EncryptionKey).order_by(EncryptionKey.since))}
    given = vault.key_ids
    return [
        KeyLine(
            key,
            key in given,
            key == vault.key_id,
            noted[key].since if key in noted else None,
            noted[key].unused_at if key in noted else None,
        )
        for key in (*given, *(key for key in noted if key not in given))
    ]


def forget(key: str) -> None:
    """For a key that is lost: processes start without it, and what it has encrypted cannot be read. Raises
    Rejected('not_found').
    """
    with transaction() as session:
        lost = sa.update(EncryptionKey).where(EncryptionKey.id == key, EncryptionKey.unused_at.is_(None))
        if session.execute(lost.values(unused_at=now()).returning(EncryptionKey.id)).first() is None:
            raise Rejected("not_found", f"no key {key!r} is in use")
        audit.write("encryption_key.forgotten", key)
