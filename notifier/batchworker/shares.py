"""How classes of queues (priorities) and groups of queues (channels) share the lanes. `take` applies it."""

WEIGHTS = (40, 30, 20, 10)  # of all that is taken while every class waits, the most pressing first
# Takes that a class is left behind its share while a more pressing one has work: urgent work passes all as long as
# there is little of it
BEHIND = 8


def ceiling(lanes: int, groups: int) -> int:
    """How many lanes one group of queues (a channel) may hold: half of them, so that a hanging one leaves the others
    room.
    """
    return lanes if groups <= 1 else max(1, lanes // 2)


def kept_for_urgent(lanes: int) -> int:
    """Lanes that only the most pressing class may use."""
    return 0 if lanes < 4 else max(1, lanes // 8)
