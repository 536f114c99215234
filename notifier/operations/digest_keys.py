"""The digest keys after the first: made here, taken up by every process within seconds, stored from a moment later on.

Called by `operations.installation` as the vault is opened, by long-running processes every few seconds, and by
`operations.reencryption`. `ground.encryption` says how the keys work together, `people.redigesting` what becomes of
addresses while one replaces another.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.encryption import MOST_DIGEST_KEYS, vault
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import DigestKey

# Every process reads them at least every 5 s as it writes (`ground.database.look_often`)
STORED_AFTER = timedelta(seconds=30)
LOOKED_AFTER = 2 * STORED_AFTER  # then nothing is stored by the key before any more
_BYTES = 32


@dataclass(frozen=True, slots=True)
class DigestKeyLine:
    """`stored_from` None: the first, which every installation has. `is_stored`: digests of it are stored now.
    `is_left`: some of it may still be, although a later one is there.
    """

    number: int
    stored_from: datetime | None
    is_stored: bool
    is_left: bool


def take_up(first: bytes | None = None) -> None:
    """This process knows all keys from here on. `first`: the installation's; None: as it is known. One statement."""
    rows = db.session.execute(
        sa.select(DigestKey.number, DigestKey.secret, DigestKey.stored_from, DigestKey.finished_at).order_by(
            DigestKey.number
        )
    ).all()
    at = now()
    vault.use_digest_keys(
        [first or vault.first_digest_key, *(bytes.fromhex(row.secret) for row in rows)],
        stored=max([1, *(row.number for row in rows if row.stored_from <= at)]),
        oldest=max([1, *(row.number for row in rows if row.finished_at is not None)]),
    )


def newest() -> int:
    """The number of the last one, whether its digests are stored yet or not."""
    return db.session.scalar(sa.select(sa.func.max(DigestKey.number))) or 1


def add() -> int:
    """Makes the next one; → its number. Inside the caller's transaction. Raises Rejected('conflict') while the one
    before is still being given to everything.
    """
    number = newest() + 1
    unfinished = sa.select(DigestKey.number).where(DigestKey.finished_at.is_(None))
    if db.session.scalar(unfinished.limit(1)) is not None:
        raise Rejected("conflict", f"everything is still being digested with the digest key {number - 1}")
    if number > MOST_DIGEST_KEYS:
        raise Rejected("conflict", f"there are {MOST_DIGEST_KEYS} digest keys, and can be no more")
    at = now()
    row = {"number": number, "secret": secrets.token_hex(_BYTES), "created_at": at, "stored_from": at + STORED_AFTER}
    db.session.execute(sa.insert(DigestKey.__table__), row)
    audit.write("digest_key.added", str(number))
    return number


def looked_from(number: int) -> datetime | None:
    """From when nothing is stored by the key before that one any more. None: long since."""
    stored_from = db.session.scalar(sa.select(DigestKey.stored_from).where(DigestKey.number == number))
    return None if stored_from is None else stored_from + LOOKED_AFTER - STORED_AFTER


def finish(number: int, at: datetime) -> None:
    """Nothing is stored by an older one any more. Inside the caller's transaction."""
    unfinished = sa.update(DigestKey).where(DigestKey.number <= number, DigestKey.finished_at.is_(None))
    db.session.execute(unfinished.values(finished_at=at))


def listing() -> list[DigestKeyLine]:
    """The newest first."""
    at = now()
    rows = db.session.execute(sa.select(DigestKey.number, DigestKey.stored_from, DigestKey.finished_at)).all()
    stored = max([1, *(row.number for row in rows if row.stored_from <= at)])
    oldest = max([1, *(row.number for row in rows if row.finished_at is not None)])
    since: dict[int, datetime | None] = {1: None, **{row.number: row.stored_from for row in rows}}
    return [
        DigestKeyLine(number, since[number], is_stored=number == stored, is_left=oldest <= number < stored)
        for number in sorted(since, reverse=True)
    ]
