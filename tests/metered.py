"""Which metrics there are, and how they grow: they are the process's, so that tests before have counted too."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from notifier.ground.config import ROOT
from notifier.ground.metrics import REGISTRY

Series = dict[str, float]


def series() -> Series:
    """`name{label="value"}` → its value now."""
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if not sample.name.startswith(("process_", "notifier_build"))
    }


@contextmanager
def growth() -> Iterator[Series]:
    """Filled at the end with what has grown meanwhile, and by how much."""
    grown: Series = {}
    before = series()
    yield grown
    grown |= {name: value - before.get(name, 0.0) for name, value in series().items() if value > before.get(name, 0.0)}


def documented() -> dict[str, list[str]]:
    """Metric → its labels, as docs/metrics.md has them (tests/test_watching.py compares it with what is exposed)."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\| .* \|$", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    found = {name: re.findall(r"`(\w+)`", labels) for name, labels in rows}
    assert len(found) == len(rows)
    return found


def unknown_in(expression: str) -> set[str]:
    """The metrics of an expression of PromQL that nothing exposes, and the labels that the named ones do not have."""
    known = documented() | {"notifier_process_up": ["process"]}
    plain = re.sub(r'"[^"]*"', "", expression)
    named = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:notifier|process)_\w+", plain)}
    whole = set(re.findall(r"\b(?:notifier|process)_\w+", plain))
    mine = {name for name in whole | named if name in known}
    missing = {name for name in whole if name not in known and re.sub(r"_(bucket|sum|count)$", "", name) not in known}
    asked = {label for inside in re.findall(r"\{([^}]*)\}", plain) for label in re.findall(r"(\w+)\s*(?:=|!)", inside)}
    asked |= {label for inside in re.findall(r"\bby \(([^)]*)\)", plain) for label in re.findall(r"\w+", inside)}
    labels = {label for name in mine for label in known[name]} | {"le", "job", "instance", "process"}
    return missing | (asked - labels if mine else set())
