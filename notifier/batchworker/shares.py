"""Who may take how many: pure arithmetic. Most pressing first, but each class of queues gets its share in the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Shares:
    """Divides free lanes among classes of queues (priorities), most pressing first.

    Each class earns its weight of every lane that is divided. What it has earned it gets before anybody
    gets more; what nobody has earned goes to the most pressing. So urgent work passes everything as long
    as there is little of it, and a flood of it still leaves the lowest class its share.
    """

    weights: Sequence[float]
    earned: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.earned = [0.0] * len(self.weights)

    def quotas(self, free: int) -> list[int]:
        """How many each class may take before the rest is given away. Does not exceed `free` in sum."""
        total = sum(self.weights)
        left, quotas = free, []
        for index, weight in enumerate(self.weights):
            self.earned[index] += free * weight / total
            quota = min(int(self.earned[index]), left)
            quotas.append(quota)
            left -= quota
        return quotas

    def took(self, counts: Sequence[int], quotas: Sequence[int]) -> None:
        """What was taken of the quotas is paid for. Nothing is saved up by a class that has no work."""
        for index, (count, quota) in enumerate(zip(counts, quotas, strict=True)):
            self.earned[index] = 0.0 if count < quota else self.earned[index] - quota


def ceiling(lanes: int, groups: int) -> int:
    """How many lanes one group of queues (a channel) may hold: half of them, so that a hanging one leaves the others room."""
    return lanes if groups <= 1 else max(1, lanes // 2)


def kept_for_urgent(lanes: int) -> int:
    """Lanes that only the most pressing class may use."""
    return 0 if lanes < 4 else max(1, lanes // 8)
