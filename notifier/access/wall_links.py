"""Links to the wall: made, listed and revoked by admins; whoever has one sees the overview's figures and nothing else.
They end with the admin who made them.

Called by `web.console.wall` and `access.roles`. The secret is shown once; the database holds its SHA-256.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import sqlalchemy as sa

from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import UNAVAILABLE, transaction
from notifier.ground.extensions import db
from notifier.ledgers import audit
from notifier.models import Account, WallLink
from notifier.models.account import ROLES

MOST = 20
LONGEST_NAME = 60
_NOTED_EVERY = timedelta(hours=1)


def make(name: str, by: str) -> str:
    """→ the secret of the link. `by`: an admin's e-mail. Raises Rejected when there are MOST, or for one who is no
    admin any more.
    """
    secret = secrets.token_urlsafe(32)
    with transaction() as session:
        is_admin = (Account.email == by, Account.role == ROLES[-1], Account.disabled_at.is_(None))
        if session.scalar(sa.select(Account.id).where(*is_admin).with_for_update(read=True)) is None:
            raise Rejected("conflict", "Nothing was made: you are no longer an admin.")
        if (session.scalar(sa.select(sa.func.count()).select_from(WallLink)) or 0) >= MOST:
            raise Rejected("conflict", f"There are {MOST} links already. Revoke one first.")
        session.add(WallLink(name=name, digest=_digest(secret), made_by=by))
        audit.write("wall_link.made", name)
    return secret


def find(secret: str) -> WallLink | None:
    """The link of that secret, if it is still good. Notes that it is used, once an hour."""
    link = db.session.scalar(sa.select(WallLink).where(WallLink.digest == _digest(secret)))
    if link is not None and (link.used_at is None or link.used_at < now() - _NOTED_EVERY):
        db.session.expunge(link)
        with (
            suppress(*UNAVAILABLE),
            transaction() as session,
        ):  # a wall hangs before a database that takes no writes, too
            session.execute(sa.update(WallLink).where(WallLink.id == link.id).values(used_at=now()))
    return link


def listing() -> Sequence[WallLink]:
    return db.session.scalars(sa.select(WallLink).order_by(WallLink.id)).all()


def revoke(link_id: UUID) -> bool:
    """→ whether there was such a link. It opens nothing from then on."""
    with transaction() as session:
        link = session.get(WallLink, link_id)
        if link is not None:
            audit.write("wall_link.revoked", link.name)
            session.delete(link)
    return link is not None


def end_those_of(email: str) -> None:
    """They would show figures to somebody who may see none any more. Inside the caller's transaction."""
    ended = sa.delete(WallLink).where(WallLink.made_by == email).returning(WallLink.name)
    for name in db.session.scalars(ended.execution_options(synchronize_session=False)).all():
        audit.write("wall_link.revoked", name, before={"made_by": email})


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
