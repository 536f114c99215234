"""The interface between the worker and the handlers that do the work."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True, eq=False)
class Job:
    """One job taken from a queue. `execution` is this taking of it; `unit` is the handler's own."""

    id: str
    queue: str
    execution: str
    args: list[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)
    unit: Any = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended. `failure` is the text for RQ's FailedJobRegistry; None: it is done.

    A job that is done is deleted, unless `keeps_job` says that its hash is still wanted.
    """

    job: Job
    failure: str | None = None
    keeps_job: bool = False


class BatchHandler(Protocol):
    """Does the jobs of one function, many at a time.

    `begin` runs on the worker's main thread, `run` on one of its lanes, and `finish` on a thread of its own, one batch
    at a time, while the next ones are begun; `run` must not raise. If `begin` raises one of `outages`, the jobs go back
    to their queues for a while; if `finish` raises one, it is called again until it succeeds, since sent messages must
    be recorded. Any other exception is a bug: the batch is taken apart, and the job that causes it ends as failed, with
    the trace.
    """

    outages: tuple[type[Exception], ...]

    def begin(self, jobs: Sequence[Job]) -> list[Job]:
        """Prepares them and sets each one's `unit`; → those to be run.
        The others are done: nobody wants them any more.
        """

    def run(self, job: Job) -> None:
        """The slow part: waits for the outside world. Must leave its result in the unit."""

    def finish(self, jobs: Sequence[Job]) -> list[Ended]:
        """Records the results. Returns one answer for each job."""

    def renew(self, jobs: Sequence[Job]) -> None:
        """Called every few seconds with the jobs that are still running, to keep the handler's own leases alive."""
