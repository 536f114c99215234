"""An RQ worker that runs many jobs at once: taken in one Lua step, sent on threads, settled in one pipeline.

RQ's own workers run one job at a time at about 2 ms of CPU and a dozen round trips each. This one keeps
RQ's keys and registries, so `rq info`, `rq requeue` and a stock `rq worker` on the same queues go on
working, and spends a tenth of that. It knows nothing of notifications: a `BatchHandler` does the work.
README.md in this folder shows how another project would use it.
"""

from notifier.batchworker.contract import BatchHandler, Ended, Job
from notifier.batchworker.life import ANSWER_S
from notifier.batchworker.take import Source
from notifier.batchworker.worker import BatchWorker

__all__ = ["ANSWER_S", "BatchHandler", "BatchWorker", "Ended", "Job", "Source"]
