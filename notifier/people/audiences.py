"""Audiences as SQL: who they are, how many, and how many of them can be reached.

Called by `api.audiences`, and by whoever sends to an audience: page after page of `ids_after`, in the order of ids. The
language of conditions, and what its operators mean, is `core.conditions`; values are bound, never written into SQL.
"""

import operator as operators
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from notifier.channels import CHANNELS, serving
from notifier.channels.addresses import PRIMARY
from notifier.core import conditions
from notifier.core.audience import Audience, Named, Selected, Uploaded
from notifier.core.conditions import Comparison, Condition, Field
from notifier.core.errors import Fault, Rejected
from notifier.core.facts import EVERYTHING, ChannelFacts, of_channel
from notifier.core.worlds import MARK, SYNTHETIC, stored_id
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.models import Address, Preference, Suppression, UploadMember, User
from notifier.models.upload import FINISHED
from notifier.people import uploads

_LARGEST_SAMPLE = 10
_WINDOW = 2_000  # people that SQLite, which nothing else of the process can run beside, is asked about at once
_MOST_TOLD = 100
# A survey may look at a million people: those of one process take turns, and leave connections for all other calls.
_SURVEYING = threading.Lock()
_LONGEST_WAIT_S = 20.0  # for a turn
Clause = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class People:
    """Those of an audience who belong to one world, and were there at a moment. Erased people are nobody's."""

    audience: Audience
    is_test: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """`reachable`: by channel. `sample`: ids as their producer knows them."""

    people: int
    reachable: Mapping[str, int]
    sample: Sequence[str]


# ---- who ------------------------------------------------------------------------------------------------------------


def check(audience: Audience, *, producer_id: UUID | None, is_test: bool, pointer: str = "/audience") -> None:
    """Whether all that the audience names is there: people, or an upload that has been read. `producer_id`: whose
    uploads may be named; None: everybody's. Two queries at most. Raises Rejected.
    """
    if isinstance(audience, Named):
        wanted = {user_id: stored_id(user_id, is_test=is_test) for user_id in audience.user_ids}
        known = set(db.session.scalars(sa.select(User.id).where(User.id.in_(wanted.values()))))
        faults = [
            Fault(f"{pointer}/users/{index}", "unknown_user", f"there is no user {user_id!r}")
            for index, user_id in enumerate(audience.user_ids)
            if wanted[user_id] not in known
        ]
        if faults:
            more = f", and {len(faults) - 1:,} more" if len(faults) > 1 else ""
            raise Rejected("unknown_user", faults[0].message + more, tuple(faults[:_MOST_TOLD]))
    if isinstance(audience, Uploaded):
        upload = uploads.find(audience.upload, producer_id=producer_id, is_test=is_test)
        if upload is None or upload.status != FINISHED:
            message = "there is no such upload" if upload is None else "this upload is still being read"
            code = "unknown_upload" if upload is None else "upload_running"
            raise Rejected("validation_failed", message, (Fault(f"{pointer}/upload", code, message),))


def ids_after(people: People, after: str | None, limit: int) -> sa.Select[str]:
    """The next ids, as they are stored, in their order. `after`: the last one of the page before."""
    key = _keys(people)[0]
    return sa.select(key).select_from(_source(people)).where(*_meant(people, after)).order_by(key).limit(limit)


def _source(people: People) -> sa.FromClause:
    """Where their rows are looked for. An uploaded list is read from its place on, a page at a time: as a condition on
    users, SQLite would make all of it anew for each page, which is quadratic.
    """
    users, members = User.__table__, UploadMember.__table__
    is_listed = isinstance(people.audience, Uploaded)
    return members.join(users, users.c.id == members.c.user_id) if is_listed else users


def _keys(people: People) -> Sequence[sa.SQLColumnExpression[str]]:
    """The columns that hold their ids, by the first of which they are ordered. A database has to be told of each where
    a page begins: it does not see by itself that what holds for one holds for the other.
    """
    return (UploadMember.user_id, User.id) if isinstance(people.audience, Uploaded) else (User.id,)


def _meant(people: People, after: str | None = None, until: str | None = None) -> list[Clause]:
    """Conditions on `_source`. `after`, `until`: only those whose ids lie between, the last one included."""
    is_of_tests = User.id.startswith(MARK)
    found = [
        *_candidates(people, _keys(people), after, until),
        is_of_tests if people.is_test else ~is_of_tests,
        User.created_at <= people.until,
    ]
    if people.is_test:
        found.append(User.id != SYNTHETIC)
    if isinstance(people.audience, Selected):
        found.append(_sql(people.audience.condition))
    return found


def _candidates(
    people: People, keys: Sequence[sa.SQLColumnExpression[str]], after: str | None, until: str | None
) -> list[Clause]:
    """What can be said by ids alone."""
    audience = people.audience
    found: list[Clause] = []
    for key in keys:
        found += [key > after] if after is not None else []
        found += [key <= until] if until is not None else []
    if isinstance(audience, Named):
        found.append(User.id.in_([stored_id(user_id, is_test=people.is_test) for user_id in audience.user_ids]))
    if isinstance(audience, Uploaded):
        found.append(UploadMember.upload_id == parse(uploads.KIND, audience.upload))
    return found


