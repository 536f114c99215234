"""Plans notifications and stores them: a row for each delivery and, with its reason, for each skipped one.

Called by `intake` and `upkeep` inside their transaction, with texts that were rendered before it. Doorbells and inbox
events must wait for the commit: they are returned as a `Stored`, and `announce` sends them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier.core import lifecycle
from notifier.core.decisions import Skip
from notifier.core.explain import packed
from notifier.core.facts import Facts
from notifier.core.latency import promise
from notifier.core.routing import ALL, PATIENCE, next_move
from notifier.ground import metrics, shapes
from notifier.ground.clock import now as clock_now
from notifier.ground.many_rows import insert_rows
from notifier.ledgers import broadcast_counts, caps, digests, events, meters, tallies
from notifier.ledgers.digests import Entry
from notifier.ledgers.meters import Shown
from notifier.ledgers.tallies import ACCEPTED
from notifier.models import Delivery, Notification
from notifier.pipeline.planning import pacing, replacing
from notifier.pipeline.planning.beforehand import Beforehand
from notifier.pipeline.planning.decide import Decided, decide
from notifier.pipeline.planning.drafts import DeliveryDraft, drafts_of
from notifier.pipeline.planning.orders import Target
from notifier.pipeline.planning.replacing import Place
from notifier.pipeline.planning.show import Showing, show
from notifier.pipeline.planning.steps import steps_of, turns_taken
from notifier.signals import publish, queueing
from notifier.signals.publish import ItemEvent
from notifier.signals.queueing import Doorbell
from notifier.words.compose import Wanted


@dataclass(slots=True)
class Made:
    """A notification, and its deliveries."""

    id: UUID
    target: Target
    facts: Facts
    drafts: list[DeliveryDraft]


@dataclass(slots=True)
class Stored:
    """What was `made`, in the order of the targets, and the signals to send after the commit.

    `inbox_changes` are the items that were replaced, as `publish_states` takes them. `shown`: the items that are
    in an inbox now, but for tests'.
    """

    made: list[Made] = field(default_factory=list)
    doorbells: list[Doorbell] = field(default_factory=list)
    inbox_events: list[ItemEvent] = field(default_factory=list)
    inbox_changes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    def summaries(self) -> list[dict[str, Any]]:
        """As an answer shows them. Not for what nobody is told, such as a broadcast's."""
        return [
            shapes.notification_summary(one.id, one.target.person.id, [shapes.delivery(draft) for draft in one.drafts])
            for one in self.made
        ]


def store(
    targets: Sequence[Target], now: datetime, words: Beforehand, room: Mapping[pacing.Lane, int] | None = None
) -> Stored:
    """Inside the caller's transaction. An item to be shown at once whose text is missing waits, and the scheduler shows
    it a moment later. So do deliveries for which there is no `room` in their queue (`pacing.room`); None: for all.

    The number of statements does not depend on the number of targets.
    """
    stored = Stored()
    notifications: list[dict[str, Any]] = []
    drafts: list[DeliveryDraft] = []
    routed: list[DeliveryDraft] = []  # of those that caps concern
    at_once: list[tuple[Target, DeliveryDraft]] = []
    places: dict[UUID, Place] = {}
    gathered: list[Entry] = []
    for decided in decide(targets, now):
        target = decided.target
        if decided.place is not None:
            places[decided.notification_id] = decided.place
        notifications.append(_notification_row(decided, now))
        mine = drafts_of(decided, now)
        drafts += mine
        if decided.facts.is_limited:
            routed += mine[: len(decided.plan.routes)]
        gathered += _gathered(decided, mine)
        at_once += [(target, draft) for draft in mine if draft.is_at_once]
        stored.made.append(Made(decided.notification_id, target, decided.facts, mine))
    showings = [_showing(target, draft, places.get(draft.notification_id), words) for target, draft in at_once]
    for showing, (_, draft) in zip(showings, at_once, strict=True):
        if fate := showing.fate(now):
            status, columns = fate
            draft.become(status, due_at=None, **columns)
    for one in stored.made:
        if one.facts.routing != ALL:
            _take_steps(one.facts, one.drafts, now)
    if room is not None:
        _hold_back(drafts, room, now)
    stored.doorbells = [Doorbell.of(draft) for draft in drafts if draft.status == lifecycle.QUEUED]
    if notifications:
        insert_rows(Notification.__table__, notifications)
        insert_rows(Delivery.__table__, [draft.row() for draft in drafts])
        events.tell_statuses((draft.id, draft.status) for draft in drafts)
        broadcast_counts.made(drafts)
    # No words, or not needed
    caps.recount(draft.notification_id for draft in routed if draft.status in lifecycle.LEFT_OUT)
    digests.gather(gathered)
    replacing.drop_older(places.values())
    shown = show(showings, now)
    stored.shown = [
        Shown(draft.channel, draft.priority, target.producer_id, target.order.submitted_at or now)
        for target, draft in at_once
        if draft.status == lifecycle.DELIVERED and not target.is_test
    ]
    stored.inbox_events, stored.inbox_changes = shown.events, shown.changes
    kept = ((one.channel, promise(one.priority, 0)) for one in stored.shown)
    tallies.count([*_taken_in(stored.made), *shown.happened, *kept])
    return stored


