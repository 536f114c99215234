"""Checks the data of submissions against the schemas of their types.

Called by `accept`, `dry_run` and `schedules` before their transaction: schemas come from people, and take their time. A
type may change before the item is judged: `judge` raises `Outdated`, and its caller checks and judges anew.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from notifier.catalogue.known import load_types
from notifier.catalogue.schemas import Check, check_all
from notifier.core.errors import Fault, Rejected
from notifier.pipeline.intake.item import Item

P = ParamSpec("P")
T = TypeVar("T")

_TRIES = 3


class Outdated(Exception):
    """An event type was changed between two of our queries; the batch is judged again."""


def judged_anew(work: Callable[P, T]) -> Callable[P, T]:
    """For a function that checks data, then judges in a transaction: it is run again when a type was changed in
    between.
    """

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(_TRIES - 1):
            with contextlib.suppress(Outdated):
                return work(*args, **kwargs)
        return work(*args, **kwargs)

    return run


@dataclass(frozen=True, slots=True)
class Checked:
    """The faults of an item's data by this schema of its type (None: there was no such type), or why they could not be
    found out.
    """

    schema: Mapping[str, Any] | None
    faults: Sequence[Fault] | Rejected = ()


def check_against_schemas(batch: Sequence[Item]) -> list[Checked]:
    """Each item's data against the schema of its type. Before the transaction: schemas come from people, and take their
    time.
    """
    types = load_types({item.submission.type for item in batch})
    schemas = [types[item.submission.type].schema if item.submission.type in types else None for item in batch]
    checks = [
        Check(item.submission.type, schema, item.submission.data)
        for item, schema in zip(batch, schemas, strict=True)
        if schema is not None
    ]
    found = iter(check_all(checks))
    return [Checked(schema, next(found) if schema is not None else ()) for schema in schemas]
