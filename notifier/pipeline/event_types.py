"""Creating and changing event types. Called by the API; what the planner will see is checked here."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from notifier import channels
from notifier.clock import now
from notifier.core.errors import Fault, Rejected
from notifier.core.routing import ESCALATE
from notifier.core.submission import CEILINGS, PRIORITIES
from notifier.database import transaction
from notifier.models import EventType
from notifier.pipeline import audit, kept
from notifier.pipeline.schemas import UNAVAILABLE, TooComplex, Validator, compiled_pattern, errors_of

FIELDS = (
    *("titles", "category", "priority", "channels", "schema", "is_mandatory", "to_admins", "resend_unknown"),
    *("routing", "escalate_after_s", "dedupe_window_s", "dedupe_near"),
)
_DIALECTS = ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#")
_REFERENCES = ("$ref", "$dynamicRef")
_NAMED_SCHEMAS = ("properties", "$defs", "dependentSchemas")  # whose keys are names, not keywords
_PLAIN_VALUES = ("const", "enum", "default", "examples")


def put(key: str, fields: Mapping[str, Any]) -> bool:
    """Stores the type as a whole, with every field of FIELDS. → whether it is new. Raises Rejected naming every fault."""
    faults = [
        *_channel_faults(fields["channels"]),
        *_priority_faults(fields["category"], fields["priority"]),
        *_routing_faults(fields["routing"], fields["escalate_after_s"]),
        *schema_faults(fields["schema"]),
    ]
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults[:3]), tuple(faults))
    with transaction() as session:
        row = session.get(EventType, key, with_for_update=True, populate_existing=True)
        if row is not None and row.is_internal:
            raise Rejected("conflict", f"{key!r} belongs to the product itself; its words can be changed, it cannot")
        is_new = row is None
        before = {name: getattr(row, name) for name in FIELDS} if row is not None else None
        audit.write("type.saved", key, before=before, after={name: fields[name] for name in FIELDS})
        if row is None:
            session.add(EventType(key=key, **{name: fields[name] for name in FIELDS}))
        else:
            for name in FIELDS:
                setattr(row, name, fields[name])
            row.updated_at = now()
    kept.forget()
    return is_new


def _channel_faults(names: list[str]) -> list[Fault]:
    return [Fault(f"/channels/{i}", "unknown_channel", f"there is no channel {name!r}") for i, name in enumerate(names) if name not in channels.CHANNELS]


def _priority_faults(category: str, priority: str) -> list[Fault]:
    ceiling = CEILINGS.get(category, PRIORITIES[0])
    if PRIORITIES.index(priority) < PRIORITIES.index(ceiling):
        return [Fault("/priority", "priority_too_high", f"{category} types are at most {ceiling}")]
    return []


def _routing_faults(routing: str | None, escalate_after_s: int | None) -> list[Fault]:
    """Without a routing of its own, its delay is for submissions that name `escalate`."""
    if escalate_after_s is None or routing in (None, ESCALATE):
        return []
    return [Fault("/escalate_after", "contradicts_routing", f"escalate_after goes with the routing 'escalate', not with {routing!r}")]


def schema_faults(schema: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with a JSON Schema. References stay inside it: nothing is ever fetched."""
    if schema.get("$schema", _DIALECTS[0]) not in _DIALECTS:
        return [Fault("/schema/$schema", "invalid_schema", "only JSON Schema 2020-12 is understood")]
    faults = [*_reference_faults(schema), *_keyword_faults(schema)]
    if faults:
        return faults
    try:
        error = best_match(errors_of(Validator(Validator.META_SCHEMA), schema))
        if error is not None:
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path)
            return [Fault("/schema" + pointer, "invalid_schema", error.message[:300])]
        next(errors_of(Validator(schema), {}), None)
    except TooComplex:
        return [Fault("/schema", "invalid_schema", "the schema takes too long to check, or refers to itself without end")]
    return []


def _keyword_faults(schema: Mapping[str, Any]) -> Iterator[Fault]:
    """Keywords that are not available, and patterns that cannot be matched. The names of properties are no keywords."""
    waiting: list[tuple[str, Any]] = [("/schema", schema)]
    while waiting:
        pointer, node = waiting.pop()
        for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            place = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name in UNAVAILABLE:
                yield Fault(place, "unavailable_keyword", f"{name} is not available here")
            elif name == "pattern" and isinstance(value, str):
                try:
                    compiled_pattern(value)
                except ValueError as error:
                    yield Fault(place, "invalid_pattern", str(error))
            elif name in _NAMED_SCHEMAS and isinstance(value, Mapping):
                waiting += [(f"{place}/{str(key).replace('~', '~0').replace('/', '~1')}", item) for key, item in value.items() if isinstance(item, Mapping)]
            elif name not in _PLAIN_VALUES and isinstance(value, Mapping | list):
                waiting.append((place, value))


def _reference_faults(schema: Mapping[str, Any]) -> list[Fault]:
    faults = []
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    waiting: list[tuple[str, Any]] = [("/schema", schema)]
    while waiting:
        pointer, node = waiting.pop()
        items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
        for name, value in items:
            place = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
            waiting.append((place, value))
            if name in _REFERENCES and isinstance(value, str):
                try:
                    if not value.startswith("#"):
                        raise ValueError
                    resolver.lookup(value)
                except (Unresolvable, ValueError):
                    faults.append(Fault(place, "invalid_reference", "references point into the same schema: #/$defs/…"))
    return faults
