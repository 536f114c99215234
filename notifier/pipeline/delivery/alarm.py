"""Tells every admin that a provider has failed, with a `delivery_failure` notification sent the normal way.

Called by `delivery.record`. Once per provider and quarter of an hour, whichever worker notices; never because such an
alarm could not be sent. `is_first` is also for `upkeep.synthetic`.
"""

from collections.abc import Mapping, Sequence

import redis
import structlog

from notifier.core.submission import InlineRecipient, Submission
from notifier.ground import shapes
from notifier.ground.clock import now as clock_now
from notifier.ground.config import current_settings
from notifier.ground.extensions import redis_store
from notifier.pipeline.delivery.task import Task
from notifier.pipeline.intake import own

TYPE = "delivery_failure"
ONCE_IN_S = 900

log = structlog.get_logger()


def tell(happened: Mapping[str, str], tasks: Sequence[Task]) -> None:
    """`happened`: provider → the change of its breaker, as `health.report` answers. A failed alarm must not harm the
    delivery of others.
    """
    for scope, what in happened.items():
        failed = [
            task
            for task in tasks
            if any(latest.error and latest.adapter.scope(task.recipient) == scope for latest in task.tries)
        ]
        if (
            what == "closed"
            or not failed
            or all(task.notification.type == TYPE for task in failed)
            or not is_first(scope, ONCE_IN_S)
        ):
            continue
        data = {
            "channel": failed[0].delivery.channel,
            "provider": scope,
            "failed": len(failed),
            "since": shapes.timestamp(clock_now()),
            "url": current_settings().link("admin", "failed"),
        }
        try:
            own.submit(Submission(TYPE, (InlineRecipient("admins"),), data))
        except Exception:
            log.exception("alarm.not_raised", provider=scope)


def is_first(scope: str, within_s: int) -> bool:
    """Whether nobody has told of it for so long. `scope`: a breaker's, or `~` and the name of what else is told of."""
    try:
        return bool(redis_store.client.set(f"notifier:told:{scope}", 1, nx=True, ex=within_s))
    except redis.RedisError:
        return False  # without Redis no breaker opens: this report is late
