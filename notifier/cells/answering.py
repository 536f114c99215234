"""The other side: calls that other cells make here, each carried out once."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa

from notifier.access import keys
from notifier.access.keys import KeyIdentity
from notifier.cells.client import Answer
from notifier.core.cells import Call, OnBehalf
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.database import insert, transaction
from notifier.ground.encryption import vault
from notifier.ground.extensions import db
from notifier.models import CellCall
from notifier.models.producer import SCOPES

_LONGEST_S = 10.0  # of the 20 s that the other cell waits

CarryOut = Callable[[Call], Answer]


def answer_each(region: str, calls: Sequence[Call], carry_out: CarryOut) -> list[Answer]:
    """In their order. One that was answered before gets that answer; after one whose answer is not final, or when the
    other cell would not wait much longer, the rest is left for later.
    """
    answers: list[Answer] = []
    ends_at = time.monotonic() + _LONGEST_S
    for call in calls:
        if answers and (not answers[-1].is_final or time.monotonic() > ends_at):
            answers.append(Answer(503, None, {}))
            continue
        answers.append(_earlier(call) or _first(region, call, carry_out))
    return answers


def _first(region: str, call: Call, carry_out: CarryOut) -> Answer:
    answer = carry_out(call)
    if call.method != "GET" and answer.is_final:
        said = {"status": answer.status, "body": answer.body, "headers": dict(answer.headers)}
        with transaction() as session:
            statement = insert(CellCall.__table__).on_conflict_do_nothing()
            session.execute(statement, [{"id": UUID(hex=call.id), "region": region, "answer": said, "at": now()}])
    return answer


def _earlier(call: Call) -> Answer | None:
    if call.method == "GET":
        return None
    said = db.session.scalar(sa.select(CellCall.answer).where(CellCall.id == UUID(hex=call.id)))
    db.session.rollback()
    return Answer(**said) if said else None


def identity(region: str, behalf: OnBehalf) -> KeyIdentity:
    """Of a key that cells alone can know. It is made, and its producer, when the producer is first heard of; an admin
    of this cell may revoke it, and disable the producer. Raises Rejected then.

    It is made of a secret of this cell that never changes: a new REGION_KEY brings back no key that was revoked, and
    no other cell can show it as its own.
    """
    said = f"{region}\n{behalf.name}\n{behalf.is_test}"
    plain = f"cell_{region}_{hmac.new(vault.first_digest_key, said.encode(), hashlib.sha256).hexdigest()}"
    found = keys.find_key(plain)
    if found is None:
        keys.ensure_producer_key(plain, producer_name=behalf.name, scopes=SCOPES, is_test=behalf.is_test)
        found = keys.find_key(plain)
    if found is None:
        raise Rejected("invalid_key", f"this cell takes no calls of {behalf.name!r} from {region}")
    return replace(
        found,
        scopes=found.scopes & frozenset(behalf.scopes),
        types=None if behalf.types is None else frozenset(behalf.types),
        label=f"{behalf.label} ({region})",
    )