def _taken_in(made: Iterable[Made]) -> Iterator[tallies.Happened]:
    """The events that the counters get of what was accepted, and of what was skipped at once."""
    for one in made:
        if not one.target.is_test:
            for draft in one.drafts:
                yield draft.channel, tallies.SKIPPED if draft.status == lifecycle.SKIPPED else tallies.ACCEPTED


def _count(stored: Stored) -> None:
    live = [one for one in stored.made if not one.target.is_test]
    metrics.count_accepted((one.target.order.type.key, one.target.order.type.category) for one in live)
    meters.of_producers(
        (one.target.producer_id, draft.status if draft.status == lifecycle.SKIPPED else ACCEPTED)
        for one in live
        for draft in one.drafts
    )
    meters.count_shown(stored.shown, clock_now())


def announce(stored: Stored) -> None:
    """After the commit, with no transaction open: ring the workers, tell the browsers and the console. Failing at
    either loses nothing.
    """
    _count(stored)
    if stored.doorbells:
        queueing.ring(stored.doorbells)
        publish.hint(publish.OVERVIEW, publish.QUEUES)
    if stored.inbox_events:
        publish.publish_items(stored.inbox_events)
    if stored.inbox_changes:
        publish.publish_states(stored.inbox_changes)


def _notification_row(decided: Decided, now: datetime) -> dict[str, Any]:
    target = decided.target
    return {
        "id": decided.notification_id,
        "submission_id": target.submission_id,
        "producer_id": target.producer_id,
        "user_id": target.person.id,
        "given": dict(target.given) if target.given else None,
        "is_test": target.is_test,
        **target.order.columns(target.person.id),
        "decision": packed(decided.plan.trace),
        "created_at": now,
    }


def _gathered(decided: Decided, drafts: Sequence[DeliveryDraft]) -> list[Entry]:
    """The drafts that go into a digest; one was made of each decision, in order."""
    target = decided.target
    return [
        Entry(draft.id, target.person.id, target.order.type.category, target.is_test, decision.summary)
        for decision, draft in zip(decided.plan.decisions, drafts, strict=True)
        if isinstance(decision, Skip) and decision.summary is not None
    ]


def _take_steps(facts: Facts, drafts: Sequence[DeliveryDraft], now: datetime) -> None:
    """An in-app item is there at once, and so may end a routing that has only just begun; or cannot be shown, and so
    move it on.
    """
    move = next_move(facts.routing, steps_of(drafts), now, PATIENCE[facts.priority])
    taken = turns_taken(drafts, move.turns, facts, now)
    for draft in drafts:
        if draft.id in move.drop:
            draft.become(lifecycle.SKIPPED, reason=move.reason, wake_at=None)
        elif draft.id in taken:
            status, columns = taken[draft.id]
            draft.become(status, **columns)


def _hold_back(drafts: Iterable[DeliveryDraft], room: Mapping[pacing.Lane, int], now: datetime) -> None:
    """Leaves `waiting`, and due, the deliveries that do not fit into their queues."""
    left = dict(room)
    for draft in drafts:
        if draft.status == lifecycle.QUEUED:
            lane = (draft.channel, draft.priority)
            left[lane] -= 1
            if left[lane] < 0:
                draft.become(lifecycle.WAITING, due_at=now, wake_at=now)


def _showing(target: Target, draft: DeliveryDraft, place: Place | None, words: Beforehand) -> Showing:
    order, person = target.order, target.person
    content = words.find(
        Wanted(
            draft.channel,
            order.type,
            order.wording.for_person(person.id).template_id,
            person,
            order.data,
            producer_id=target.producer_id,
        )
    )
    return Showing(
        draft.id,
        draft.notification_id,
        person.id,
        draft.channel,
        draft.detail,
        order.type,
        order.data,
        order.routing,
        place,
        content,
    )
