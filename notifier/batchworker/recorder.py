"""Records jobs that have run, a batch at a time: on a thread of its own, while the worker begins the next ones."""

import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from notifier.batchworker.contract import BatchHandler, Ended, Job

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Batch:
    """`left`: the jobs that an outage kept from being recorded."""

    jobs: dict[Job, BatchHandler]
    ended: list[Ended] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)
    outage: Exception | None = None


def record(batch: Batch) -> None:
    """Does not raise: its results are in the batch."""
    for handler, jobs in grouped((handler, job) for job, handler in batch.jobs.items()):
        _finish_with(handler, jobs, batch)


def _finish_with(handler: BatchHandler, jobs: Sequence[Job], batch: Batch) -> None:
    try:
        batch.ended += handler.finish(jobs)
    except handler.outages as error:
        batch.outage = error
        batch.left += jobs
    except Exception:
        if len(jobs) > 1:
            for job in jobs:
                _finish_with(handler, [job], batch)
            return
        log.exception("worker.job_broke", job=jobs[0].id)
        batch.ended.append(Ended(jobs[0], failure=traceback.format_exc()))


def grouped(pairs: Iterable[tuple[BatchHandler, Job]]) -> list[tuple[BatchHandler, list[Job]]]:
    """The jobs of each handler together."""
    groups: dict[int, tuple[BatchHandler, list[Job]]] = {}
    for handler, job in pairs:
        groups.setdefault(id(handler), (handler, []))[1].append(job)
    return list(groups.values())
