"""What the API's tests ask the OpenAPI document."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def whole_operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """The same, with their shared answers put in."""
    found = operations(document)
    for operation in found.values():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                operation["responses"][status] = document["components"]["responses"][response["$ref"].split("/")[-1]]
    return found


def faults_of(document: dict[str, Any], schema: Any, value: Any) -> list[str]:
    registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    placed = json.loads(json.dumps(schema).replace('"#/', '"urn:api#/'))
    errors = Draft202012Validator(placed, registry=registry).iter_errors(value)
    return [f"{error.json_path} {error.message}"[:300] for error in errors]
