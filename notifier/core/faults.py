"""Faults of a value in terms of JSON, so that readers need not know which language Notifier is written in.

Called by `api.errors` and `realtime.door`. The kinds are pydantic's; checks of our own bring their own sentences.
"""

from collections.abc import Mapping
from typing import Any

_SENTENCES = {
    "missing": "this is required",
    "extra_forbidden": "there is no such field",
    "invalid_key": "a name must be text",
    "model_type": "this must be an object",
    "model_attributes_type": "this must be an object",
    "dict_type": "this must be an object",
    "list_type": "this must be a list",
    "string_type": "this must be text",
    "int_type": "this must be a whole number",
    "int_parsing": "this must be a whole number",
    "int_parsing_size": "this number is too large",
    "int_from_float": "this must be a whole number",
    "float_type": "this must be a number",
    "float_parsing": "this must be a number",
    "finite_number": "this must be a number",
    "bool_type": "this must be true or false",
    "bool_parsing": "this must be true or false",
    "none_required": "this must be null",
    "literal_error": "this must be {expected}",
    "string_too_short": "this is too short: the minimum length is {min_length}",
    "string_too_long": "this is too long: the maximum length is {max_length}",
    "string_pattern_mismatch": "this must match {pattern}",
    "too_short": "this has too few entries: the minimum is {min_length}",
    "too_long": "this has too many entries: the maximum is {max_length}",
    "greater_than": "this must be more than {gt}",
    "greater_than_equal": "this must be at least {ge}",
    "less_than": "this must be less than {lt}",
    "less_than_equal": "this must be at most {le}",
}


def sentence(kind: str, context: Mapping[str, Any]) -> str:
    """`context`: pydantic's, or `reason`, the sentence of a check of our own."""
    if "reason" in context:
        return str(context["reason"])
    return _SENTENCES.get(kind, "this is not valid").format_map(context)
