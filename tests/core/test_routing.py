"""Routing: what follows when a step has ended or was read, when each is due, and how the best channel is found."""

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.core.decisions import Plan
from notifier.core.facts import AddressFacts, Facts
from notifier.core.lifecycle import STATUSES
from notifier.core.plan import plan, turn_of
from notifier.core.preferences import Preferences
from notifier.core.routing import (
    MODES,
    Move,
    Scores,
    Step,
    has_proved_itself,
    in_order,
    is_held,
    is_stuck,
    next_move,
    overtaken,
)
from notifier.core.submission import PRIORITIES
from tests.core.planning import CHANNELS, MAIL, MIDNIGHT, MORNING, NEWS, NIGHT, NOON, SHIPPED, any_facts, facts

QUARTER = timedelta(minutes=15)
LATER, MUCH_LATER = NOON + QUARTER, NOON + 2 * QUARTER
SMS = AddressFacts(5, "sms", "+49…", is_primary=True)


def going(*statuses: str) -> list[Step]:
    """Deliveries 0, 1, 2 … as steps; `held` is one whose turn has not come, planned a quarter of an hour after the one
    before.

    `later` is one that has no time, `stuck` one that waits for the end of an outage. `read` was opened by a person, and
    `followed` means a link in it; with `opened` and `clicked` nobody knows by whom.
    """
    made = {
        "held": lambda step: Step(step, step, "waiting", is_held=True, due_at=NOON + step * QUARTER),
        "later": lambda step: Step(step, step, "waiting", is_held=True),
        "stuck": lambda step: Step(step, step, "waiting", is_held=False, is_stuck=True),
        "read": lambda step: Step(step, step, "opened", is_held=False, is_read=True),
        "followed": lambda step: Step(step, step, "clicked", is_held=False, is_read=True),
    }
    return [
        made[status](step) if status in made else Step(step, step, status, is_held=False)
        for step, status in enumerate(statuses)
    ]


def overdue(steps: list[Step]) -> list[Step]:
    return [replace(step, due_at=NOON - QUARTER) if step.is_held else step for step in steps]


