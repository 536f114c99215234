"""What an installation's admins allow a producer: the targets of webhooks.

Called by the API, the console and the commands. A change holds in other processes within a few seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from notifier.core.errors import Fault, Rejected
from notifier.ground.database import transaction
from notifier.ground.target_lists import PRODUCER, TargetList
from notifier.ledgers import audit
from notifier.models import Producer
from notifier.queries import webhook_targets


def change(producer_id: UUID, given: Mapping[str, Any]) -> None:
    """Sets those of `webhook_targets` (a list of texts, None: no list) that are given. Raises Rejected with every
    fault; then nothing is changed.
    """
    values, faults = {}, list[Fault]()
    for name, value in given.items():
        try:
            values[name] = None if value is None else _READ[name](value)
        except ValueError as error:
            faults.append(Fault(f"/{name}", f"invalid_{name}", str(error)))
    if faults:
        raise Rejected("validation_failed", faults[0].message, tuple(faults))
    with transaction() as session:
        producer = session.get(Producer, producer_id, with_for_update=True, populate_existing=True)
        if producer is None:
            raise Rejected("not_found", "there is no such producer")
        before = {name: getattr(producer, name) for name in values}
        for name, value in values.items():
            setattr(producer, name, value)
        if values != before:
            audit.write("producer.limits_set", producer.name, before=before, after=values)
    webhook_targets.forget_cached()


def _targets(texts: Sequence[str]) -> list[str]:
    return TargetList.parse(PRODUCER, texts).entries()


_READ: Mapping[str, Callable[[Any], Any]] = {"webhook_targets": _targets}
