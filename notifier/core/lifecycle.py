"""The life of a delivery: one literal table, against which every change of a status is checked.

`docs/architecture.md` shows the diagram printed by `diagram()`; a test keeps them equal.
"""

WAITING, QUEUED, SENDING, SENT, DELIVERED, OPENED, CLICKED = (
    "waiting", "queued", "sending", "sent", "delivered", "opened", "clicked",
)  # fmt: skip
FAILED, UNKNOWN, BOUNCED, EXPIRED, CANCELLED, SKIPPED = (
    "failed",
    "unknown",
    "bounced",
    "expired",
    "cancelled",
    "skipped",
)
DISCARDED = "discarded"  # the reason of a dead letter that a person has discarded

MOVES: dict[str, frozenset[str]] = {
    # Delivered: a due in-app item; or the try before got through after all, as the provider tells later
    WAITING: frozenset({QUEUED, DELIVERED, OPENED, CLICKED, EXPIRED, CANCELLED, SKIPPED}),
    QUEUED: frozenset({SENDING, WAITING, DELIVERED, OPENED, CLICKED, EXPIRED, CANCELLED, SKIPPED}),
    # Expired: claimed too late
    SENDING: frozenset({SENT, DELIVERED, WAITING, QUEUED, FAILED, UNKNOWN, SKIPPED, EXPIRED}),
    SENT: frozenset({DELIVERED, OPENED, CLICKED, BOUNCED, FAILED}),
    DELIVERED: frozenset({OPENED, CLICKED, BOUNCED, FAILED}),
    OPENED: frozenset({CLICKED}),
    CLICKED: frozenset(),
    FAILED: frozenset({QUEUED, SENDING}),  # sending: claimed by a job that RQ's own tools requeued
    # Settled by the provider's word, or retried
    UNKNOWN: frozenset({QUEUED, SENDING, SENT, DELIVERED, OPENED, CLICKED, BOUNCED, FAILED}),
    BOUNCED: frozenset(),
    EXPIRED: frozenset(),
    CANCELLED: frozenset(),
    SKIPPED: frozenset({WAITING}),  # superseded by one that was cancelled
}

STATUSES = tuple(MOVES)
OPEN = frozenset({WAITING, QUEUED, SENDING})  # something is still to happen without anybody's help
# Ended without success; stands among the dead letters until somebody retries or discards it
DEAD = frozenset({FAILED, UNKNOWN})
SUCCEEDED = frozenset({SENT, DELIVERED, OPENED, CLICKED})
READ = frozenset({OPENED, CLICKED})  # also the kinds of events that lead there
LEFT_OUT = frozenset({EXPIRED, CANCELLED, SKIPPED})  # ended without having been sent, on purpose

# How far a notification has come is how far its furthest delivery has.
_FURTHEST_LAST = (
    SKIPPED,
    CANCELLED,
    EXPIRED,
    BOUNCED,
    FAILED,
    UNKNOWN,
    WAITING,
    QUEUED,
    SENDING,
    SENT,
    DELIVERED,
    OPENED,
    CLICKED,
)


def may_move(old: str, new: str) -> bool:
    return new in MOVES[old]


def leading_to(new: str) -> tuple[str, ...]:
    """From where it may come to this: what every UPDATE of a status has in its WHERE."""
    return tuple(old for old in STATUSES if may_move(old, new))


def furthest(statuses: list[str]) -> str:
    """The status of the whole, given those of its deliveries. With none at all nothing will happen: skipped."""
    return max(statuses, key=_FURTHEST_LAST.index, default=SKIPPED)


def diagram() -> str:
    """The table as Mermaid."""
    lines = ["stateDiagram-v2"]
    lines += [f"    {old} --> {new}" for old, moves in MOVES.items() for new in STATUSES if new in moves]
    return "\n".join(lines)
