"""What rises: how often something happens now against how often it happened before."""

from dataclasses import dataclass

TYPE, PROVIDER, ERROR = "type", "provider", "error"
ARRIVED, FAILED = "arrived", "failed"
LEAST = {ARRIVED: 100, FAILED: 5}  # fewer are no trend
FACTOR = 2


@dataclass(frozen=True, slots=True)
class Change:
    """How often `event` happened to a type, to an account, or by an error, in the window and in the one before it."""

    kind: str
    name: str
    event: str
    now: int
    before: int

    @property
    def is_rising(self) -> bool:
        return is_rising(self.event, self.now, self.before)


def is_rising(event: str, now: float, before: float) -> bool:
    """Both counts are those of equal spans of time; `before` may be an average."""
    return now >= LEAST[event] and now > FACTOR * before


def steepest(changes: list[Change], most: int) -> list[Change]:
    """Those that rise, failures first, the steepest first."""
    rising = [one for one in changes if one.is_rising]
    return sorted(rising, key=lambda one: (one.event != FAILED, -one.now / (one.before or 0.5), one.name))[:most]