AT_ONCE = {1: NOON}
PATIENCE = timedelta(minutes=1)
PATIENT = {1: NOON + PATIENCE}
NEXT: list[tuple[str, str, list[Step], Move]] = [
    # case, mode, deliveries, what follows
    ("the first is on its way", "first", going("sending", "held", "held"), Move()),
    ("the first is tried again", "first", going("waiting", "held", "held"), Move()),
    ("the first has gone out", "first", going("sent", "held", "held"), Move(drop=(1, 2))),
    ("the first has failed", "first", going("failed", "held", "held"), Move(AT_ONCE)),
    ("the first may have gone out", "first", going("unknown", "held", "held"), Move()),
    ("the first was skipped after all", "first", going("skipped", "held"), Move(AT_ONCE)),
    ("the first has failed, the second works", "first", going("failed", "delivered", "held"), Move(drop=(2,))),
    ("nothing is left", "first", going("failed", "failed"), Move()),
    ("an outage: the next one begins when it lasts", "first", going("stuck", "later", "later"), Move(PATIENT)),
    ("an outage that is being waited for", "first", going("stuck", "held", "later"), Move()),
    ("an outage of both", "first", going("stuck", "stuck", "later"), Move({2: NOON + PATIENCE})),
    ("an outage of the first, the second is on its way", "first", going("stuck", "queued", "later"), Move()),
    ("an outage of the first, the second is tried again", "first", going("stuck", "waiting", "later"), Move()),
    ("an outage of the first, the second may have gone out", "first", going("stuck", "unknown", "later"), Move()),
    ("an outage of the first, the second works", "first", going("stuck", "sent", "later"), Move(drop=(2, 0))),
    (
        "an outage of the first, the second has failed",
        "first",
        going("stuck", "failed", "later"),
        Move({2: NOON + PATIENCE}),
    ),
    (
        "the first works again, the second had begun and is tried again",
        "first",
        going("sent", "waiting"),
        Move(drop=(1,)),
    ),
    ("an outage of the best", "best", going("stuck", "later"), Move(PATIENT)),
    ("an outage of the first: the second follows by the clock", "escalate", going("stuck", "held", "held"), Move()),
    ("the best has failed", "best", going("bounced", "held"), Move(AT_ONCE)),
    ("the best has gone out", "best", going("delivered", "held"), Move(drop=(1,))),
    ("the first has gone out, and is not read", "escalate", going("sent", "held", "held"), Move()),
    ("the first was delivered, and is not read", "escalate", going("delivered", "held", "held"), Move()),
    ("the first was opened", "escalate", going("read", "held", "held"), Move(drop=(1, 2), reason="read_elsewhere")),
    ("the first was opened by nobody knows whom", "escalate", going("opened", "held", "held"), Move()),
    ("a scanner may have followed its link", "escalate", going("clicked", "held", "held"), Move()),
    (
        "a link in the first was followed",
        "escalate",
        going("followed", "held", "held"),
        Move(drop=(1, 2), reason="read_elsewhere"),
    ),
    (
        "the first is read while the second goes out",
        "escalate",
        going("read", "sending", "held"),
        Move(drop=(2,), reason="read_elsewhere"),
    ),
    (
        "the first has failed: the rest comes as much earlier",
        "escalate",
        going("failed", "held", "held"),
        Move({1: NOON, 2: LATER}),
    ),
    ("the second has failed, the first is not read", "escalate", going("delivered", "failed", "held"), Move({2: NOON})),
    ("the first is still tried when the second has gone out", "escalate", going("waiting", "sent", "held"), Move()),
    ("the first fails at last, but the second has gone out", "escalate", going("failed", "sent", "held"), Move()),
    ("the second may have gone out", "escalate", going("delivered", "unknown", "held"), Move()),
    (
        "the second fails when the third is overdue",
        "escalate",
        overdue(going("delivered", "failed", "held")),
        Move({2: NOON}),
    ),
    ("all have gone out", "escalate", going("sent", "sent"), Move()),
]


@pytest.mark.parametrize(
    ("mode", "steps", "move"), [case[1:] for case in NEXT], ids=[f"{case[1]}: {case[0]}" for case in NEXT]
)
def test_what_follows(mode: str, steps: list[Step], move: Move) -> None:
    assert next_move(mode, steps, NOON, PATIENCE) == move


def test_a_step_has_failed_when_all_its_addresses_have() -> None:
    devices = [
        Step("a", 0, "failed", is_held=False),
        Step("b", 0, "sending", is_held=False),
        Step("mail", 1, "waiting", is_held=True, due_at=LATER),
    ]
    assert next_move("escalate", devices, NOON, PATIENCE) == Move()
    devices[1] = replace(devices[1], status="bounced")
    assert next_move("escalate", devices, NOON, PATIENCE) == Move({"mail": NOON})


any_step = st.builds(Step, st.uuids(), st.integers(0, 3), st.sampled_from(STATUSES), st.just(False), st.none())
stuck_step = st.builds(
    Step, st.uuids(), st.integers(0, 3), st.just("waiting"), st.just(False), st.none(), st.just(True)
)
held_step = st.builds(
    Step, st.uuids(), st.integers(0, 3), st.just("waiting"), st.just(True), st.sampled_from([LATER, MUCH_LATER])
)


@given(st.sampled_from(MODES[1:]), st.lists(st.one_of(any_step, stuck_step, held_step), unique_by=lambda step: step.id))
def test_only_what_waits_is_moved_and_nothing_is_both_started_and_dropped(mode: str, steps: list[Step]) -> None:
    move = next_move(mode, steps, NOON, PATIENCE)
    held = {step.id for step in steps if step.is_held}
    assert set(move.turns) <= held
    assert set(move.drop) <= {step.id for step in steps if step.status == "waiting"}
    assert not (move.turns and move.drop)
    assert next_move(mode, steps[::-1], NOON, PATIENCE).turns == move.turns


