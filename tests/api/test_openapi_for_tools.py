"""The OpenAPI document is one that generators of clients and people can work with: names, examples, codes."""

import ast
import compileall
import json
import re
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from pydantic import BaseModel

from notifier.api.examples import BODIES
from notifier.api.fields import Part
from notifier.core.problems import PROBLEMS
from notifier.ground.config import ROOT
from tests.api.described import faults_of, operations


def test_every_path_body_and_answer_has_an_example_of_its_shape(
    document: dict[str, Any], whole: dict[tuple[str, str], Any]
) -> None:
    wrong = {}
    for call, operation in whole.items():
        shown = {one["name"]: one for one in operation.get("parameters", ()) if one.get("required")}
        described = {"body": operation.get("requestBody", {}), **operation["responses"]}
        shown |= {
            (place, kind): media for place, one in described.items() for kind, media in one.get("content", {}).items()
        }
        for place, media in shown.items():
            examples = [one["value"] for one in media.get("examples", {}).values()] or [media.get("example")]
            faults = [fault for one in examples for fault in faults_of(document, media["schema"], one)]
            if faults or None in examples:
                wrong[call, place] = faults or "no example"
    assert wrong == {}


def test_every_body_shown_is_one_that_the_call_takes(app: APIFlask) -> None:
    """Beyond its schema: the models know more than that can say."""
    models = {model.__name__: model for model in subclasses(Part)}
    assert set(BODIES) <= set(models)
    for name, body in BODIES.items():
        models[name].model_validate(body)


def subclasses(model: type[BaseModel]) -> set[type[BaseModel]]:
    return {model} | {found for below in model.__subclasses__() for found in subclasses(below)}


@pytest.mark.slow
def test_every_code_that_is_raised_is_listed_with_its_status(document: dict[str, Any]) -> None:
    raised = {
        node.args[0].value
        for file in (ROOT / "notifier").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Rejected" and node.args
        if isinstance(node.args[0], ast.Constant)
    }
    responses = document["components"]["responses"]
    listed = {
        (code, int(example["value"]["status"]))
        for response in responses.values()
        for code, example in response["content"]["application/problem+json"]["examples"].items()
    }
    everywhere = {"method_not_allowed", "internal_error"}  # no call's own
    inside = {"no_address"}  # of a synthetic check, for its page
    assert {code for code, _ in listed} | everywhere == set(PROBLEMS)
    assert raised - inside <= set(PROBLEMS), "give it a status and a title in PROBLEMS"
    text = document["components"]["schemas"]["Problem"]["properties"]["code"]["description"]
    assert set(re.findall(r"`(\w+)`", text)) == set(PROBLEMS)


@pytest.mark.slow
def test_generators_make_a_client_of_it_without_a_warning(document: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "openapi.json"
    source.write_text(json.dumps(document))
    config = Config.from_sources(
        ConfigFile(post_hooks=[]), MetaType.NONE, source, "utf-8", overwrite=False, output_path=tmp_path / "made"
    )
    assert generate(config=config) == []
    made = {file.stem for file in (tmp_path / "made" / "api").glob("*/*.py")} - {"__init__"}
    assert made == {operation["operationId"] for operation in operations(document).values()}
    assert compileall.compile_dir(tmp_path / "made", quiet=2)
    names = {*document["components"]["schemas"], *document["components"]["responses"]}
    assert [name for name in names if not re.fullmatch("[A-Za-z]+", name)] == []


def test_nothing_in_it_makes_two_names_of_one(document: dict[str, Any]) -> None:
    """Generators make classes of tags and titles, and names without signs and case of those of fields."""
    tags = [tag["name"] for tag in document["tags"]]
    assert tags == list(dict.fromkeys(tags))
    for name, schema in document["components"]["schemas"].items():
        fields = [field.replace("_", "").lower() for field in schema.get("properties", ())]
        assert sorted(fields) == sorted(set(fields)), name
        titles = {field for field, one in schema.get("properties", {}).items() if "title" in one}
        assert ("title" in schema, titles) == (False, set()), name
