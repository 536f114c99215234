"""Says with the refusal of an unknown event type which one is likely to be meant, and where all of them are listed.

Called by `judge`. One query for a batch, and none for one without such a refusal.
"""

from collections.abc import Sequence
from dataclasses import replace

from notifier.catalogue.known import type_keys
from notifier.core.errors import Rejected
from notifier.core.nearest import nearest
from notifier.pipeline.intake.item import Item, Judged

_MOST = 5  # of a batch: comparing takes its time


def with_types(batch: Sequence[Item], judged: Sequence[Judged]) -> list[Judged]:
    """A key that may submit some types only is told of those."""
    helped = list(judged)
    unknown = [i for i, one in enumerate(judged) if isinstance(one, Rejected) and one.code == "unknown_type"]
    known = type_keys() if unknown else ()
    for i in unknown[:_MOST]:
        allowed = batch[i].caller.types
        meant = nearest(batch[i].submission.type, [key for key in known if allowed is None or key in allowed])
        one = judged[i]
        assert isinstance(one, Rejected)
        more = f"; did you mean {meant!r}?" if meant else ";"
        message = f"{one.faults[0].message}{more} GET /api/v1/types lists them"
        first = replace(one.faults[0], message=message, suggestion=meant)
        helped[i] = Rejected(one.code, message, (first, *one.faults[1:]))
    return helped