@pytest.mark.parametrize(
    ("status", "reason", "held"),
    [
        ("waiting", "fallback", True),
        ("waiting", "escalation", True),
        ("waiting", "retry", False),
        ("waiting", "quiet_hours", False),
        ("queued", None, False),
        ("skipped", "escalation", False),
    ],
)
def test_a_step_is_held_while_it_waits_for_its_turn(status: str, reason: str | None, held: bool) -> None:
    assert is_held(status, reason) is held


@pytest.mark.parametrize(
    ("status", "reason", "outcome", "failures", "stuck"),
    [
        ("waiting", "provider_down", None, 0, True),
        ("waiting", "paused", None, 0, True),
        ("waiting", "retry", "rate_limited", 0, True),
        ("waiting", "retry", "misconfigured", 1, True),
        ("waiting", "retry", "retryable", 2, False),  # some that fail are no outage yet
        ("waiting", "retry", "retryable", 3, True),  # where little is sent no breaker opens
        ("waiting", "paced", None, 0, False),
        ("waiting", "quiet_hours", "retryable", 5, False),
        ("waiting", "fallback", None, 0, False),
        ("queued", None, "rate_limited", 3, False),
    ],
)
def test_a_step_is_stuck_while_its_channel_takes_nothing(
    status: str, reason: str | None, outcome: str | None, failures: int, stuck: bool
) -> None:
    assert is_stuck(status, reason, outcome, failures) is stuck


@pytest.mark.parametrize(
    ("mine", "others", "answer"),
    [
        (0, [], None),
        (1, [(0, "failed"), (2, "waiting")], None),
        (1, [(0, "sending")], "being_tried"),
        (0, [(1, "unknown")], "being_tried"),
        (0, [(1, "sent"), (2, "sending")], "not_needed"),
        (0, [(0, "delivered"), (0, "sending")], None),  # another address of the same channel
    ],
)
def test_of_two_steps_that_have_begun_one_goes(mine: int, others: list[tuple[int, str]], answer: str | None) -> None:
    assert overtaken(mine, others) == answer


def test_patience_is_told_with_the_decision_where_there_is_a_next_channel() -> None:
    def told(routing: str, **changes: Any) -> list[tuple[str, Any]]:
        planned = plan(facts(requested=("email", "inapp"), routing=routing, **changes), NOON)
        return [(step.reason, step.detail.get("seconds")) for step in planned.trace if "patience" in step.reason]

    by_priority = {priority: told("first", priority=priority) for priority in PRIORITIES}
    assert by_priority == {
        "urgent": [("no_patience", None)],
        "high": [("patience", 10)],
        "medium": [("patience", 60)],
        "low": [("patience", 600)],
    }
    assert told("best", priority="high") == [("patience", 10)]
    assert [told("all"), told("escalate"), told("first", addresses=())] == [[], [], []]


# ---- planning the steps


def escalated(**changes: Any) -> list[tuple[str, int, str | None, datetime | None]]:
    """(channel, step, reason, due) of a planned escalation: in-app, mail, SMS."""
    addresses = changes.pop("addresses", (MAIL, SMS))
    preferences = replace(changes.pop("preferences", Preferences()), channels={"sms": True})
    now = changes.pop("now", NOON)
    planned = plan(
        facts(
            requested=("inapp", "email", "sms"),
            routing="escalate",
            addresses=addresses,
            preferences=preferences,
            **changes,
        ),
        now,
    )
    return [(route.channel, route.step, route.reason, route.due_at) for route in planned.routes]


def test_an_escalation_goes_on_every_quarter_of_an_hour() -> None:
    assert escalated() == [
        ("inapp", 0, None, None),
        ("email", 1, "escalation", LATER),
        ("sms", 2, "escalation", MUCH_LATER),
    ]


def test_its_pace_is_the_submissions() -> None:
    hour = timedelta(hours=1)
    assert [due for *_, due in escalated(escalate_after=hour)] == [None, NOON + hour, NOON + 2 * hour]


def test_it_begins_when_it_was_submitted_for() -> None:
    assert escalated(send_at=MUCH_LATER) == [
        ("inapp", 0, "scheduled", MUCH_LATER),
        ("email", 1, "escalation", MUCH_LATER + QUARTER),
        ("sms", 2, "escalation", MUCH_LATER + 2 * QUARTER),
    ]