# ---- how many -------------------------------------------------------------------------------------------------------


@contextmanager
def turn_to_survey() -> Iterator[None]:
    """Nobody else of this process surveys people inside it; 503 `unavailable` when others take too long."""
    if not _SURVEYING.acquire(timeout=_LONGEST_WAIT_S):
        raise Rejected("unavailable", "other previews are still counting; try again", retry_after=5)
    try:
        yield
    finally:
        _SURVEYING.release()


def count(people: People) -> int:
    """In windows: see `survey`."""
    statement = sa.select(sa.func.count()).select_from(_source(people))
    return sum(db.session.scalars(statement.where(*_meant(people, *window))).one() for window in _windows(people))


def survey(people: People) -> Survey:
    """How many they are, how many can be reached on each channel, and some of them.

    Reachable: with an active address of the channel (in-app needs none) that has neither bounced nor said STOP, where
    the channel itself is not off: by the person's choice, or by default where they have chosen nothing. Choices about
    types and categories do not count, since an audience has none.

    PostgreSQL is asked once. SQLite is asked about one window after another, so that a web process does other work in
    between.
    """
    channels = {name: facts for name, facts in serving.registry().facts(is_test=people.is_test).items() if facts.is_on}
    is_reached = {name: sa.func.max(sa.case((_reaches(facts), 1), else_=0)) for name, facts in channels.items()}
    active = sa.and_(Address.user_id == User.id, Address.verified_at.is_not(None), Address.disabled_at.is_(None))
    each = sa.select(*(reached.label(name) for name, reached in is_reached.items()))
    source = _source(people).outerjoin(Preference.__table__, Preference.user_id == User.id)
    each = each.select_from(source.outerjoin(Address.__table__, active)).group_by(User.id)
    found = dict.fromkeys(("people", *CHANNELS), 0)
    for window in _windows(people):
        one = each.where(*_meant(people, *window)).subquery()
        sums = (sa.func.coalesce(sa.func.sum(one.c[name]), 0).label(name) for name in channels)
        statement = sa.select(sa.func.count().label("people"), *sums).select_from(one)
        for name, number in db.session.execute(statement).mappings().one().items():
            found[str(name)] += number
    sample = [user_id.removeprefix(MARK) for user_id in db.session.scalars(ids_after(people, None, _LARGEST_SAMPLE))]
    db.session.close()
    return Survey(found.pop("people"), found, sample)


def _windows(people: People) -> Iterator[tuple[str | None, str | None]]:
    """Pairs of ids that share the candidates out (`_meant`). Each window is read on its own, and other work done in
    between.
    """
    if db.engine.dialect.name != "sqlite":
        yield None, None
        return
    after: str | None = None
    key = _keys(people)[0]  # whose own table is enough
    while True:
        begun = sa.select(key).where(*_candidates(people, [key], after, None)).order_by(key)
        until = db.session.scalar(begun.offset(_WINDOW - 1).limit(1))
        yield after, until
        db.session.close()  # a reader keeps SQLite's log from being shortened
        if until is None:
            return
        after = until
        time.sleep(0)


def _reaches(channel: ChannelFacts) -> Clause:
    """Whether the channel reaches its owner at this address, or with no address at all."""
    document = Preference.document["channels"][channel.name].as_boolean()
    is_wanted: Clause = sa.func.coalesce(document, channel.default_on)
    if not channel.needs_address:
        return is_wanted
    held = sa.exists().where(
        Suppression.digest == Address.digest, Suppression.scope.in_([EVERYTHING, of_channel(channel.name)])
    )
    lender = CHANNELS[channel.name].borrows_from or channel.name
    return sa.and_(Address.channel == lender, is_wanted, ~held)


# ---- conditions -----------------------------------------------------------------------------------------------------


def _sql(condition: Condition) -> Clause:
    """Always true or false, never NULL: what is neither cannot be negated."""
    match condition:
        case conditions.All(parts):
            return sa.and_(sa.true(), *map(_sql, parts))
        case conditions.AnyOf(parts):
            return sa.or_(sa.false(), *map(_sql, parts))
        case conditions.Not(part):
            return sa.not_(_sql(part))
        case Comparison(field, operator, values):
            if operator == conditions.EXISTS and not values[0]:
                return sa.not_(_comparison(field, operator, values))
            return _comparison(field, operator, values)


