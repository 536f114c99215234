"""`capacity`: what a load takes. The figures that it reckons with are in `capacity.toml`, as `make bench` left them."""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from notifier.channels import CHANNELS
from notifier.core.capacity import GB, IN_FLIGHT, PROCESS_AT, SECONDS_A_DAY, SERVER_AT, Cost, Load, Measured, plan

MEASURED = Path(__file__).with_suffix(".toml")
_SPANS = {"per_second": 1, "per_hour": 3_600, "per_day": SECONDS_A_DAY}
_USUAL_PEAK = {"per_second": 1.0, "per_hour": 1.0, "per_day": 10.0}


def run(options: argparse.Namespace) -> int:
    strange = [name for name, _ in options.channels if name not in CHANNELS]
    if strange:
        print(f"There is no channel {strange[0]}. The channels are: {' '.join(CHANNELS)}", file=sys.stderr)
        return 2
    print("\n".join(told(options)))
    return 0


def known() -> tuple[Measured, Mapping[str, Any]]:
    """→ the constants, and the machine they are from."""
    found = tomllib.loads(MEASURED.read_text())
    costs = {name: Cost(*parts) for name, parts in found["cpu_us"].items()}
    return Measured(costs, found["stored"]), found["machine"]


def load_of(options: argparse.Namespace) -> Load:
    [(span, count)] = [(name, getattr(options, name)) for name in _SPANS if getattr(options, name)]
    return Load(
        count / _SPANS[span],
        options.peak or _USUAL_PEAK[span],
        dict(options.channels),
        calls=options.calls,
        answer_s=options.answer_ms / 1000,
        people=round(options.people or 0),
        database_cores=options.database_cores,
        kept_days=options.kept_days,
    )


def told(options: argparse.Namespace) -> Iterator[str]:
    load = load_of(options)
    measured, machine = known()
    found = plan(load, measured)
    shares = ", ".join(f"{name} {share:.3g}" for name, share in load.channels.items())
    yield f"{load.per_second:,.0f} notifications a second, {load.per_second * load.peak:,.0f} at the peak; {shares}"
    yield ""
    yield "Arithmetic: what that takes at the peak"
    yield f"  web         {found.web:>7,} processes   {found.web_cores:>8,.2f} cores busy"
    yield f"  worker      {found.workers:>7,} processes   {found.worker_cores:>8,.2f} cores busy"
    yield f"  scheduler   {found.schedulers:>7,} processes"
    yield (
        f"  PostgreSQL  {found.databases:>7,} primaries of {load.database_cores} cores, "
        f"{found.database_cores:,.2f} cores busy"
    )
    yield f"  Redis       {found.redises:>7,} of one core, {found.redis_cores:,.2f} cores busy"
    per_span = found.bytes_a_day / (24 if options.per_hour else 1) / GB
    span = "an hour" if options.per_hour else "a day"
    yield f"  disk        {per_span:>7,.1f} GB {span}, {found.kept_bytes / GB:,.0f} GB kept if it goes on"
    yield (
        f"  A process is planned at {PROCESS_AT:.0%} of a core, PostgreSQL and Redis at {SERVER_AT:.0%}; a worker has "
        f"{IN_FLIGHT} sends of a"
    )
    yield (
        f"  channel under way, each of {load.answer_s * 1000:g} ms. Notifications are kept for {load.kept_days:g} days,"
        f" events for {load.events_days:g}."
    )
    if found.databases > 1:
        yield f"  One installation does not bear it: share the people out among {found.databases} (cells)."
    yield ""
    yield (
        f"Measured ({machine['on']}, {machine['cores']} cores, Python {machine['python']}): CPU µs of an operation,"
        " and bytes of a row"
    )
    yield f"  {'':<12}{'ours':>8}{'Redis':>8}{'database':>10}"
    used = [load.calls, "receipt", *(name for name in load.channels if name in measured.costs)]
    for name in used:
        cost = measured.costs[name]
        yield f"  {name:<12}{cost.ours:>8,.0f}{cost.redis:>8,.0f}{cost.database:>10,.0f}"
    sizes = [
        f"{name.removesuffix('_bytes').replace('_', ' ')} {size:,.0f}"
        for name, size in measured.stored.items()
        if name.endswith("_bytes")
    ]
    yield f"  {', '.join(sizes[:5])},"
    yield f"  {', '.join(sizes[5:])}"
    others = [name for name in load.channels if name not in measured.costs and name != "inapp"]
    if others:
        yield f"  {', '.join(others)}: not measured; reckoned as a webhook"
