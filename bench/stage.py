"""Where a measurement takes place, and how its cost is counted: CPU time of one operation, in every process that has a
part in it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.installation import Installation
from bench.processes import Program, cpu_s, peak_mb
from bench.sample import CROWD, PEOPLE
from notifier.ground import tokens as signing
from notifier.ground.extensions import db
from notifier.queries import valid_tokens

# What ends in `/s` is a rate, in `_ms` a latency, in `_us` CPU time of one operation, in `_mb` memory.
Found = dict[str, float]

LOCAL_CLIENTS = 48


@dataclass(frozen=True, slots=True)
class Stage:
    """An installation with people in it, and receivers of webhooks beside it that answer at once and after 100 ms.

    `scale` shortens everything for a quick look.
    """

    installation: Installation
    scale: float
    quick_port: int
    slow_port: int

    def some(self, count: int) -> int:
        return max(50, round(count * self.scale))

    @contextlib.contextmanager
    def costs(self, found: Found, operations: Callable[[], float]) -> Iterator[None]:
        """Adds the CPU time that the servers spend on an operation meanwhile."""
        before = self.installation.servers_cpu_s()
        yield
        for name, after in self.installation.servers_cpu_s().items():
            found[f"{name}_cpu_us"] = micros(after - before[name], operations())


def micros(seconds: float, operations: float) -> float:
    return round(seconds / max(operations, 1) * 1e6, 1)


def all_cpu_us(found: Found) -> float:
    """Of one operation, in the process and in the servers behind it."""
    return sum(value for name, value in found.items() if name in ("cpu_us", "redis_cpu_us", "postgresql_cpu_us"))


def token(user_id: str) -> str:
    """For the inbox of somebody who is there."""
    subject = valid_tokens.subject_of(user_id)
    db.session.rollback()  # SQLite would go on showing this moment to whoever asks next
    assert subject is not None
    return signing.sign_user_token(subject, 3600)[0]


def loaded(stage: Stage, web: Program, port: int, kind: str, *options: object, per_request: int = 1) -> Found:
    """What a web process bears of that load (`rate`), and what it costs."""
    shared = ("--port", port, "--prefix", PEOPLE, "--users", CROWD)
    found: Found = {}
    operations = 0.0
    before = cpu_s([web.process.pid])
    with stage.costs(found, lambda: operations):
        answer: dict[str, Any] = stage.installation.start("bench.load", kind, *shared, *options).answer()
        operations = answer["requests"] * per_request
    if answer["refused"]:
        raise RuntimeError(f"the web process refused: {answer['refused']}")
    peak = peak_mb(web.process.pid)
    return {
        "rate": round(operations / answer["seconds"], 1),
        **{name: answer[name] for name in ("p50_ms", "p99_ms")},
        "cpu_us": micros(cpu_s([web.process.pid]) - before, operations),
        "load_cpu_us": micros(answer["cpu_s"], operations),
        **({"peak_mb": peak} if peak else {}),
        **found,
    }
