"""Google's description of an API, as a JSON Schema that requests can be checked against."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import googleapiclient
from jsonschema import Draft202012Validator

_DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"


@cache
def _definitions(api: str) -> dict[str, Any]:
    document = json.loads((_DOCUMENTS / f"{api}.json").read_text())
    return {name: _schema(described) for name, described in document["schemas"].items()}


def _schema(described: dict[str, Any]) -> dict[str, Any]:
    """Discovery documents are JSON Schema but for their references, `any`, and that they mean all the properties."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    schema = {} if described["type"] == "any" else {"type": described["type"]}
    if "enum" in described:
        schema["enum"] = described["enum"]
    if "items" in described:
        schema["items"] = _schema(described["items"])
    if described["type"] == "object":
        schema["properties"] = {name: _schema(one) for name, one in described.get("properties", {}).items()}
        others = described.get("additionalProperties")
        schema["additionalProperties"] = _schema(others) if others else False
    return schema


def faults(api: str, schema: str, value: Any) -> list[str]:
    """What the API's description would object to."""
    validator = Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": _definitions(api)})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
