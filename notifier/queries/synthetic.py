"""How the synthetic person fares: for the overview and the metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from notifier.channels import CHANNELS
from notifier.core.synthetic import BAD, IN_INBOX, IN_SANDBOX, Result, worst
from notifier.ground.clock import now
from notifier.ground.database import look_again
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import SyntheticTurn

MOST_BAD = 3  # shown of a way


@dataclass(frozen=True, slots=True)
class Trouble:
    """One type that did not arrive. `notification`: its shown id, as long as it is kept."""

    type: str
    state: str
    why: str | None
    notification: str | None


@dataclass(frozen=True, slots=True)
class Way:
    """A channel by `through`: an account, the sandbox, or the inbox. `states`: how many types are in which.

    `slowest_ms`: from trigger to arrival, the slowest of the last round; None: none arrived. `newest`: when the last
    was triggered.
    """

    channel: str
    through: str
    states: Mapping[str, int]
    slowest_ms: int | None
    newest: datetime | None
    trouble: Sequence[Trouble]

    @property
    def state(self) -> str:
        return worst(self.states)


@dataclass(frozen=True, slots=True)
class Standing:
    """`overdue`: how late the turn is that should have come first: schedulers have stopped, or are too few."""

    ways: Sequence[Way]
    overdue: timedelta


def standing() -> Standing | None:
    """None: there is no synthetic person. One query, of as many rows as there are types and accounts."""
    look_again()
    turns = db.session.scalars(sa.select(SyntheticTurn).order_by(SyntheticTurn.key)).all()
    if not turns:
        return None
    found: dict[tuple[str, str], list[tuple[SyntheticTurn, Result]]] = {}
    for turn in turns:
        for result in _latest(turn):
            found.setdefault((result.channel, _through(turn, result)), []).append((turn, result))
    at = now()
    waits = [at - turn.due_at for turn in turns if not turn.is_open]
    order = list(CHANNELS)
    places = sorted((place for place in found if place[0] in CHANNELS), key=lambda place: order.index(place[0]))
    return Standing([_way(*place, found[place]) for place in places], max([timedelta(), *waits]))


def _latest(turn: SyntheticTurn) -> list[Result]:
    """Those that were settled last; but one that is late by now counts at once."""
    so_far = {one.channel: one for one in map(Result.unpack, turn.so_far) if one.state in BAD}
    settled = {one.channel: one for one in map(Result.unpack, turn.results)}
    return list({**settled, **so_far}.values())


def _through(turn: SyntheticTurn, result: Result) -> str:
    channel = CHANNELS.get(result.channel)
    return turn.account or (IN_INBOX if channel is not None and channel.address is None else IN_SANDBOX)


def _way(channel: str, through: str, found: Sequence[tuple[SyntheticTurn, Result]]) -> Way:
    bad = [
        Trouble(
            turn.type or turn.key,
            result.state,
            result.why,
            show("ntf", turn.notification_id) if turn.notification_id else None,
        )
        for turn, result in found
        if result.state in BAD
    ]
    arrived = [result.ms for _, result in found if result.ms is not None]
    newest = [turn.triggered_at for turn, _ in found if turn.triggered_at is not None]
    states = Counter(result.state for _, result in found)
    return Way(channel, through, states, max(arrived, default=None), max(newest, default=None), bad[:MOST_BAD])
