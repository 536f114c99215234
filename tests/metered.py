"""How metrics grow: they are the process's, so that tests before have counted too."""

from collections.abc import Iterator
from contextlib import contextmanager

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
