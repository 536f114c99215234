"""Checks a submission's data against the JSON Schema of its event type. Validators are compiled once per version of the type."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from notifier.core.errors import Fault
from notifier.models import EventType

_MOST_FAULTS = 20


def data_faults(type_: EventType, data: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with `data`, by pointer. An empty list when it fits."""
    validator = _validator(type_.key, json.dumps(type_.schema, sort_keys=True))
    faults = []
    for error in validator.iter_errors(data):
        if error.validator == "required":
            missing = sorted(set(error.validator_value) - set(error.instance))
            faults += [Fault(_pointer([*error.absolute_path, name]), "missing", f"{name!r} is required by {type_.key}") for name in missing]
        else:
            faults.append(Fault(_pointer(error.absolute_path), str(error.validator), _sentence(error)))
        if len(faults) >= _MOST_FAULTS:
            break
    return list(dict.fromkeys(faults))


@functools.lru_cache(maxsize=1024)
def _validator(_key: str, schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema), format_checker=FormatChecker())


def _sentence(error: Any) -> str:
    """The validator's own words, without the value itself: it may be long, and secret."""
    name = error.absolute_path[-1] if error.absolute_path else "data"
    if error.validator == "type":
        return f"{name!r} must be of type {error.validator_value}"
    if error.validator == "pattern":
        return f"{name!r} does not have the required form"
    return f"{name!r} does not satisfy {error.validator}: {error.validator_value}"[:300]


def _pointer(path: Any) -> str:
    return "/data" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
