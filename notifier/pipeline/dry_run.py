"""The dry run: what would happen to a submission, and why, in the very words. Nothing is stored, counted or sent.

Called by the API. It is judged and decided as `accept` does it, in a transaction that is rolled back, so that
people given inline are there while it decides; the words are made after that, when nobody waits for a lock.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from notifier.clock import now as clock_now
from notifier.core import lifecycle
from notifier.core.errors import Rejected
from notifier.core.explain import told
from notifier.core.message import Content
from notifier.core.plan import Plan, Route, Skip
from notifier.database import transaction
from notifier.pipeline import people, providers
from notifier.pipeline.decide import Decided, decide
from notifier.pipeline.facts import Target, load_people
from notifier.pipeline.judge import Item, Work, changed_people, judge
from notifier.pipeline.words import Wanted, put_into_words


class _NothingStored(Exception):
    """Rolls a dry run back."""


def dry_run(item: Item) -> dict[str, Any]:
    """API.md, `?dry_run=true`. Raises the Rejected that the real thing would be answered with."""
    providers.refresh()
    now = clock_now()
    decided: list[Decided] = []
    try:
        with transaction():
            [work], _ = judge([replace(item, submission=replace(item.submission, idempotency=None))], now)
            if isinstance(work, Rejected):
                raise work
            people.upsert(changed_people([work]))
            decided = decide(_targets(work), now, is_rehearsal=True)
            raise _NothingStored
    except _NothingStored:
        return {"notifications": _in_words(decided)}


def _targets(work: Work) -> list[Target]:
    persons = load_people(recipient.id for recipient in work.recipients)
    caller, submission = work.item.caller, work.item.submission
    return [
        Target(
            submission_id=work.submission_id,
            producer_id=caller.producer_id,
            is_test=caller.is_test,
            order=work.order,
            person=persons[recipient.id],
            data=submission.data,
            collapse_key=submission.collapse_key,
        )
        for recipient in work.recipients
    ]


def _in_words(decided: Sequence[Decided]) -> list[dict[str, Any]]:
    """What the deliveries would say, in one go for all of them."""
    wanted = [(index, name, one.target) for index, one in enumerate(decided) for name in dict.fromkeys(route.channel for route in one.plan.routes)]
    contents = put_into_words([Wanted(name, t.order.type, t.order.template_id, t.person, t.data) for _, name, t in wanted])
    rendered: list[dict[str, Any]] = [{} for _ in decided]
    for (index, name, _), content in zip(wanted, contents, strict=True):
        rendered[index][name] = {"error": content} if isinstance(content, str) else _shown(content)
    return [
        {"user": one.target.person.id, "deliveries": _deliveries(one.plan), "rendered": rendered[index], "trace": told(one.plan.trace)}
        for index, one in enumerate(decided)
    ]


def _shown(content: Content) -> dict[str, Any]:
    return {"subject": content.subject, "title": content.title, "text": content.body, "html": content.html, "action_url": content.action_url}


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