def test_a_channel_without_address_is_no_step() -> None:
    assert escalated(addresses=(SMS,)) == [("inapp", 0, None, None), ("sms", 1, "escalation", LATER)]


def test_steps_due_in_quiet_hours_wait_and_those_after_them_wait_longer() -> None:
    assert escalated(now=MIDNIGHT, preferences=NIGHT) == [
        ("inapp", 0, None, None),
        ("email", 1, "escalation", MORNING),
        ("sms", 2, "escalation", MORNING + QUARTER),
    ]


def test_steps_after_the_expiry_are_left_out() -> None:
    planned = plan(facts(requested=("inapp", "email"), routing="escalate", expires_at=LATER), NOON)
    assert [(skip.channel, skip.reason, skip.detail["held"]) for skip in planned.skips] == [
        ("email", "expired", "escalation")
    ]


TURNS: list[tuple[str, dict[str, Any], tuple[datetime | None, str | None]]] = [
    ("nobody is disturbed", {}, (None, None)),
    ("it is quiet, of `first`", {"preferences": NIGHT, "routing": "first"}, (MORNING, "quiet_hours")),
    ("it is quiet, of an escalation", {"preferences": NIGHT, "routing": "escalate"}, (MORNING, "escalation")),
    ("it is quiet, but this is urgent", {"preferences": NIGHT, "priority": "urgent"}, (None, None)),
    ("it is quiet, but this is transactional", {"preferences": NIGHT, "type": SHIPPED}, (None, None)),
    (
        "the person has muted all",
        {"preferences": Preferences(mute_until=MORNING), "routing": "first"},
        (MORNING, "muted"),
    ),
]


@pytest.mark.parametrize(("changes", "turn"), [case[1:] for case in TURNS], ids=[case[0] for case in TURNS])
def test_a_step_that_starts_early_does_not_start_in_the_quiet(
    changes: dict[str, Any], turn: tuple[datetime | None, str | None]
) -> None:
    assert turn_of(facts(**{"type": NEWS, **changes}), "email", MIDNIGHT) == turn


@pytest.mark.slow
@given(
    any_facts(),
    st.sampled_from([NOON, MIDNIGHT, MORNING]),
    st.sampled_from(MODES),
    st.permutations(["inapp", "email", "push", "sms"]),
)
def test_a_plan_has_one_first_step_and_all_later_ones_wait(
    known: Facts, now: datetime, mode: str, order: list[str]
) -> None:
    planned = plan(replace(known, routing=mode, requested=tuple(order)), now)
    steps = {route.channel: route.step for route in planned.routes}
    assert sorted(steps.values()) == ([0] * len(steps) if mode == "all" else list(range(len(steps))))
    assert all(is_held("waiting", route.reason) for route in planned.routes if route.step)
    assert not steps.keys() & {skip.channel for skip in planned.skips}


# ---- the best channel


def best(scores: Scores, seed: int = 1, channels: tuple[str, ...] = ("email", "push")) -> str:
    return in_order("best", channels, scores, seed).channels[0]


def test_the_order_is_drawn_anew_for_each_notification_and_the_same_for_one() -> None:
    nothing_known = Scores()
    drawn = Counter(best(nothing_known, seed) for seed in range(400))
    assert min(drawn["email"], drawn["push"]) > 150
    assert best(nothing_known, 7) == best(nothing_known, 7) == best(nothing_known, 7, ("push", "email"))


def test_what_the_person_opens_comes_first() -> None:
    scores = Scores({"email": (40, 4), "push": (40, 30)})
    assert Counter(best(scores, seed) for seed in range(200))["push"] == 200


def test_of_somebody_new_everyone_tells() -> None:
    scores = Scores({}, {"email": (100_000, 80_000), "push": (100_000, 5_000)})
    drawn = Counter(best(scores, seed) for seed in range(200))
    assert drawn["email"] > 180


