"""The dry run: what would happen to submissions, and why, with the exact texts. Nothing is stored, counted or sent.

Called by every call that submits. Submissions are judged and decided as by `accept`, in a transaction that is rolled
back, so that people given inline exist meanwhile; texts are rendered afterwards, when nobody waits for a lock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from notifier.core import lifecycle
from notifier.core.decisions import Plan, Route, Skip
from notifier.core.errors import Rejected
from notifier.core.explain import told
from notifier.core.message import Content
from notifier.core.worlds import shown_id
from notifier.ground.clock import now as clock_now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.ground.tokens import NOBODY
from notifier.people.person import load_people
from notifier.pipeline.intake.item import Accepted, Item, Judged, works_in
from notifier.pipeline.intake.judge import judge
from notifier.pipeline.intake.recipients import keep_people, targets_of
from notifier.pipeline.intake.schema_check import check_against_schemas, judged_anew
from notifier.pipeline.planning.decide import Decided, decide
from notifier.providers import accounts as providers
from notifier.words.compose import Wanted, put_some_into_words

_MOST_WORK = 1_000_000  # units, for the words of one request: a second of one core
_TOO_MUCH = "The messages before this one took all the work that a rehearsal may take."


class _NothingStored(Exception):
    """Rolls a dry run back."""


@judged_anew
def dry_run(batch: Sequence[Item], at: datetime | None = None) -> list[dict[str, Any] | Rejected]:
    """One answer each, in order: API.md, `?dry_run=true`, or the Rejected that the real submission would get.

    The items are decided together, as in a bulk call: one may repeat another, or use up a cap. `at`: the time of the
    submission, instead of now.
    """
    providers.refresh()
    now = at or clock_now()
    results: list[Judged] = []
    decided: list[Decided] = []
    redis_store.look()
    batch = [replace(item, submission=replace(item.submission, idempotency=None)) for item in batch]
    try:
        checked = check_against_schemas(batch)
        with transaction():
            results, _ = judge(batch, now, checked)
            works, _ = keep_people(works_in(results))
            persons = load_people({recipient.id for work in works for recipient in work.recipients})
            decided = decide(targets_of(works, persons), now, is_rehearsal=True)
            raise _NothingStored
    except _NothingStored:
        told = iter(_in_words(decided))
        return [_answer(one, told) for one in results]


def _answer(judged: Judged, told: Iterator[dict[str, Any]]) -> dict[str, Any] | Rejected:
    """`told` gives the words for one person after the other."""
    assert not isinstance(judged, Accepted), "it has no key, so it was not answered before"
    return judged if isinstance(judged, Rejected) else {"notifications": list(islice(told, len(judged.recipients)))}


def _in_words(decided: Sequence[Decided]) -> list[dict[str, Any]]:
    """The deliveries' texts, rendered in one go."""
    # The first address of each channel
    firsts = [{route.channel: route.address for route in reversed(one.plan.routes)} for one in decided]
    wanted = [
        (index, name, one.target)
        for index, one in enumerate(decided)
        for name in dict.fromkeys(route.channel for route in one.plan.routes)
    ]
    contents = put_some_into_words(
        [  # links that lead nowhere: those of the person are for their eyes alone
            Wanted(
                name,
                t.order.type,
                t.order.wording.for_person(t.person.id).template_id,
                replace(t.person, subject=NOBODY),
                t.order.data,
                firsts[index][name],
            )
            for index, name, t in wanted
        ],
        _MOST_WORK,
        apart=True,
    )
    rendered: list[dict[str, Any]] = [{} for _ in decided]
    for (index, name, _), content in zip(wanted, contents, strict=True):
        rendered[index][name] = _shown(content) if isinstance(content, Content) else {"error": content or _TOO_MUCH}
    return [
        {
            "user": shown_id(one.target.person.id),
            "deliveries": _deliveries(one.plan),
            "rendered": rendered[index],
            "trace": told(one.plan.trace),
        }
        for index, one in enumerate(decided)
    ]


def _shown(content: Content) -> dict[str, Any]:
    return {
        "subject": content.subject,
        "title": content.title,
        "text": content.body,
        "html": content.html,
        "action_url": content.action_url,
    }


def _deliveries(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "channel": decision.channel,
            "address": decision.address.masked if decision.address else None,
            "status": _status(decision),
            "reason": decision.reason,
            "detail": dict(decision.detail),
            "due_at": decision.detail.get("until"),
        }
        for decision in plan.decisions
    ]


def _status(decision: Route | Skip) -> str:
    if isinstance(decision, Skip):
        return lifecycle.SKIPPED
    return lifecycle.WAITING if decision.reason else lifecycle.QUEUED
