"""The figures that `python -m notifier capacity` reckons with, as the last `make bench ARGS=--capacity` found them.

They are written to one file, which comes with the product; nobody copies a figure by hand.
"""

import platform
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime

from bench.stage import Found
from notifier.programs.capacity import MEASURED

# Operation of the calculator → the measurement that it is taken from
OPERATIONS = {
    "single": "singles",
    "bulk": "bulks",
    "broadcast": "broadcast",
    "receipt": "receipts",
    "email": "email",
    "sms": "twilio",
    "push": "fcm",
    "webhook": "webhook",
}
STORED = "stored"
MEASURES = (*OPERATIONS.values(), STORED)


def keep(results: Mapping[str, Found], *, is_whole: bool, cores: int | None) -> None:
    """Writes what was measured on PostgreSQL; what was not measured now stays as it was. `is_whole`: not `--quick`."""
    known = tomllib.loads(MEASURED.read_text()) if MEASURED.exists() else {}
    costs = {name: _cost(results[measure]) for name, measure in OPERATIONS.items() if measure in results}
    sizes = results.get(STORED) or known.get("stored", {})
    machine = {
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": cores or 0,
        "work": "all" if is_whole else "a fifth",
    }
    lines = [
        "# Written by `make bench ARGS=--capacity`, read by `python -m notifier capacity`. Not to be changed by hand.",
        "",
        "[machine]",
        *(f"{name} = {value!r}".replace("'", '"') for name, value in machine.items()),
        "",
        "# CPU time of one operation in µs: in the process, in Redis, in PostgreSQL",
        "[cpu_us]",
    ]
    for name, cost in {**known.get("cpu_us", {}), **costs}.items():
        lines.append(f"{name} = [{', '.join(f'{part:g}' for part in cost)}]")
    lines += ["", "# On the disk, indexes included", "[stored]"]
    lines += [f"{name} = {value:g}" for name, value in sizes.items()]
    MEASURED.write_text("\n".join(lines) + "\n")


def _cost(found: Found) -> tuple[float, ...]:
    return tuple(round(found.get(f"{name}cpu_us", 0.0), 1) for name in ("", "redis_", "postgresql_"))
