"""Creates and changes event types, and checks everything that planning relies on.

Called by the API and the console.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from jsonschema.exceptions import best_match
from sqlalchemy.orm import Session, scoped_session

from notifier import channels
from notifier.catalogue.samples import sample_by
from notifier.catalogue.schemas import (
    MOST_WORK_ON_SCHEMAS,
    UNAVAILABLE,
    TooComplex,
    Validator,
    compiled_pattern,
    errors_of,
    validator_of,
)
from notifier.core.errors import Fault, Rejected
from notifier.core.pointers import pointer_to
from notifier.core.revisions import refuse_stale
from notifier.core.routing import ESCALATE
from notifier.core.submission import CEILINGS, PRIORITIES, RESERVED_NAME
from notifier.ground import kept, process_pool
from notifier.ground.clock import now
from notifier.ground.database import retried, transaction
from notifier.ledgers import audit
from notifier.models import EventType
from notifier.models.event_type import TYPE_SAVED

KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
FIELDS = (
    *("titles", "descriptions", "category", "priority", "channels", "schema"),
    *("is_mandatory", "to_admins", "resend_unknown"),
    *("routing", "escalate_after_s", "dedupe_window_s", "dedupe_near", "tracks_opens", "tracks_clicks"),
)
TRACKING = ("opens", "clicks")  # what a type may track
_DIALECTS = ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#")
_REFERENCES = ("$ref", "$dynamicRef")
# Where in a schema there are schemas: as they are, in a list, by names.
_SCHEMA = ("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then")
_LISTED_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED_SCHEMAS = ("$defs", "dependentSchemas", "properties")


@retried
def put(key: str, fields: Mapping[str, Any], *, seen: str | None = None) -> bool:
    """Stores the type as a whole, with every field of FIELDS. → whether it is new. Raises Rejected naming every fault.

    `seen`: the `revision_of` the type when its author opened it. Raises Rejected if somebody else has changed the type
    since.
    """
    check(fields)
    with transaction() as session:
        is_new = store(session, key, fields, seen=seen)
    kept.forget()
    return is_new


def check(fields: Mapping[str, Any]) -> None:
    """Before the transaction. Raises Rejected naming every fault."""
    faults = [
        *_channel_faults(fields["channels"]),
        *_priority_faults(fields["category"], fields["priority"]),
        *_routing_faults(fields["routing"], fields["escalate_after_s"]),
        *_tracking_faults(fields),
        *process_pool.run(process_pool.AUTHORS, schema_faults, fields["schema"]),
    ]
    if faults:
        raise Rejected("validation_failed", "; ".join(fault.message for fault in faults[:3]), tuple(faults))


def store(session: scoped_session[Session], key: str, fields: Mapping[str, Any], *, seen: str | None = None) -> bool:
    """`put` inside the caller's transaction, of fields that passed `check`; the caller then forgets what is `kept`."""
    row = session.get(EventType, key, with_for_update=True, populate_existing=True)
    if row is not None and row.is_internal:
        raise Rejected("conflict", f"{key!r} belongs to Notifier itself; only its words can be changed")
    refuse_stale(seen, "" if row is None else revision_of(row), key)
    before = {name: getattr(row, name) for name in FIELDS} if row is not None else None
    audit.write(TYPE_SAVED, key, before=before, after={name: fields[name] for name in FIELDS})
    if row is None:
        session.add(EventType(key=key, **{name: fields[name] for name in FIELDS}))
        return True
    for name in FIELDS:
        setattr(row, name, fields[name])
    row.updated_at = now()
    return False


def revision_of(row: EventType) -> str:
    """A short text, another one as soon as the type is saved again."""
    return row.updated_at.isoformat()


def _channel_faults(names: list[str]) -> list[Fault]:
    return [
        Fault(f"/channels/{i}", "unknown_channel", f"there is no channel {name!r}")
        for i, name in enumerate(names)
        if name not in channels.CHANNELS
    ]


