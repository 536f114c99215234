"""Whether signed tokens are still valid: the database's side of `ground.tokens`, for one token or for many at once.

Called by the API, the sockets and the pages behind links in messages. Changes nothing.
"""

from collections.abc import Collection, Iterator
from uuid import UUID

import sqlalchemy as sa

from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.tokens import PreferenceLink, Subject, Token, Unsubscribe, UserToken
from notifier.models import ApiKey, Producer, User

_AT_ONCE = 500


def conditions_of(token: Token) -> tuple[sa.ColumnElement[bool], ...]:
    """Additional conditions for a statement that reads the person (table `user`), so that it finds nobody when the
    token has ended.
    """
    match token:
        case Unsubscribe():
            return User.id == token.user_id, User.generation == token.generation
        case PreferenceLink():
            return *_is_the_same(token.subject), *_is_still_there(None, token.producer_id)
        case UserToken():
            return *_is_the_same(token.subject), *_is_still_there(token.key_id, token.producer_id)


def holding(tokens: Collection[UserToken]) -> set[UserToken]:
    """The tokens that have not ended. A statement for each API key and _AT_ONCE people."""
    at, found = now(), set[UserToken]()
    by_cause: dict[tuple[UUID | None, UUID | None], list[UserToken]] = {}
    for token in tokens:
        if token.expires_at > at:
            by_cause.setdefault((token.key_id, token.producer_id), []).append(token)
    for cause, theirs in by_cause.items():
        for start in range(0, len(theirs), _AT_ONCE):
            some = theirs[start : start + _AT_ONCE]
            wanted = User.id.in_({token.user_id for token in some})
            people = {
                Subject(*row)
                for row in db.session.execute(sa.select(*_SUBJECT).where(wanted, *_is_still_there(*cause)))
            }
            found.update(token for token in some if token.subject in people)
    return found


def subject_of(user_id: str) -> Subject | None:
    """The person who has the id now, as tokens name them. One statement."""
    row = db.session.execute(sa.select(*_SUBJECT).where(User.id == user_id)).first()
    return Subject(*row) if row else None


_SUBJECT = (User.id, User.generation, User.token_version)


def _is_the_same(subject: Subject) -> tuple[sa.ColumnElement[bool], ...]:
    return User.id == subject.user_id, User.generation == subject.generation, User.token_version == subject.version


def _is_still_there(key_id: UUID | None, producer_id: UUID | None) -> Iterator[sa.ColumnElement[bool]]:
    if producer_id is not None:
        yield sa.exists().where(Producer.id == producer_id, Producer.disabled_at.is_(None))
    if key_id is not None:
        lasts = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now())
        yield sa.exists().where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None), lasts)
