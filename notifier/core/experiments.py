"""Experiments with a template's words: which variant a person gets, and what the figures say. Pure.

A person's variant follows from a hash alone, so it is the same in every process and for ever, whoever else comes in and
whatever other experiment begins. `pipeline.planning.orders` asks for it; `queries.experiments` asks for the results.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from notifier.core.record import record

PREPARED, RUNNING, STOPPED = "draft", "running", "stopped"
CONTROL = "control"  # the published version; it has what is left of the weight
ALL_WEIGHT = 100
MOST_VARIANTS = 9  # beside the control
OPENED, CLICKED = GOALS = ("opened", "clicked")

_POINTS = 2**64
_Z_95 = 1.959964  # of the normal distribution: 95 % lie within
_FEWEST_EXPECTED = 5  # in each cell of the table; with fewer the normal approximation is wrong
_SIGNIFICANT = 0.05

TOO_EARLY, NO_DIFFERENCE = "too early", "no difference"
NOTE = (
    "Decide beforehand how many people it is to reach, and look then: whoever looks every day and stops at the first "
    "significant figure is wrong far more often than 1 time in 20."
)


@dataclass(frozen=True, slots=True)
class Variant:
    """`weight`: its part of ALL_WEIGHT. `template_id`: the version that holds its words."""

    id: UUID
    name: str
    weight: int
    template_id: UUID


@dataclass(frozen=True, slots=True)
class Experiment:
    """A running one. `variants` are in the order in which they were added, the control first, and share ALL_WEIGHT."""

    id: UUID
    key: str  # of the template
    variants: tuple[Variant, ...]

    def variant_for(self, user_id: str) -> Variant:
        """The person's: by where their point lies among the weights, one after the other."""
        said = f"{user_id}\0{self.key}\0{self.id.hex}".encode()
        point = int.from_bytes(hashlib.sha256(said).digest()[:8]) * ALL_WEIGHT
        reached = 0
        for variant in self.variants:
            reached += variant.weight
            if point < reached * _POINTS:
                return variant
        return self.variants[-1]


@record
class Wording:
    """With what something is said: a version of a template (None: of none), or whichever a running experiment deals to
    each person. `variant_id`: the version is that variant, and has been dealt.
    """

    template_id: UUID | None = None
    variant_id: UUID | None = None
    experiment: Experiment | None = None

    def for_person(self, user_id: str) -> "Wording":
        """The one place where a variant is chosen. What is stored with the notification then is what retries,
        fallbacks, digests and resends say.
        """
        if self.experiment is None:
            return self
        variant = self.experiment.variant_for(user_id)
        return Wording(variant.template_id, variant.id)


@dataclass(frozen=True, slots=True)
class Tried:
    """A variant's figures: `people` it has reached, and those among them who did what the experiment is for."""

    name: str
    people: int
    successes: int

    @property
    def rate(self) -> float | None:
        return self.successes / self.people if self.people else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`words`: `too early`, `no difference`, or `b is better`. `p_value` None: too early to say."""

    words: str
    p_value: float | None
    better: str | None = None


def interval(successes: int, people: int) -> tuple[float, float] | None:
    """Wilson's score interval at 95 %, of which the true rate is probably part. None for nobody.

    Wilson (1927); unlike the usual ± it is right for rates near 0 and 1, and for few people.
    """
    if not people:
        return None
    rate, z2 = successes / people, _Z_95**2
    middle = (rate + z2 / (2 * people)) / (1 + z2 / people)
    half = _Z_95 * math.sqrt(rate * (1 - rate) / people + z2 / (4 * people**2)) / (1 + z2 / people)
    return max(0.0, middle - half), min(1.0, middle + half)


def two_proportions(one: Tried, other: Tried) -> tuple[float, float] | None:
    """→ z of the two-proportion test with pooled p, and its two-sided p-value; None where fewer than 5 are expected in
    a cell, since the normal approximation does not hold.
    """
    if not one.people or not other.people:
        return None
    pooled = (one.successes + other.successes) / (one.people + other.people)
    if min(one.people, other.people) * min(pooled, 1 - pooled) < _FEWEST_EXPECTED:
        return None
    error = math.sqrt(pooled * (1 - pooled) * (1 / one.people + 1 / other.people))
    z = (one.successes / one.people - other.successes / other.people) / error
    return z, math.erfc(abs(z) / math.sqrt(2))


def judge(tried: Sequence[Tried]) -> Verdict:
    """The best one against the next best. Of more than two, the p-value is multiplied by the number of pairs
    (Bonferroni): whoever compares more finds more by chance.
    """
    if any(not one.people for one in tried) or len(tried) < 2:
        return Verdict(TOO_EARLY, None)
    best, second, *_ = sorted(tried, key=lambda one: one.successes / one.people, reverse=True)
    found = two_proportions(best, second)
    if found is None:
        return Verdict(TOO_EARLY, None)
    p_value = min(1.0, found[1] * math.comb(len(tried), 2))
    if p_value >= _SIGNIFICANT:
        return Verdict(NO_DIFFERENCE, p_value)
    return Verdict(f"{best.name} is better", p_value, best.name)
