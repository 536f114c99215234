"""The facts about people that planning needs, cached in Redis for at most an hour: name, locale, time zone and
preferences (PREFERENCE_CACHE).

`recall` answers for a whole batch with one MGET. Code that changes or erases a person does so within `changing`, inside
the transaction and with the person's row locked. A change holds from the moment its transaction has ended, so before
anybody is told "saved". Why no older value is ever used after that:

1. Before the commit the person is *closed*: the value is deleted, and the stamp says closed.
2. A reader who finds no value takes the stamp before it reads the database, and its value is accepted only if the stamp
   is still the same, and not closed (one Lua script). So a value read before the person was opened again, whether the
   reading began before or after the closing, is never accepted.
3. After the commit, or the rollback, the person is opened: value and stamp are deleted (a FLUSHALL meanwhile may have
   undone the closing), unless another change has closed them since.
4. If the process dies in between, the person stays closed: not cached for two hours, but correct.
5. If Redis cannot be reached to close a person, the change raises the *revision* in its own transaction, and waits
   until every process has noticed. Values of an older revision are never used again, whatever Redis returns with.

Addresses are not cached: rows refer to them, and the claim reads the database anyway.
"""

import contextlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import redis
import sqlalchemy as sa
import structlog

from notifier.ground.config import current_settings
from notifier.ground.database import afterwards, insert, look_again
from notifier.ground.extensions import db, redis_store
from notifier.ground.kept import LIFE_S, kept
from notifier.models import Revision

CEILING_S = 3600
_STAMP_S = 2 * CEILING_S
_CLOSED = "closed:"
_PEOPLE = "people"
_MARGIN_S = 0.5  # for callers that have just checked the revision

_TAKE_STAMPS = """
local stamps = {}
for i, key in ipairs(KEYS) do
  redis.call('SET', key, ARGV[1], 'NX', 'EX', ARGV[2])
  stamps[i] = redis.call('GET', key)
end
return stamps
"""
# KEYS: value and stamp of each. ARGV: seconds, then the stamp that was taken and the value of each.
_FILL = """
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i + 1]) == ARGV[i + 1] then
    redis.call('SET', KEYS[i], ARGV[i + 2], 'EX', ARGV[1])
    redis.call('DEL', KEYS[i + 1])
  end
end
"""
# KEYS: value and stamp of each. ARGV: the stamp it was closed with.
_OPEN = """
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  local stamp = redis.call('GET', KEYS[i + 1])
  if stamp and (stamp == ARGV[1] or string.sub(stamp, 1, 7) ~= 'closed:') then redis.call('DEL', KEYS[i + 1]) end
end
"""

log = structlog.get_logger()

Profile = dict[str, Any]  # as JSON takes it
Read = Callable[[Collection[str]], dict[str, Profile]]


def recall(ids: Collection[str], read: Read) -> dict[str, Profile]:
    """The existing ones of `ids`; `read` is called for all that are not cached. Without Redis, or the
    setting, for all.
    """
    if not ids or not current_settings().preference_cache or redis_store.is_away():
        return read(ids)
    revision = _revision()
    try:
        found = _look_up(list(ids), revision)
        missing = [user_id for user_id in ids if user_id not in found]
        stamps = _take_stamps(missing) if missing else {}
    except redis.RedisError as error:
        log.warning("people_cache.redis_away", error=type(error).__name__)
        return read(ids)
    if not missing:
        return found
    look_again()  # a value must be as young as its stamp
    fresh = read(missing)
    _fill(
        {user_id: {**profile, "revision": revision} for user_id, profile in fresh.items() if user_id in stamps}, stamps
    )
    return found | fresh


def changing(ids: Iterable[str], *, is_consent: bool) -> None:
    """These people are about to change in the running transaction. While Redis is away, a change that is no consent may
    take effect two seconds later.
    """
    people = sorted(set(ids))
    if not people or not current_settings().preference_cache:
        return
    stamp = _CLOSED + uuid4().hex
    if not _close(people, stamp):
        _raise_revision()
        if is_consent:
            afterwards(partial(time.sleep, LIFE_S + _MARGIN_S))
    afterwards(partial(_open, people, stamp))


def _look_up(ids: Sequence[str], revision: int) -> dict[str, Profile]:
    values = redis_store.client.mget([_value(user_id) for user_id in ids])
    known = {user_id: json.loads(value) for user_id, value in zip(ids, values, strict=True) if value is not None}
    # A process of the version before may have kept a person without what tokens name.
    return {
        user_id: profile
        for user_id, profile in known.items()
        if profile["revision"] == revision and "generation" in profile
    }


def _take_stamps(ids: Sequence[str]) -> dict[str, str]:
    """The stamps of those that are not closed."""
    taken = _run(_TAKE_STAMPS, list(map(_stamp, ids)), [uuid4().hex, _STAMP_S])
    stamps = {user_id: stamp.decode() for user_id, stamp in zip(ids, taken, strict=True)}
    return {user_id: stamp for user_id, stamp in stamps.items() if not stamp.startswith(_CLOSED)}


def _fill(profiles: dict[str, Profile], stamps: dict[str, str]) -> None:
    if not profiles:
        return
    arguments = [part for user_id, profile in profiles.items() for part in (stamps[user_id], json.dumps(profile))]
    with contextlib.suppress(redis.RedisError):
        _run(_FILL, _keys(profiles), [CEILING_S, *arguments])


def _close(ids: Sequence[str], stamp: str) -> bool:
    if redis_store.is_away():
        return False
    try:
        with redis_store.client.pipeline() as pipe:
            for user_id in ids:
                pipe.delete(_value(user_id))
                pipe.set(_stamp(user_id), stamp, ex=_STAMP_S)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("people_cache.not_closed", error=type(error).__name__, people=len(ids))
        return False
    return True


def _open(ids: Sequence[str], stamp: str) -> None:
    with contextlib.suppress(redis.RedisError):  # then they stay closed
        _run(_OPEN, _keys(ids), [stamp])


def _run(script: str, keys: list[str], arguments: list[Any]) -> Any:
    return redis_store.client.register_script(script)(keys=keys, args=arguments)


def _keys(ids: Iterable[str]) -> list[str]:
    return [key for user_id in ids for key in (_value(user_id), _stamp(user_id))]


def _value(user_id: str) -> str:
    return f"notifier:person:{user_id}"


def _stamp(user_id: str) -> str:
    return f"notifier:person-stamp:{user_id}"


def _revision() -> int:
    """The revision, at most LIFE_S old."""
    return kept("revision", (_PEOPLE,), _read_revision)[_PEOPLE]


def _read_revision(names: set[str]) -> dict[str, int]:
    return {name: db.session.scalar(sa.select(Revision.number).where(Revision.name == name)) or 0 for name in names}


def _raise_revision() -> None:
    statement = insert(Revision.__table__).values(name=_PEOPLE, number=1)
    db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"number": Revision.number + 1}))