def _priority_faults(category: str, priority: str) -> list[Fault]:
    ceiling = CEILINGS.get(category, PRIORITIES[0])
    if PRIORITIES.index(priority) < PRIORITIES.index(ceiling):
        return [Fault("/priority", "priority_too_high", f"the priority of {category} types is at most {ceiling}")]
    return []


def _routing_faults(routing: str | None, escalate_after_s: int | None) -> list[Fault]:
    """Without a routing of its own, its delay is for submissions that name `escalate`."""
    if escalate_after_s is None or routing in (None, ESCALATE):
        return []
    return [
        Fault(
            "/escalate_after",
            "contradicts_routing",
            f"escalate_after needs the routing 'escalate', not {routing!r}",
        )
    ]


def _tracking_faults(fields: Mapping[str, Any]) -> list[Fault]:
    """Mandatory messages carry codes and links that sign in or reset a password: those are for nobody else's eyes, and
    a scanner that follows a link of ours must not use them up.
    """
    if not fields["is_mandatory"]:
        return []
    message = "mandatory messages carry codes and sign-in links, and are never tracked"
    return [Fault(f"/tracking/{name}", "never_tracked", message) for name in TRACKING if fields[f"tracks_{name}"]]


def schema_faults(schema: Mapping[str, Any]) -> list[Fault]:
    """The faults of a JSON Schema. References stay inside it: nothing is ever fetched. Slow: for the process pool."""
    if schema.get("$schema", _DIALECTS[0]) not in _DIALECTS:
        return [Fault("/schema/$schema", "invalid_schema", "only JSON Schema 2020-12 is supported")]
    if isinstance(named := schema.get("properties"), Mapping) and RESERVED_NAME in named:
        message = f"no data may be named {RESERVED_NAME!r}: webhooks use it"
        return [Fault(f"/schema/properties/{RESERVED_NAME}", "reserved_name", message)]
    schemas = dict(_schemas_in(schema))
    faults = [fault for pointer, node in schemas.items() for fault in _faults_at(pointer, node, schemas)]
    if faults:
        return faults
    try:
        error = best_match(errors_of(Validator(Validator.META_SCHEMA), schema, MOST_WORK_ON_SCHEMAS))
        if error is not None:
            return [Fault(pointer_to("schema", *error.absolute_path), "invalid_schema", error.message[:300])]
        # Whatever the data, they take no longer than a check may; these must not even be dear
        for sample in ({}, sample_by(schema)):
            for _ in errors_of(validator_of(schema), sample):
                pass
    except TooComplex:
        return [
            Fault("/schema", "invalid_schema", "the schema takes too long to check, or refers to itself without end")
        ]
    return []


def _schemas_in(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schema and all that are in it, by pointer. What merely looks like one (a default, an unknown keyword's value)
    is none.
    """
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        pointer, node = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        yield pointer, node
        waiting += [(f"{pointer}/{name}", node[name]) for name in _SCHEMA if name in node]
        for name in _LISTED_SCHEMAS:
            if isinstance(node.get(name), list):
                waiting += [(f"{pointer}/{name}/{index}", item) for index, item in enumerate(node[name])]
        for name in _NAMED_SCHEMAS:
            if isinstance(node.get(name), Mapping):
                waiting += [(f"{pointer}/{name}{pointer_to(key)}", item) for key, item in node[name].items()]


def _faults_at(pointer: str, node: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Fault]:
    """The faults of one schema: keywords that are not available, patterns that cannot be matched, references to unknown
    `schemas`.
    """
    for name, value in node.items():
        place = f"/schema{pointer}{pointer_to(name)}"
        if name in UNAVAILABLE or (name == "$id" and pointer):  # an inner $id would turn `#` into another address
            yield Fault(place, "unavailable_keyword", f"{name} is not available here")
        elif name == "pattern" and isinstance(value, str):
            try:
                compiled_pattern(value)
            except ValueError as error:
                yield Fault(place, "invalid_pattern", str(error))
        elif (
            name in _REFERENCES
            and isinstance(value, str)
            and not (value.startswith("#") and unquote(value[1:]) in schemas)
        ):
            yield Fault(place, "invalid_reference", "references must point into the same schema: #/$defs/…")