def test_what_is_known_of_the_person_outweighs_everyone() -> None:
    scores = Scores({"email": (50, 0), "push": (50, 45)}, {"email": (100_000, 80_000), "push": (100_000, 5_000)})
    assert Counter(best(scores, seed) for seed in range(200))["push"] == 200


def test_it_says_what_it_knew() -> None:
    choice = plan(
        facts(
            SHIPPED,
            requested=("email", "push"),
            routing="best",
            scores=Scores({"push": (40, 30), "email": (40, 1)}),
            seed=3,
        ),
        NOON,
    )
    assert [route.channel for route in choice.routes] == ["push", "push", "email"]
    line = next(step for step in choice.trace if step.rule == "routing")
    assert (line.reason, line.detail) == (
        "best",
        {
            "because": "proved",
            "first": "push",
            "sent": 40,
            "opened": 30,
            "scores": {"push": {"sent": 40, "opened": 30}, "email": {"sent": 40, "opened": 1}},
        },
    )


def simulate(choose: Any, rates: dict[str, float], rounds: int, seed: int) -> tuple[Counter[str], int]:
    """A person who opens what comes by a channel at its rate, and is sent `rounds` notifications. → the channels used,
    and the opens.
    """
    chance, known = random.Random(seed), dict.fromkeys(rates, (0, 0))
    used: Counter[str] = Counter()
    opened = 0
    for number in range(rounds):
        channel = choose(Scores(known), seed * rounds + number)
        sent, before = known[channel]
        is_opened = chance.random() < rates[channel]
        known[channel] = (sent + 1, before + is_opened)
        used[channel] += 1
        opened += is_opened
    return used, opened


RATES = {"email": 0.15, "push": 0.45, "sms": 0.25}


def test_it_finds_the_better_channel_and_beats_a_fixed_order() -> None:
    learned = [
        simulate(lambda scores, seed: in_order("best", tuple(RATES), scores, seed).channels[0], RATES, 300, person)
        for person in range(30)
    ]
    fixed = [
        simulate(lambda scores, seed: in_order("first", tuple(RATES), scores, seed).channels[0], RATES, 300, person)
        for person in range(30)
    ]
    assert sum(used["push"] for used, _ in learned) > 0.75 * 30 * 300
    assert all(used.most_common(1)[0][0] == "push" for used, _ in learned)
    assert sum(opened for _, opened in learned) > 2 * sum(opened for _, opened in fixed)


def test_a_mode_without_learning_keeps_the_order_it_was_given() -> None:
    scores = Scores({"email": (40, 1), "push": (40, 39)})
    for mode in ("all", "first", "escalate"):
        assert in_order(mode, ("email", "push"), scores, 1).channels == ("email", "push")


def planned_order(planned: Plan) -> list[str]:
    return list(dict.fromkeys(route.channel for route in planned.routes))


@given(st.permutations(["inapp", "email", "push"]), st.integers(0, 2**128))
def test_the_best_does_not_depend_on_the_order_in_which_they_are_named(order: list[str], seed: int) -> None:
    scores = Scores({"email": (10, 5), "push": (10, 2)})
    known = facts(SHIPPED, routing="best", scores=scores, seed=seed, channels=dict(reversed(CHANNELS.items())))
    assert planned_order(plan(replace(known, requested=tuple(order)), NOON)) == planned_order(
        plan(replace(known, requested=("inapp", "email", "push")), NOON)
    )


@pytest.mark.parametrize(
    ("person", "is_proved"),
    [
        ({}, False),
        ({"email": (1, 0)}, False),
        ({"email": (0, 0), "push": (9, 9)}, False),
        ({"email": (50, 45), "push": (50, 1)}, True),
        ({"email": (50, 45), "push": (1, 1)}, False),
        ({"email": (2, 1), "push": (4, 2)}, True),
        ({"email": (2, 1), "push": (40, 0)}, True),
    ],
)
def test_opened_most_is_said_only_of_a_channel_that_was(person: Any, is_proved: bool) -> None:
    """Chance brings one to the front that was opened 0 of 1 times, to find out."""
    assert has_proved_itself("email", ("email", "push"), Scores(person)) is is_proved