def _comparison(field: Field, operator: str, values: Sequence[Any]) -> Clause:
    if field.kind == "address":
        theirs = aliased(Address)  # another than the one that a survey counts
        channel = PRIMARY[field.name]
        return sa.exists().where(theirs.user_id == User.id, theirs.channel == channel, theirs.is_primary)
    if field.kind == "attribute":
        return (_in_sqlite if db.engine.dialect.name == "sqlite" else _in_postgresql)(field.name, operator, values)
    column = getattr(User, field.name)
    is_there: Clause = column.is_not(None)
    if operator == conditions.EXISTS:
        return is_there
    return sa.and_(is_there, _compared(_by_code_points(column) if field.kind == "text" else column, operator, values))


def _compared(column: Any, operator: str, values: Sequence[Any]) -> Clause:
    compared: Clause = _COMPARED[operator](column, values[0]) if operator in _COMPARED else column.in_(values)
    return compared


def _by_code_points(text: Any) -> Any:
    """PostgreSQL compares by the rules of a language otherwise; SQLite does this by itself."""
    return text if db.engine.dialect.name == "sqlite" else sa.collate(text, "C")


def _has_part(text: Any, part: str) -> Clause:
    position = sa.func.instr if db.engine.dialect.name == "sqlite" else sa.func.strpos
    found: Clause = position(text, part) > 0
    return found


_COMPARED: Mapping[str, Callable[[Any, Any], Clause]] = {
    conditions.NE: operators.ne,
    conditions.GT: operators.gt,
    conditions.GTE: operators.ge,
    conditions.LT: operators.lt,
    conditions.LTE: operators.le,
    conditions.CONTAINS: _has_part,
}


_NUMBERS, _TRUTHS = ("integer", "real"), {True: "true", False: "false"}  # SQLite's names of JSON's types


def _in_sqlite(name: str, operator: str, values: Sequence[Any]) -> Clause:
    """Looks through the entries of the attributes: a path would not find every name, since SQLite compares it with the
    name as JSON has escaped it.
    """
    entry = sa.func.json_each(User.attributes).table_valued("key", "value", "type", "atom")
    there = (entry.c.key == name, entry.c.type != "null")
    match operator:
        case conditions.EXISTS:
            asked: Clause = sa.true()
        case conditions.EQ | conditions.IN:
            asked = _is_one_of(entry, values)
        case conditions.NE:
            asked = sa.not_(_is_one_of(entry, values))
        case conditions.CONTAINS:
            whole = sa.case((entry.c.type == "array", entry.c.value), else_="[]")
            inner = sa.func.json_each(whole).table_valued("type", "atom")
            asked = sa.exists(sa.select(sa.literal(1)).select_from(inner).where(_is_one_of(inner, values)))
            if isinstance(values[0], str):
                asked = sa.or_(asked, sa.and_(entry.c.type == "text", _has_part(entry.c.atom, values[0])))
        case _:
            types = ("text",) if isinstance(values[0], str) else _NUMBERS
            asked = sa.and_(entry.c.type.in_(types), _compared(entry.c.atom, operator, values))
    return sa.exists(sa.select(sa.literal(1)).select_from(entry).where(*there, asked))


def _is_one_of(entry: Any, values: Sequence[Any]) -> Clause:
    texts, numbers, truths = _by_type(values)
    return sa.or_(
        sa.and_(entry.c.type == "text", entry.c.atom.in_(texts)),
        sa.and_(entry.c.type.in_(_NUMBERS), entry.c.atom.in_(numbers)),
        entry.c.type.in_([_TRUTHS[truth] for truth in truths]),
    )


def _by_type(values: Sequence[Any]) -> tuple[list[str], list[float], list[bool]]:
    truths = [value for value in values if isinstance(value, bool)]
    texts = [value for value in values if isinstance(value, str)]
    return texts, [value for value in values if not isinstance(value, bool | str)], truths


def _in_postgresql(name: str, operator: str, values: Sequence[Any]) -> Clause:
    """Equality and `contains` are asked in the way that the index of attributes serves."""
    attributes = sa.type_coerce(User.attributes, JSONB)
    value = attributes[name]
    type_ = sa.func.jsonb_typeof(value)
    exists = sa.func.coalesce(type_ != "null", sa.false())
    first = values[0]
    match operator:
        case conditions.EXISTS:
            return exists
        case conditions.EQ:
            return attributes.contains({name: first})
        case conditions.NE:
            return sa.and_(exists, sa.not_(attributes.contains({name: first})))
        case conditions.IN:
            return sa.func.coalesce(value.in_([sa.literal(each, JSONB) for each in values]), sa.false())
        case conditions.CONTAINS:
            in_list = attributes.contains({name: [first]})
            if not isinstance(first, str):
                return in_list
            in_text = sa.and_(type_ == "string", _has_part(value.astext, first))
            return sa.or_(in_list, sa.func.coalesce(in_text, sa.false()))
    if isinstance(first, str):
        compared = sa.and_(type_ == "string", _compared(_by_code_points(value.astext), operator, values))
    else:
        compared = sa.and_(type_ == "number", _compared(value, operator, [sa.literal(first, JSONB)]))
    return sa.func.coalesce(compared, sa.false())
